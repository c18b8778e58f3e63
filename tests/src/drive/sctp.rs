//! One end of an SCTP association over a raw socket: the kernels of the tests have no SCTP of their own.

use std::{
    io,
    mem::MaybeUninit,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    net::Namespace,
    packets::{Chunk, SCTP, Segment, sctp_complaint, sctp_packet},
};

/// A packet that has not come by then is lost.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An endpoint that gives out one tag.
#[derive(Debug)]
pub struct SctpEnd {
    socket: Socket,
    port: u16,
    tag: u32,
    /// The other end, and the tag that it gave out.
    peer: Option<(SocketAddr, u32)>,
}

/// A packet that came, its CRC right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SctpNews {
    /// Who sent it.
    pub from: SocketAddr,
    /// Its verification tag.
    pub tag: u32,
    /// Its chunks, as they stand.
    pub chunks: Vec<u8>,
}

impl SctpEnd {
    /// Opens a socket in `namespace` at an address and port of it.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[track_caller]
    pub fn open(namespace: &Namespace, address: SocketAddr, tag: u32) -> Self {
        let open = || {
            let protocol = Protocol::from(i32::from(SCTP));
            let socket = Socket::new(Domain::for_address(address), Type::RAW, Some(protocol))?;
            socket.bind(&SocketAddr::new(address.ip(), 0).into())?;
            socket.set_read_timeout(Some(Duration::from_millis(100)))?;
            io::Result::Ok(socket)
        };
        Self {
            socket: namespace
                .enter(open)
                .unwrap_or_else(|error| panic!("cannot open a raw socket at {address}: {error}")),
            port: address.port(),
            tag,
            peer: None,
        }
    }

    /// Sends an INIT.
    ///
    /// # Panics
    /// If it can not be sent.
    #[track_caller]
    pub fn init(&mut self, to: SocketAddr) {
        self.peer = Some((to, 0));
        self.send(&[Chunk::initiate(Chunk::INIT, self.tag, &[])]);
    }

    /// Sends chunks to the other end, with the tag that it gave out.
    ///
    /// # Panics
    /// If there is no other end yet, or they can not be sent.
    #[track_caller]
    pub fn send(&self, chunks: &[Chunk]) {
        let (to, tag) = self.peer.expect("somebody to send to");
        let packet = sctp_packet([self.port, to.port()], &Segment::sctp(tag, chunks));
        let target = SocketAddr::new(to.ip(), 0);
        self.socket
            .send_to(&packet, &target.into())
            .unwrap_or_else(|error| panic!("cannot send SCTP to {to}: {error}"));
    }

    /// The next packet to this end's port. Whoever sent an INIT or INIT ACK is the other end from here on.
    ///
    /// # Panics
    /// If none comes, or its CRC or tag is wrong.
    #[track_caller]
    pub fn receive(&mut self) -> SctpNews {
        let until = Instant::now() + TIMEOUT;
        while Instant::now() < until {
            if let Some(news) = self.next() {
                let first = news.chunks[0];
                if matches!(first, Chunk::INIT | Chunk::INIT_ACK) {
                    let given = news.chunks[4..8].try_into().expect("four bytes");
                    self.peer = Some((news.from, u32::from_be_bytes(given)));
                }
                let wanted = if first == Chunk::INIT { 0 } else { self.tag };
                assert_eq!(news.tag, wanted, "{news:?}");
                return news;
            }
        }
        panic!("no SCTP packet came to port {}", self.port);
    }

    fn next(&self) -> Option<SctpNews> {
        let mut buffer = vec![MaybeUninit::new(0); 65_536];
        let (length, from) = self.socket.recv_from(&mut buffer).ok()?;
        let read = |byte: &MaybeUninit<u8>| {
            // SAFETY: every byte was written when the buffer was made.
            unsafe { byte.assume_init() }
        };
        let bytes: Vec<u8> = buffer[..length].iter().map(read).collect();
        let from: IpAddr = from.as_socket()?.ip();
        // A raw IPv4 socket delivers the IP header too (raw(7)).
        let header = if from.is_ipv4() {
            usize::from(bytes[0] & 15) * 4
        } else {
            0
        };
        let packet = &bytes[header..];
        let word = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        if word(2) != self.port {
            return None;
        }
        assert_eq!(sctp_complaint(packet), None, "{packet:02x?}");
        Some(SctpNews {
            from: SocketAddr::new(from, word(0)),
            tag: u32::from_be_bytes(packet[4..8].try_into().expect("four bytes")),
            chunks: packet[12..].to_vec(),
        })
    }
}
