//! IP packets as somebody writes them, fragments out of order for example.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{net::Namespace, packets::ip_offset};

/// A raw socket: what is sent has its own IP header.
#[derive(Debug)]
pub struct RawSender {
    socket: Socket,
    to: SocketAddr,
}

impl RawSender {
    /// Opens a socket in `namespace` for packets to `to`.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[track_caller]
    pub fn open(namespace: &Namespace, to: IpAddr) -> Self {
        let domain = match to {
            IpAddr::V4(_) => Domain::IPV4,
            IpAddr::V6(_) => Domain::IPV6,
        };
        let raw = Protocol::from(libc::IPPROTO_RAW);
        let socket = namespace
            .enter(|| {
                let socket = Socket::new(domain, Type::RAW, Some(raw))?;
                if to.is_ipv4() {
                    socket.set_header_included_v4(true)?;
                } else {
                    socket.set_header_included_v6(true)?;
                }
                io::Result::Ok(socket)
            })
            .unwrap_or_else(|error| panic!("cannot open a raw socket: {error}"));
        Self {
            socket,
            to: SocketAddr::new(to, 0),
        }
    }

    /// Sends the IP packet in a frame; the kernel writes the Ethernet header.
    ///
    /// # Errors
    /// Of the socket.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        let packet = &frame[ip_offset(frame)..];
        self.socket
            .send_to(packet, &self.to.into())
            .map(|_length| ())
    }
}
