//! Asks all the time who has the VIP.

use std::{
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, Ethernet2Header};
use socket2::SockFilter;

use super::filter::RETURN;
use crate::{drive::PacketSocket, net::Link, topology::VIP_V4, until_dropped::UntilDropped};

/// Between two questions.
const INTERVAL: Duration = Duration::from_millis(2);

/// A machine that sends an ARP question for the VIP to everybody every two milliseconds: each node that has it says so, and the
/// [taps](super::Tap) see it.
#[derive(Debug)]
pub struct Questioner {
    _thread: UntilDropped,
}

impl Questioner {
    /// Starts to ask by `link`, with the address `own`.
    #[track_caller]
    pub fn start(link: &Link, own: Ipv4Addr) -> Self {
        // It only sends.
        let nothing = SockFilter::new(RETURN, 0, 0, 0);
        let socket = PacketSocket::open(link, &[nothing]);
        let frame = question(link.mac().0, own);
        let mut due = Instant::now();
        let thread = UntilDropped::start(move || {
            socket.send(&frame).ok();
            due += INTERVAL;
            let now = Instant::now();
            // Questions that were not asked in time are of no use later.
            due = due.max(now);
            thread::sleep(due - now);
        });
        Self { _thread: thread }
    }
}

fn question(mac: [u8; 6], own: Ipv4Addr) -> Vec<u8> {
    const EVERYBODY: [u8; 6] = [0xff; 6];
    let header = Ethernet2Header {
        source: mac,
        destination: EVERYBODY,
        ether_type: EtherType::ARP,
    };
    let arp = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        ArpOperation::REQUEST,
        &mac,
        &own.octets(),
        &[0; 6],
        &VIP_V4.octets(),
    );
    let arp = arp.unwrap_or_else(|error| panic!("cannot make an ARP question: {error}"));
    let mut frame = header.to_bytes().to_vec();
    frame.extend_from_slice(&arp.to_bytes());
    frame
}
