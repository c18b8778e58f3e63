//! The sockets of one session.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr, SocketAddrV6},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
};

use nix::{
    net::if_::if_nametoindex,
    sys::socket::{
        ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt::Ipv4RecvTtl,
    },
};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    packet::{HOP_LIMIT, PORT},
    wanted::Path,
};

/// Class selector 6, internetwork control (RFC 4594 §3.1), as routing daemons send.
const TRAFFIC_CLASS: u32 = 0xc0;

/// Room for what comes; a control packet with authentication has 52 bytes at most.
const BUFFER: usize = 256;

/// What there is to reach a peer by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// Index of the interface that sockets are bound to; 0 = to none.
    interface: u32,
    local: IpAddr,
}

/// The sockets of one session. Packets leave by one and come by another, because their ports differ (RFC 5881 §4).
#[derive(Debug)]
pub(super) struct Channel {
    way: Way,
    peer: SocketAddr,
    port: u16,
    incoming: Socket,
    outgoing: Socket,
}

/// A datagram of the peer.
#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) data: Vec<u8>,
    /// TTL or hop limit.
    pub(super) hop_limit: u8,
}

impl Way {
    /// How the kernel would reach the peer now.
    ///
    /// # Errors
    /// There is no such interface, no route, or no address.
    pub(super) fn find(path: &Path) -> io::Result<Self> {
        let interface = match &path.interface {
            None => 0,
            Some(name) => if_nametoindex(name.as_str())?,
        };
        if let Some(local) = path.local {
            return Ok(Self { interface, local });
        }
        let to = address(path.peer, PORT, interface);
        let socket = socket(path)?;
        // Sends nothing: the kernel chooses an address.
        socket.connect(&to.into())?;
        let own = socket.local_addr()?.as_socket();
        let own = own.ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self {
            interface,
            local: own.ip(),
        })
    }

    /// This node's address.
    pub(super) fn local(self) -> IpAddr {
        self.local
    }
}

impl Channel {
    /// Opens the sockets in the calling thread's network namespace; packets leave from `port`.
    ///
    /// # Errors
    /// Somebody else has a port, or the kernel refuses something.
    pub(super) fn open(path: &Path, way: Way, port: u16) -> io::Result<Self> {
        let Way { interface, local } = way;
        let incoming = socket(path)?;
        // A routing daemon may have the port too, for its own peers.
        incoming.set_reuse_address(true)?;
        match path.peer {
            IpAddr::V4(_) => setsockopt(&incoming, Ipv4RecvTtl, &true)?,
            IpAddr::V6(_) => incoming.set_recv_hoplimit_v6(true)?,
        }
        incoming.bind(&address(local, PORT, interface).into())?;
        // To port 0: the kernel then gives what comes from the peer's address by any port (`compute_score` in net/ipv4/udp.c
        // compares a port only if there is one), prefers this socket over one that is bound to the port alone, and leaves
        // what other peers send to whoever that is.
        incoming.connect(&address(path.peer, 0, interface).into())?;
        let outgoing = socket(path)?;
        match path.peer {
            IpAddr::V4(_) => {
                outgoing.set_ttl_v4(HOP_LIMIT.into())?;
                outgoing.set_tos_v4(TRAFFIC_CLASS)?;
            }
            IpAddr::V6(_) => {
                outgoing.set_unicast_hops_v6(HOP_LIMIT.into())?;
                outgoing.set_tclass_v6(TRAFFIC_CLASS)?;
            }
        }
        outgoing.bind(&address(local, port, interface).into())?;
        Ok(Self {
            way,
            peer: address(path.peer, PORT, interface),
            port,
            incoming,
            outgoing,
        })
    }

    /// Whether the peer is still reached so, by packets from that port.
    pub(super) fn suits(&self, way: Way, port: u16) -> bool {
        self.way == way && self.port == port
    }

    /// Sends a packet. Never waits: what does not fit the queue is lost, as on the wire.
    ///
    /// # Errors
    /// The kernel does not take it.
    pub(super) fn send(&self, data: &[u8]) -> io::Result<()> {
        self.outgoing.send_to(data, &self.peer.into()).map(drop)
    }

    /// The next datagram that waits; `None` = none does.
    ///
    /// # Errors
    /// The kernel says that something is wrong with the socket.
    pub(super) fn receive(&self) -> io::Result<Option<Datagram>> {
        let mut buffer = [0; BUFFER];
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let mut space = nix::cmsg_space!(libc::c_int);
        let fd = self.incoming.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        let received = recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut space), flags);
        let received = match received.map_err(io::Error::from) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut hop_limit = 0;
        for control in received.cmsgs()? {
            if let ControlMessageOwned::Ipv4Ttl(limit) | ControlMessageOwned::Ipv6HopLimit(limit) =
                control
            {
                hop_limit = u8::try_from(limit).unwrap_or(0);
            }
        }
        let length = received.bytes;
        Ok(Some(Datagram {
            data: buffer.get(..length).unwrap_or_default().to_vec(),
            hop_limit,
        }))
    }
}

impl AsFd for Channel {
    /// Readable when a packet waits.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.incoming.as_fd()
    }
}

fn socket(path: &Path) -> io::Result<Socket> {
    let domain = if path.peer.is_ipv4() {
        Domain::IPV4
    } else {
        Domain::IPV6
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if path.peer.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    if let Some(interface) = &path.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    Ok(socket)
}

/// A link-local address means something on its interface only.
fn address(address: IpAddr, port: u16, interface: u32) -> SocketAddr {
    match address {
        IpAddr::V4(v4) => (v4, port).into(),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            SocketAddrV6::new(v6, port, 0, interface).into()
        }
        IpAddr::V6(v6) => (v6, port).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn an_interface_that_is_not_there_is_an_error() {
        let path = Path {
            peer: Ipv4Addr::LOCALHOST.into(),
            interface: Some("nothere0".into()),
            local: None,
        };
        assert!(Way::find(&path).is_err());
    }
}
