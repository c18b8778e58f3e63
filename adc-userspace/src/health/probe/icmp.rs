//! ICMP and ICMPv6 echo over a socket of its own per probe.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::UdpSocket;

use super::{
    echo::{Echo, Family, after_ipv4_header},
    failure::{Deadline, Failure},
    reply_filter::only_reply_to,
};

const ECHO: &str = "icmp echo";
const SOCKET: &str = "icmp socket";
const NO_PRIVILEGE: &str =
    "icmp socket (needs CAP_NET_RAW, or this group in net.ipv4.ping_group_range)";

/// What a socket adds to, and asks of, an echo message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Kernel "ping socket" (`icmp(7)`): no privilege, the kernel sets and matches the identifier.
    Unprivileged,
    /// Raw socket: the identifier is ours, and IPv4 packets come with their header.
    Raw,
}

pub(super) async fn probe(address: SocketAddr, deadline: Deadline) -> Result<String, Failure> {
    let echo = new_echo(address.ip());
    let (socket, access) = open(address, &echo)?;
    deadline
        .bound(ECHO, exchange(&socket, &echo, access))
        .await?;
    Ok("icmp: echo reply".to_owned())
}

pub(super) fn new_echo(ip: IpAddr) -> Echo {
    Echo {
        family: match ip {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        },
        id: fastrand::u16(..),
        sequence: fastrand::u16(..),
        payload: std::array::from_fn(|_| fastrand::u8(..)),
    }
}

pub(super) async fn exchange(
    socket: &UdpSocket,
    echo: &Echo,
    access: Access,
) -> Result<(), Failure> {
    socket
        .send(&echo.request())
        .await
        .map_err(Failure::io(ECHO))?;
    // Room for an IPv4 header with all options, so that a longer message is seen to be longer.
    let mut buffer = [0; 256];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(Failure::io(ECHO))?;
        let packet = &buffer[..length];
        let message = match (access, echo.family) {
            (Access::Raw, Family::V4) => after_ipv4_header(packet).unwrap_or_default(),
            (Access::Raw, Family::V6) | (Access::Unprivileged, Family::V4 | Family::V6) => packet,
        };
        if echo.is_answered_by(message, access == Access::Raw) {
            return Ok(());
        }
    }
}

/// A non-blocking socket connected to `address`: the kernel then drops ICMP from other hosts and reports
/// errors from the path to this one.
pub(super) fn open(address: SocketAddr, echo: &Echo) -> Result<(UdpSocket, Access), Failure> {
    let (domain, protocol) = match echo.family {
        Family::V4 => (Domain::IPV4, Protocol::ICMPV4),
        Family::V6 => (Domain::IPV6, Protocol::ICMPV6),
    };
    let new = |kind| Socket::new(domain, kind, Some(protocol));
    let (socket, access) = match new(Type::DGRAM) {
        Ok(socket) => (socket, Access::Unprivileged),
        Err(_) => (new(Type::RAW).map_err(not_opened)?, Access::Raw),
    };
    if access == Access::Raw {
        socket
            .attach_filter(&only_reply_to(echo))
            .map_err(Failure::local(SOCKET))?;
    }
    socket
        .set_nonblocking(true)
        .map_err(Failure::local(SOCKET))?;
    let mut address = address;
    // A raw socket takes a port for a protocol number and refuses any but its own (raw(7)).
    address.set_port(0);
    socket
        .connect(&SockAddr::from(address))
        .map_err(Failure::io(ECHO))?;
    // tokio has no ICMP socket; its UDP one is any datagram descriptor with readiness, and `send` and
    // `recv` on a connected socket do not depend on the protocol.
    let socket = UdpSocket::from_std(socket.into()).map_err(Failure::local(SOCKET))?;
    Ok((socket, access))
}

fn not_opened(error: io::Error) -> Failure {
    let phase = if error.kind() == io::ErrorKind::PermissionDenied {
        NO_PRIVILEGE
    } else {
        SOCKET
    };
    Failure::Local { phase, error }
}
