//! UDP requests and answers.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use crate::net::Namespace;

/// A datagram that is not answered by then is lost.
const TIMEOUT: Duration = Duration::from_secs(1);

/// One UDP socket connected to a service: one flow.
#[derive(Debug)]
pub struct UdpClient {
    socket: UdpSocket,
}

impl UdpClient {
    /// Opens a socket in `namespace`.
    #[track_caller]
    pub fn open(namespace: &Namespace, address: SocketAddr) -> Self {
        let any: IpAddr = if address.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        let socket = namespace
            .enter(|| {
                let socket = UdpSocket::bind((any, 0))?;
                socket.connect(address)?;
                socket.set_read_timeout(Some(TIMEOUT))?;
                io::Result::Ok(socket)
            })
            .unwrap_or_else(|error| panic!("cannot open a UDP socket to {address}: {error}"));
        Self { socket }
    }

    /// Sends a payload to [`crate::serve::UdpEcho`] and returns the name of the backend that sent
    /// it back.
    ///
    /// # Errors
    /// Of the socket; `InvalidData` if something else came back.
    pub fn exchange(&self, payload: &[u8]) -> io::Result<String> {
        self.socket.send(payload)?;
        let mut buffer = vec![0; 65_536];
        let length = self.socket.recv(&mut buffer)?;
        let answer = &buffer[..length];
        let split = answer.iter().position(|byte| *byte == b' ');
        match split.map(|at| (&answer[..at], &answer[at + 1..])) {
            Some((name, echoed)) if echoed == payload => {
                Ok(String::from_utf8_lossy(name).into_owned())
            }
            Some(_) | None => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("unexpected answer of {length} bytes"),
            )),
        }
    }
}
