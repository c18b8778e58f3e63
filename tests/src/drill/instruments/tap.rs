//! What leaves a node, seen at the switch's port.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use etherparse::{IpNumber, NetSlice, SlicedPacket, TransportSlice};
use socket2::SockFilter;

use super::stream::{self, MAGIC};
use crate::{
    drive::{PacketSocket, Stamp},
    net::Link,
    topology::{CLIENT_V4, VIP_V4},
};

/// What a frame that left a node says of that node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A packet of the stream on its way to a backend.
    Forwarded,
    /// A packet of the stream on its way back to the client.
    Replied,
    /// "The VIP is at my MAC": an answer to a question, or a gratuitous ARP.
    Claimed,
    /// A VRRP advert of an active node.
    Advertised,
}

/// All signs of life of one node as the one that has the VIP.
#[derive(Debug)]
pub struct Tap {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    seen: Mutex<Vec<(Stamp, Sign)>>,
}

impl Tap {
    /// Listens on the switch's end of a node's link.
    #[track_caller]
    pub fn listen(port: &Link) -> Self {
        let socket = PacketSocket::open(port, &filter());
        let shared = Arc::<Shared>::default();
        let thread = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || listen(&socket, &shared))
        };
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// What was seen so far, in the order of time.
    pub fn seen(&self) -> Vec<(Stamp, Sign)> {
        self.lock().clone()
    }

    /// How many signs of this kind came after `since`.
    pub fn count(&self, sign: Sign, since: Stamp) -> usize {
        let seen = self.lock();
        let fitting = |(at, what): &&(Stamp, Sign)| *at >= since && *what == sign;
        seen.iter().rev().filter(fitting).count()
    }

    /// Begins anew.
    pub fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Stamp, Sign)>> {
        let seen = self.shared.seen.lock();
        seen.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn listen(socket: &PacketSocket, shared: &Shared) {
    let mut buffer = [0; 2048];
    while !shared.stop.load(Ordering::Relaxed) {
        let Some((at, frame)) = socket.receive(&mut buffer) else {
            continue;
        };
        if let Some(sign) = sign(frame) {
            let mut seen = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push((at, sign));
        }
    }
}

/// What a frame says; `None` if nothing of interest.
fn sign(frame: &[u8]) -> Option<Sign> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    match packet.net? {
        NetSlice::Arp(arp) => {
            let claims = arp.sender_protocol_addr() == VIP_V4.octets();
            claims.then_some(Sign::Claimed)
        }
        NetSlice::Ipv4(ip) => {
            if ip.header().protocol() == VRRP {
                // The priority is the third byte in versions 2 and 3; 0 resigns.
                let priority = ip.payload().payload.get(2)?;
                return (*priority > 0).then_some(Sign::Advertised);
            }
            let Some(TransportSlice::Udp(udp)) = packet.transport else {
                return None;
            };
            stream::parse(udp.payload())?;
            let to_client = Ipv4Addr::from(ip.header().destination()) == CLIENT_V4;
            Some(if to_client {
                Sign::Replied
            } else {
                Sign::Forwarded
            })
        }
        NetSlice::Ipv6(_) => None,
    }
}

const VRRP: IpNumber = IpNumber(112);

/// Frames that came in by the port (left the node): ARP, VRRP, and UDP whose payload begins with the stream's mark.
/// A bulk transfer is not even copied.
fn filter() -> [SockFilter; 13] {
    use super::filter::{
        JUMP_IF_EQUAL, LOAD_BYTE, LOAD_HALF, LOAD_WORD, LOAD_WORD_AT_X, OUTGOING, PACKET_TYPE,
        RETURN, X_IS_HEADER_LENGTH,
    };
    let mark = u32::from_be_bytes(MAGIC);
    [
        SockFilter::new(LOAD_WORD, 0, 0, PACKET_TYPE),
        SockFilter::new(JUMP_IF_EQUAL, 10, 0, OUTGOING),
        SockFilter::new(LOAD_HALF, 0, 0, 12),
        SockFilter::new(JUMP_IF_EQUAL, 7, 0, 0x0806),
        SockFilter::new(JUMP_IF_EQUAL, 0, 7, 0x0800),
        SockFilter::new(LOAD_BYTE, 0, 0, 23),
        SockFilter::new(JUMP_IF_EQUAL, 4, 0, 112),
        SockFilter::new(JUMP_IF_EQUAL, 0, 4, 17),
        SockFilter::new(X_IS_HEADER_LENGTH, 0, 0, 14),
        SockFilter::new(LOAD_WORD_AT_X, 0, 0, 14 + 8),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, mark),
        SockFilter::new(RETURN, 0, 0, 2048),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    #[test]
    fn frames_say_who_serves_and_who_claims_to() {
        let frame = |from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]| {
            let builder = PacketBuilder::ethernet2([2; 6], [4; 6]);
            let builder = builder.ipv4(from.octets(), to.octets(), 63).udp(9, 9);
            let mut bytes = Vec::new();
            builder.write(&mut bytes, payload).unwrap();
            bytes
        };
        let backend = Ipv4Addr::new(10, 2, 0, 11);
        let payload = stream::payload(7, 3);
        let cases = [
            (frame(CLIENT_V4, backend, &payload), Some(Sign::Forwarded)),
            (frame(VIP_V4, CLIENT_V4, &payload), Some(Sign::Replied)),
            (frame(VIP_V4, CLIENT_V4, b"something else"), None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(sign(&bytes), expected);
        }
        let mut advert = frame(backend, Ipv4Addr::new(224, 0, 0, 18), &payload);
        advert[14 + 9] = 112;
        advert[14 + 20 + 2] = 100;
        assert_eq!(sign(&advert), Some(Sign::Advertised));
        advert[14 + 20 + 2] = 0;
        assert_eq!(sign(&advert), None);
    }
}
