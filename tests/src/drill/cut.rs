//! Interfaces that go down at once: a program that does it takes milliseconds to start, which would count as takeover time.

use std::{
    io,
    net::UdpSocket,
    os::fd::{AsRawFd, RawFd},
};

use crate::net::Link;

/// Prepared to take a link down.
#[derive(Debug)]
pub(super) struct Cutter {
    /// An interface is looked for in the namespace of the socket that asks.
    socket: UdpSocket,
    link: Link,
}

impl Cutter {
    /// For this link.
    ///
    /// # Panics
    /// If no socket can be had in its namespace.
    #[track_caller]
    pub(super) fn new(link: &Link) -> Self {
        let socket = link.namespace.enter(|| UdpSocket::bind("127.0.0.1:0"));
        let socket = socket
            .unwrap_or_else(|error| panic!("cannot open a socket for {}: {error}", link.name));
        Self {
            socket,
            link: link.clone(),
        }
    }

    /// Takes it down.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[track_caller]
    pub(super) fn down(&self) {
        take_down(self.socket.as_raw_fd(), &self.link.name)
            .unwrap_or_else(|error| panic!("cannot take {} down: {error}", self.link.name));
    }
}

fn take_down(descriptor: RawFd, name: &str) -> io::Result<()> {
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: 0 },
    };
    for (to, from) in request.ifr_name.iter_mut().zip(name.as_bytes()) {
        *to = from.cast_signed();
    }
    // SAFETY: SIOCGIFFLAGS (netdevice(7)) reads the name and writes the flags, both in `request`, which outlives the call.
    let result = unsafe { libc::ioctl(descriptor, libc::SIOCGIFFLAGS, &raw mut request) };
    nix::errno::Errno::result(result)?;
    let up = libc::c_short::try_from(libc::IFF_UP).map_err(io::Error::other)?;
    // SAFETY: SIOCGIFFLAGS has written this field of the union.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    request.ifr_ifru.ifru_flags = flags & !up;
    // SAFETY: SIOCSIFFLAGS (netdevice(7)) reads name and flags from `request`, which outlives the call.
    let result = unsafe { libc::ioctl(descriptor, libc::SIOCSIFFLAGS, &raw const request) };
    nix::errno::Errno::result(result)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::{Namespace, VethPair},
        require,
    };

    #[test]
    fn a_cut_link_is_down() {
        require!(namespaces);
        let (a, b) = (Namespace::new("a"), Namespace::new("b"));
        let pair = VethPair::connect((&a, "eth0"), (&b, "eth0"));
        let is_up = || pair.a.details()["flags"].to_string().contains("\"UP\"");
        assert!(is_up());
        Cutter::new(&pair.a).down();
        assert!(!is_up());
    }
}
