//! The socket file.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

/// Owner and group may connect, nobody else.
const MODE: u32 = 0o660;

/// Why the control socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Somebody listens on it.
    #[error(
        "another adc agent runs on this node (socket {0} answers): stop it first, or give this one its own node.run_dir"
    )]
    AlreadyRunning(PathBuf),
    /// Something else has that name.
    #[error("{0} exists and is not a socket: move it away, or set another node.run_dir")]
    NotASocket(PathBuf),
    /// The kernel refused.
    #[error(
        "cannot {doing} the control socket {path}: {source}: {}",
        remedy(source)
    )]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// What to do about a refusal.
fn remedy(refusal: &io::Error) -> &'static str {
    if refusal.kind() == io::ErrorKind::PermissionDenied {
        "run adc as root, or set node.run_dir to a directory that it may write to"
    } else {
        "see that its directory exists and can be written to, or set another node.run_dir"
    }
}

/// A listening socket and its file.
#[derive(Debug)]
pub(super) struct ControlSocket {
    listener: UnixListener,
    file: SocketFile,
}

/// Removes the socket file when dropped, unless somebody has replaced it since.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl ControlSocket {
    /// Makes the socket, its directory if need be, and gives it to `group`.
    pub(super) fn bind(path: &Path, group: Option<u32>) -> Result<Self, SocketError> {
        let failed = |doing| {
            move |source| SocketError::Io {
                doing,
                path: path.to_owned(),
                source,
            }
        };
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed("make the directory of"))?;
        }
        remove_stale(path)?;
        let listener = match UnixListener::bind(path) {
            Ok(listener) => listener,
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                // Somebody bound it between the check and here: two agents started at once.
                return Err(SocketError::AlreadyRunning(path.to_owned()));
            }
            Err(error) => return Err(failed("bind")(error)),
        };
        let metadata = fs::symlink_metadata(path).map_err(failed("inspect"))?;
        let file = SocketFile {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
        };
        // Until here the mode is what the umask left; callers are judged by credentials anyway.
        if group.is_some() {
            chown(path, None, group).map_err(failed("set the group of"))?;
        }
        fs::set_permissions(path, fs::Permissions::from_mode(MODE))
            .map_err(failed("set the mode of"))?;
        Ok(Self { listener, file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.file.path
    }

    pub(super) fn into_parts(self) -> (UnixListener, SocketFile) {
        (self.listener, self.file)
    }
}

/// Removes the socket of an agent that died. One that is alive stays, and so does what is no socket.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let failed = |doing, source| SocketError::Io {
        doing,
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("inspect", error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(SocketError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match probe(path) {
        Ok(()) => Err(SocketError::AlreadyRunning(path.to_owned())),
        // ECONNREFUSED on a Unix socket: the file is there, no socket is bound to it (connect(2)).
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|source| failed("remove the stale", source))
        }
        // A full backlog is a sign of life.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(SocketError::AlreadyRunning(path.to_owned()))
        }
        Err(error) => Err(failed("probe", error)),
    }
}

/// Connects without waiting, so that a listener that accepts nobody can not hold us up.
fn probe(path: &Path) -> io::Result<()> {
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&socket2::SockAddr::unix(path)?)
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if !ours {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove the control socket");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(path: &Path) -> Result<ControlSocket, SocketError> {
        ControlSocket::bind(path, None)
    }

    #[tokio::test]
    async fn a_live_listener_refuses_the_second_agent_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/control.sock");
        let first = bind(&path).unwrap();
        let refused = bind(&path).unwrap_err();
        assert!(matches!(refused, SocketError::AlreadyRunning(_)));
        assert!(
            refused
                .to_string()
                .contains("another adc agent runs on this node")
        );
        assert!(probe(first.path()).is_ok(), "the first agent still listens");
    }

    #[tokio::test]
    async fn a_dead_agents_socket_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "std leaves the file behind, as a crash does");
        let socket = bind(&path).unwrap();
        assert!(probe(socket.path()).is_ok());
    }

    #[test]
    fn who_may_not_make_the_socket_is_told_what_to_do() {
        let refused = SocketError::Io {
            doing: "bind",
            path: "/run/adc/control.sock".into(),
            source: io::ErrorKind::PermissionDenied.into(),
        };
        assert!(refused.to_string().contains("run adc as root"), "{refused}");
    }

    #[tokio::test]
    async fn what_is_not_a_socket_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path), Err(SocketError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn only_owner_and_group_may_connect() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let _socket = bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
    }

    #[tokio::test]
    async fn a_successors_socket_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let first = bind(&path).unwrap();
        fs::rename(&path, directory.path().join("moved")).unwrap();
        let second = bind(&path).unwrap();
        drop(first);
        assert!(probe(second.path()).is_ok());
        drop(second);
        assert!(!path.exists(), "its own file is removed");
    }
}
