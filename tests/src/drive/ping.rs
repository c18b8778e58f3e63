//! ICMP echo.

use std::{
    io::{self, Read},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::net::Namespace;

const TIMEOUT: Duration = Duration::from_secs(1);
/// Echo request of RFC 792 and RFC 4443; the kernel fills in identifier and checksum.
const REQUEST_V4: u8 = 8;
const REQUEST_V6: u8 = 128;

/// Sends one echo request and waits for its reply.
///
/// # Errors
/// Of the socket, a timeout if there is no reply.
pub fn ping(namespace: &Namespace, address: IpAddr) -> io::Result<()> {
    ping_with(namespace, address, b"adc echo")
}

/// The same with a payload of any size; a large one goes in fragments.
///
/// # Errors
/// Of the socket, a timeout if there is no reply.
pub fn ping_with(namespace: &Namespace, address: IpAddr, payload: &[u8]) -> io::Result<()> {
    let (domain, protocol, request) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, REQUEST_V4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, REQUEST_V6),
    };
    namespace.enter(|| {
        let mut socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.connect(&SocketAddr::new(address, 0).into())?;
        let mut message = vec![request, 0, 0, 0, 0, 0, 0, 1];
        message.extend_from_slice(payload);
        socket.send(&message)?;
        let mut buffer = vec![0; 65_536];
        let length = socket.read(&mut buffer)?;
        if buffer[..length].ends_with(payload) {
            Ok(())
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "another payload came back",
            ))
        }
    })
}
