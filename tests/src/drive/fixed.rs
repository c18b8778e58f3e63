//! Requests from a chosen port.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use crate::net::Namespace;

use super::{Response, http::parse};

/// [`super::get`] of `/` from `port` of the client. The port is free again at once.
///
/// # Errors
/// As [`super::get`], and if the port is taken.
pub fn get_from_port(
    namespace: &Namespace,
    port: u16,
    address: SocketAddr,
    timeout: Duration,
) -> io::Result<Response> {
    let (domain, any) = match address {
        SocketAddr::V4(_) => (Domain::IPV4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        SocketAddr::V6(_) => (Domain::IPV6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    };
    namespace.enter(|| {
        let mut socket = Socket::new(domain, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::new(any, port).into())?;
        socket.set_read_timeout(Some(timeout))?;
        socket.connect_timeout(&address.into(), timeout)?;
        socket.write_all(b"GET / HTTP/1.1\r\nHost: adc\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer)?;
        parse(&answer)
    })
}
