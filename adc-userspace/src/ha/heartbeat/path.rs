//! The socket of one path.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket},
    os::fd::{AsFd, BorrowedFd},
};

use nix::net::if_::if_nametoindex;
use socket2::{Domain, Protocol, Socket, Type};

use super::packet::MAX_LENGTH;
use crate::model::HeartbeatPath;

/// DSCP CS6, network control (RFC 4594 §3.2): what routers send to keep a network together.
const TRAFFIC_CLASS: u32 = 0xc0;

/// A socket that sends and receives by one interface only.
pub(super) struct Path {
    socket: UdpSocket,
    peer: SocketAddr,
}

impl Path {
    /// Opens it; fails while the interface does not exist.
    pub(super) fn open(path: &HeartbeatPath, port: u16) -> io::Result<Self> {
        let (domain, any) = match path.peer {
            IpAddr::V4(_) => (Domain::IPV4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            IpAddr::V6(_) => (Domain::IPV6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        };
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        // Before the port is bound: so several paths have the same one.
        socket.bind_device(Some(path.interface.as_bytes()))?;
        match path.peer {
            IpAddr::V4(_) => socket.set_tos_v4(TRAFFIC_CLASS)?,
            IpAddr::V6(_) => {
                socket.set_only_v6(true)?;
                socket.set_tclass_v6(TRAFFIC_CLASS)?;
            }
        }
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddr::new(any, port).into())?;
        Ok(Self {
            socket: socket.into(),
            peer: address(path, port)?,
        })
    }

    /// Sends a heartbeat; [`is_gone`] tells whether the path must be opened anew.
    pub(super) fn send(&self, datagram: &[u8]) -> io::Result<()> {
        self.socket.send_to(datagram, self.peer).map(drop)
    }

    /// The next datagram that waits, if one does. One that is too long keeps a byte more than is allowed.
    pub(super) fn receive<'b>(
        &self,
        buffer: &'b mut [u8; MAX_LENGTH + 1],
    ) -> io::Result<Option<&'b [u8]>> {
        match self.socket.recv(buffer) {
            Ok(length) => Ok(Some(&buffer[..length])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn poll_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether a path's interface is gone: its socket is of that very device and not of one that gets its name later.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO))
}

/// The peer's address; a link-local one is of this interface.
fn address(path: &HeartbeatPath, port: u16) -> io::Result<SocketAddr> {
    match path.peer {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            let scope = if_nametoindex(path.interface.as_str())?;
            Ok(SocketAddrV6::new(v6, port, 0, scope).into())
        }
        IpAddr::V4(_) | IpAddr::V6(_) => Ok(SocketAddr::new(path.peer, port)),
    }
}
