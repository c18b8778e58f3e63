//! A client that opens UDP flows at a given rate, and backends that answer them: many packets by one system call on either
//! side, so that two CPUs are enough for the nodes, too.

use std::{
    io::{IoSlice, IoSliceMut},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    os::fd::AsRawFd,
    thread,
    time::{Duration, Instant},
};

use nix::sys::socket::{
    MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, setsockopt, sockopt::RcvBufForce,
};
use socket2::SockFilter;

use crate::{
    drive::{PacketSocket, ROOM},
    net::Link,
    packets::{Envelope, MacAddress, Segment},
    topology::BackendHost,
    until_dropped::UntilDropped,
};

/// Packets by one system call. A virtual interface has room for 256 (`VETH_RING_SIZE`, drivers/net/veth.c, Linux 6.18).
const BATCH: usize = 32;
/// Bytes of a datagram that are answered.
const ANSWERED: usize = 64;
/// How often a backend looks whether it should stop.
const STOP_CHECK: Duration = Duration::from_millis(50);
/// Classic BPF: return, see linux/bpf_common.h. No byte of a frame: nothing is received.
const NOTHING: SockFilter = SockFilter::new(0x06, 0, 0, 0);

/// Frames that each open a flow.
pub(super) struct Openers(Vec<Vec<u8>>);

impl Openers {
    /// One datagram from every port from `first_port` on of `clients`, to a service behind `next_hop`.
    pub(super) fn new(
        client: &Link,
        next_hop: MacAddress,
        clients: &[Ipv4Addr],
        first_port: u16,
        service: SocketAddr,
    ) -> Self {
        let from_mac = client.mac();
        let segment = Segment::udp(b"flow");
        let frame = |from| {
            let envelope = Envelope {
                to_mac: next_hop,
                from_mac,
                tags: Vec::new(),
                from: SocketAddr::V4(from),
                to: service,
            };
            envelope.frame(&segment)
        };
        let ports = first_port..=u16::MAX;
        let senders =
            ports.flat_map(|port| clients.iter().map(move |ip| SocketAddrV4::new(*ip, port)));
        Self(senders.map(frame).collect())
    }

    /// Sends them all, at most `rate` a second; gives how long that took, and how many the kernel did not take.
    ///
    /// # Panics
    /// If the kernel takes none of a batch.
    pub(super) fn send(&self, client: &Link, rate: u32) -> (Duration, usize) {
        let socket = PacketSocket::open(client, &[NOTHING]);
        let began = Instant::now();
        let mut due = began;
        let mut refused = 0;
        for batch in self.0.chunks(BATCH) {
            // Behind time, it makes up for it.
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let length = u32::try_from(batch.len()).expect("a batch");
            due += Duration::from_secs(1) * length / rate;
            let sent = socket.send_all(batch).expect("sending a batch");
            refused += batch.len() - sent;
        }
        (began.elapsed(), refused)
    }
}

/// A UDP server that sends the beginning of each datagram back.
pub(super) struct Mirror {
    _thread: UntilDropped,
}

impl Mirror {
    /// On the IPv4 address of a backend.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub(super) fn start(host: &BackendHost, port: u16) -> Self {
        let address = host.v4(port);
        let socket = host.namespace.enter(|| UdpSocket::bind(address));
        let socket = socket.unwrap_or_else(|error| panic!("cannot bind {address}: {error}"));
        setsockopt(&socket, RcvBufForce, &ROOM).expect("room for datagrams");
        socket
            .set_read_timeout(Some(STOP_CHECK))
            .expect("a timeout");
        Self {
            _thread: UntilDropped::start(move || mirror(&socket)),
        }
    }
}

/// Answers what is there, or waits a while for the first.
fn mirror(socket: &UdpSocket) {
    let descriptor = socket.as_raw_fd();
    let mut buffers = vec![[0; ANSWERED]; BATCH];
    let received: Vec<(usize, Option<SockaddrIn>)> = {
        let mut slices: Vec<_> = buffers
            .iter_mut()
            .map(|buffer| [IoSliceMut::new(buffer)])
            .collect();
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
        let first_alone = MsgFlags::MSG_WAITFORONE;
        match recvmmsg(descriptor, &mut headers, &mut slices, first_alone, None) {
            Ok(messages) => messages
                .map(|message| (message.bytes, message.address))
                .collect(),
            // The timeout, or an ICMP error about an earlier answer.
            Err(_) => return,
        }
    };
    let slices: Vec<_> = buffers
        .iter()
        .zip(&received)
        .map(|(buffer, (length, _))| [IoSlice::new(&buffer[..*length])])
        .collect();
    let to: Vec<_> = received.iter().map(|(_, address)| *address).collect();
    let mut headers = MultiHeaders::preallocate(slices.len(), None);
    // What a full queue refuses is lost, as any datagram may be.
    let sent = sendmmsg(descriptor, &mut headers, &slices, to, [], MsgFlags::empty());
    drop(sent);
}
