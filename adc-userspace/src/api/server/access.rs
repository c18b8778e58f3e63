//! Who may use the control socket.

use std::{io, os::fd::AsRawFd};

use nix::unistd::Group;
use tokio::net::UnixStream;

use super::GROUP;

/// A rule by kernel credentials: some users, and members of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    users: Vec<u32>,
    group: Option<u32>,
}

/// Who is at the other end of a connection, as the kernel recorded it at `connect()` (unix(7)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Process id; `None` if it is outside our PID namespace.
    pub pid: Option<i32>,
    /// Effective user id.
    pub uid: u32,
    /// Whether [`Access`] lets it in.
    pub admitted: bool,
}

impl Access {
    /// Root, and group `adc` if this node has it.
    pub fn of_node() -> Self {
        let group = Group::from_name(GROUP).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot look up group {GROUP}; only root may use the control socket");
            None
        });
        Self {
            users: vec![0],
            group: group.map(|group| group.gid.as_raw()),
        }
    }

    /// These users only.
    pub fn of_users(users: &[u32]) -> Self {
        Self {
            users: users.to_vec(),
            group: None,
        }
    }

    /// The group that is let in.
    pub fn group(&self) -> Option<u32> {
        self.group
    }

    /// Whether a process with this user and these groups is let in.
    pub fn permits(&self, uid: u32, groups: &[u32]) -> bool {
        self.users.contains(&uid) || self.group.is_some_and(|group| groups.contains(&group))
    }

    /// Judges the process that connected `stream`. One that the kernel can not name is not admitted.
    pub fn admit(&self, stream: &UnixStream) -> Caller {
        let caller = self.judge(stream).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read the credentials of a control connection");
            Caller {
                pid: None,
                uid: u32::MAX,
                admitted: false,
            }
        });
        if !caller.admitted {
            tracing::warn!(
                uid = caller.uid,
                pid = caller.pid,
                "refused a control connection: only root and group {GROUP} may control the agent"
            );
        }
        caller
    }

    fn judge(&self, stream: &UnixStream) -> io::Result<Caller> {
        let credentials = stream.peer_cred()?;
        let mut groups = peer_groups(stream)?;
        groups.push(credentials.gid());
        let uid = credentials.uid();
        Ok(Caller {
            pid: credentials.pid(),
            uid,
            admitted: self.permits(uid, &groups),
        })
    }
}

/// Supplementary groups of the process at the other end (`SO_PEERGROUPS`, Linux 4.13).
fn peer_groups(stream: &UnixStream) -> io::Result<Vec<u32>> {
    // NGROUPS_MAX is 65 536 (limits.h); nearly everybody has fewer than 64. ERANGE says how many.
    let mut groups = vec![0_u32; 64];
    loop {
        let mut length =
            libc::socklen_t::try_from(size_of_val(groups.as_slice())).map_err(io::Error::other)?;
        // SAFETY: the fd is open for the life of `stream`; the buffer is `length` bytes long and the
        // kernel writes at most that many and stores how many it wrote or needs.
        let result = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let count = length as usize / size_of::<u32>();
        if result == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() {
            return Err(error);
        }
        groups.resize(count, 0);
    }
}

#[cfg(test)]
mod tests {
    use nix::unistd::{Gid, Uid, getgroups};

    use super::*;

    #[test]
    fn root_and_the_group_are_let_in_and_nobody_else() {
        let access = Access {
            users: vec![0],
            group: Some(990),
        };
        assert!(access.permits(0, &[]));
        assert!(access.permits(1000, &[1000, 990]));
        assert!(!access.permits(1000, &[1000, 27]));
        let rootless = Access {
            users: vec![0],
            group: None,
        };
        assert!(!rootless.permits(1000, &[0]));
    }

    #[tokio::test]
    async fn the_kernel_names_the_caller_and_its_groups() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let caller = Access::of_users(&[Uid::effective().as_raw()]).admit(&ours);
        assert_eq!(caller.uid, Uid::effective().as_raw());
        assert_eq!(caller.pid, i32::try_from(std::process::id()).ok());
        assert!(caller.admitted);
        let mut expected: Vec<_> = getgroups().unwrap().into_iter().map(Gid::as_raw).collect();
        let mut found = peer_groups(&ours).unwrap();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}
