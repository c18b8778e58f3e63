//! Sockets for VRRP messages: one per interface and family, for all groups there.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsRawFd, RawFd},
    sync::Arc,
};

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, recvmsg, sendmsg,
    setsockopt, sockopt::Ipv6RecvPacketInfo,
};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::io::{Interest, unix::AsyncFd};

use super::vrrp::{Envelope, Family, packet};

/// All VRRP routers of the link (RFC 9568 §5.1.1.2 and §5.1.2.2).
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// Class selector 6, internetwork control (RFC 4594 §3.1), as other implementations send.
const TRAFFIC_CLASS: u32 = 0xc0;

/// The longest message is 8 bytes and 255 IPv6 addresses; then there is the IPv4 header.
const BUFFER: usize = 8 + 255 * 16 + 60;

/// A message as it came.
#[derive(Debug)]
pub(super) struct Packet {
    /// Who sent it to whom, and how far it has come.
    pub(super) envelope: Envelope,
    /// What follows the IP header.
    pub(super) payload: Vec<u8>,
}

/// A raw socket for protocol 112 on one interface.
#[derive(Clone)]
pub(super) struct VrrpSocket {
    family: Family,
    ifindex: u32,
    socket: Arc<AsyncFd<Socket>>,
}

impl VrrpSocket {
    /// Opens it in the calling thread's network namespace; must be called inside a tokio runtime.
    pub(super) fn open(family: Family, interface: &str, ifindex: u32) -> io::Result<Self> {
        let protocol = Some(Protocol::from(i32::from(packet::PROTOCOL)));
        let socket = match family {
            Family::Ipv4 => Socket::new(Domain::IPV4, Type::RAW, protocol)?,
            Family::Ipv6 => Socket::new(Domain::IPV6, Type::RAW, protocol)?,
        };
        socket.set_nonblocking(true)?;
        socket.bind_device(Some(interface.as_bytes()))?;
        let hops = u32::from(packet::HOP_LIMIT);
        match family {
            Family::Ipv4 => {
                let index = InterfaceIndexOrAddress::Index(ifindex);
                socket.join_multicast_v4_n(&GROUP_V4, &index)?;
                socket.set_multicast_ttl_v4(hops)?;
                socket.set_ttl_v4(hops)?;
                socket.set_tos_v4(TRAFFIC_CLASS)?;
                socket.set_multicast_loop_v4(false)?;
                socket.set_multicast_all_v4(false)?;
            }
            Family::Ipv6 => {
                socket.join_multicast_v6(&GROUP_V6, ifindex)?;
                socket.set_multicast_hops_v6(hops)?;
                socket.set_unicast_hops_v6(hops)?;
                socket.set_tclass_v6(TRAFFIC_CLASS)?;
                socket.set_multicast_loop_v6(false)?;
                socket.set_multicast_all_v6(false)?;
                socket.set_multicast_if_v6(ifindex)?;
                socket.set_recv_hoplimit_v6(true)?;
                setsockopt(&socket, Ipv6RecvPacketInfo, &true)?;
            }
        }
        // SAFETY: a `Socket` is one open descriptor until it is dropped, which the `AsyncFd` that owns it outlives.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        Ok(Self {
            family,
            ifindex,
            socket: Arc::new(socket?),
        })
    }

    /// Index of the interface it is on.
    pub(super) fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// Where adverts go if nobody in particular is to get them.
    pub(super) fn multicast(family: Family) -> IpAddr {
        match family {
            Family::Ipv4 => GROUP_V4.into(),
            Family::Ipv6 => GROUP_V6.into(),
        }
    }

    /// Sends a message from one of the interface's addresses. Never waits: what does not fit the queue is lost, as on
    /// the wire.
    pub(super) fn send(&self, source: IpAddr, to: IpAddr, message: &[u8]) -> io::Result<()> {
        let fd = self.socket.get_ref().as_raw_fd();
        let ifindex = self.ifindex;
        match (source, to) {
            (IpAddr::V4(source), IpAddr::V4(to)) => send_v4(fd, ifindex, source, to, message),
            (IpAddr::V6(source), IpAddr::V6(to)) => send_v6(fd, ifindex, source, to, message),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                Err(io::ErrorKind::InvalidInput.into())
            }
        }
    }

    /// Waits for the next message. One without the facts that it is judged by is skipped.
    pub(super) async fn receive(&self) -> io::Result<Packet> {
        loop {
            let family = self.family;
            let read = self
                .socket
                .async_io(Interest::READABLE, |socket| match family {
                    Family::Ipv4 => receive_v4(socket.as_raw_fd()),
                    Family::Ipv6 => receive_v6(socket.as_raw_fd()),
                });
            if let Some(packet) = read.await? {
                return Ok(packet);
            }
        }
    }
}

/// The address that the kernel would send to `peer` from, out of this interface.
///
/// # Errors
/// There is no route, or no address.
pub(super) fn source_towards(peer: IpAddr, interface: &str, ifindex: u32) -> io::Result<IpAddr> {
    let to: SocketAddr = match peer {
        // Any port: connecting a UDP socket sends nothing.
        IpAddr::V4(v4) => (v4, 9).into(),
        IpAddr::V6(v6) => SocketAddrV6::new(v6, 9, 0, ifindex).into(),
    };
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, None)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.connect(&to.into())?;
    let own = socket.local_addr()?.as_socket();
    let own = own.ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok(own.ip())
}

fn send_v4(fd: RawFd, ifindex: u32, from: Ipv4Addr, to: Ipv4Addr, data: &[u8]) -> io::Result<()> {
    let info = libc::in_pktinfo {
        ipi_ifindex: i32::try_from(ifindex).map_err(io::Error::other)?,
        ipi_spec_dst: libc::in_addr {
            s_addr: u32::from_ne_bytes(from.octets()),
        },
        ipi_addr: libc::in_addr { s_addr: 0 },
    };
    let control = [ControlMessage::Ipv4PacketInfo(&info)];
    let to = SockaddrIn::from(SocketAddrV4::new(to, 0));
    sendmsg(
        fd,
        &[IoSlice::new(data)],
        &control,
        MsgFlags::empty(),
        Some(&to),
    )?;
    Ok(())
}

fn send_v6(fd: RawFd, ifindex: u32, from: Ipv6Addr, to: Ipv6Addr, data: &[u8]) -> io::Result<()> {
    let info = libc::in6_pktinfo {
        ipi6_addr: libc::in6_addr {
            s6_addr: from.octets(),
        },
        ipi6_ifindex: ifindex,
    };
    let control = [ControlMessage::Ipv6PacketInfo(&info)];
    let scope = if to.is_unicast_link_local() || to.is_multicast() {
        ifindex
    } else {
        0
    };
    let to = SockaddrIn6::from(SocketAddrV6::new(to, 0, 0, scope));
    sendmsg(
        fd,
        &[IoSlice::new(data)],
        &control,
        MsgFlags::empty(),
        Some(&to),
    )?;
    Ok(())
}

/// A raw IPv4 socket gives the IP header too (`raw(7)`).
fn receive_v4(fd: RawFd) -> io::Result<Option<Packet>> {
    let mut buffer = [0; BUFFER];
    let mut slices = [IoSliceMut::new(&mut buffer)];
    let length = recvmsg::<SockaddrIn>(fd, &mut slices, None, MsgFlags::empty())?.bytes;
    Ok(buffer.get(..length).and_then(parse_v4))
}

/// Splits an IPv4 packet.
fn parse_v4(packet: &[u8]) -> Option<Packet> {
    let header: &[u8; 20] = packet.first_chunk()?;
    let length = usize::from(header[0] & 0x0f) * 4;
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    Some(Packet {
        envelope: Envelope {
            source: Ipv4Addr::new(s0, s1, s2, s3).into(),
            destination: Ipv4Addr::new(d0, d1, d2, d3).into(),
            hop_limit: header[8],
        },
        payload: packet.get(length.max(20)..)?.to_vec(),
    })
}

fn receive_v6(fd: RawFd) -> io::Result<Option<Packet>> {
    let mut buffer = [0; BUFFER];
    let mut slices = [IoSliceMut::new(&mut buffer)];
    let mut space = nix::cmsg_space!(libc::in6_pktinfo, libc::c_int);
    let received = recvmsg::<SockaddrIn6>(fd, &mut slices, Some(&mut space), MsgFlags::empty())?;
    let (mut destination, mut hop_limit) = (None, None);
    for control in received.cmsgs()? {
        if let ControlMessageOwned::Ipv6PacketInfo(info) = control {
            destination = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr));
        } else if let ControlMessageOwned::Ipv6HopLimit(limit) = control {
            hop_limit = u8::try_from(limit).ok();
        }
    }
    let source = received.address.map(|address| address.ip());
    let length = received.bytes;
    let facts = source.zip(destination).zip(hop_limit);
    Ok(facts.and_then(|((source, destination), hop_limit)| {
        Some(Packet {
            envelope: Envelope {
                source: source.into(),
                destination: destination.into(),
                hop_limit,
            },
            payload: buffer.get(..length)?.to_vec(),
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_of_an_ipv4_packet_begins_behind_its_options() {
        let mut packet = vec![0x46, 0xc0, 0, 28, 0, 0, 0, 0, 255, 112, 0, 0];
        packet.extend([10, 0, 0, 1, 224, 0, 0, 18]);
        packet.extend([1, 1, 1, 0, 0x31, 51, 100, 1]);
        let read = parse_v4(&packet).unwrap();
        assert_eq!(read.payload, [0x31, 51, 100, 1]);
        assert_eq!(read.envelope.source.to_string(), "10.0.0.1");
        assert_eq!(read.envelope.destination.to_string(), "224.0.0.18");
        assert_eq!(read.envelope.hop_limit, 255);
    }

    #[test]
    fn an_ipv4_packet_that_is_cut_short_is_skipped() {
        for length in 0..20 {
            assert!(parse_v4(&vec![0x45; length]).is_none());
        }
        assert!(parse_v4(&[0x4f; 30]).is_none(), "options beyond the end");
    }
}
