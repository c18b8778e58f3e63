//! Malformed packets: dropped with a reason if they are for a VIP, left to the kernel if not.

use std::net::SocketAddr;

use adc_common::abi::Reason;

use crate::{
    packets::{Envelope, Extension, Segment, ip_offset, set_byte, set_word, transport_offset},
    walk::{Case, FRONT, Family, World},
};

/// A sentence, the packet, and the reason it is dropped for.
type Bad = (&'static str, Vec<u8>, Reason);

pub(super) fn cases() -> Vec<Case> {
    let world = World::two_arm();
    let mut cases = Vec::new();
    for family in Family::BOTH {
        let talk = world.tcp(family);
        let elsewhere: SocketAddr = match family {
            Family::V4 => "198.51.100.9:80",
            Family::V6 => "[2001:db8:9::9]:80",
        }
        .parse()
        .expect("an address");
        for (whose, to) in [("a VIP", talk.vip), ("somebody else", elsewhere)] {
            let ours = to == talk.vip;
            let name = format!("{family:?}: malformed packets for {whose}");
            let mut case = Case::new(name, &world.contents);
            let envelope = world.client_link.incoming(talk.client, to);
            for (what, frame, reason) in all(family, &envelope) {
                case = case.stays(what, FRONT, frame, fate(reason, ours));
            }
            cases.push(case.leaves(0, 0));
        }
    }
    cases
}

fn fate(reason: Reason, ours: bool) -> Reason {
    match (reason, ours) {
        (reason, true) => reason,
        (Reason::FragmentHeld, false) => Reason::FragmentNotOurs,
        (_, false) => Reason::MalformedNotOurs,
    }
}

fn all(family: Family, envelope: &Envelope) -> Vec<Bad> {
    let mut bad = transport(envelope);
    bad.extend(flags(envelope));
    bad.extend(match family {
        Family::V4 => v4(envelope),
        Family::V6 => v6(envelope),
    });
    bad
}

/// An ACK with a body, which damage is done to.
fn sound(envelope: &Envelope) -> Vec<u8> {
    envelope.frame(&Segment::tcp("PA", 1, 1).data(b"0123456789"))
}

fn transport(envelope: &Envelope) -> Vec<Bad> {
    let tcp = sound(envelope);
    let udp = envelope.frame(&Segment::udp(b"0123456789"));
    let at = transport_offset(&tcp);
    let mut no_port = envelope.clone();
    no_port.from.set_port(0);
    let mut bad = vec![
        (
            "TCP from port 0",
            no_port.frame(&Segment::tcp("S", 1, 0)),
            Reason::ZeroPort,
        ),
        (
            "UDP from port 0",
            no_port.frame(&Segment::udp(b"x")),
            Reason::ZeroPort,
        ),
        (
            "a UDP length of 0",
            set_word(&udp, at + 4, 0),
            Reason::BadTransportHeader,
        ),
        (
            "a UDP length without its header",
            set_word(&udp, at + 4, 7),
            Reason::BadTransportHeader,
        ),
        (
            "a UDP length past the packet",
            set_word(&udp, at + 4, 19),
            Reason::BadTransportHeader,
        ),
    ];
    for (what, words) in [
        ("a TCP header of 0 bytes", 0_u8),
        ("a TCP header of 16 bytes", 4),
        ("a TCP header past the packet", 8),
        ("a TCP header of 60 bytes in 30", 15),
    ] {
        bad.push((
            what,
            set_byte(&tcp, at + 12, words << 4),
            Reason::BadTransportHeader,
        ));
    }
    bad
}

fn flags(envelope: &Envelope) -> Vec<Bad> {
    [
        ("no flag at all", ""),
        ("only PSH", "P"),
        ("only URG", "U"),
        ("FIN without ACK", "F"),
        ("SYN and FIN", "SF"),
        ("SYN, FIN and ACK", "SFA"),
        ("SYN and RST", "SR"),
        ("FIN and RST", "FRA"),
        ("Christmas tree", "FPU"),
        ("all flags", "SAFRPUEC"),
    ]
    .into_iter()
    .map(|(what, flags)| {
        let frame = envelope.frame(&Segment::tcp(flags, 1, 1));
        (what, frame, Reason::BadTcpFlags)
    })
    .collect()
}

fn v4(envelope: &Envelope) -> Vec<Bad> {
    let tcp = sound(envelope);
    let udp = envelope.frame(&Segment::udp(b"0123456789"));
    let ip = ip_offset(&tcp);
    let whole = |frame: &[u8]| u16::try_from(frame.len() - ip).expect("length");
    let data = || Segment::tcp("PA", 1, 1).data(&[0; 68]);
    vec![
        ("version 5", set_byte(&tcp, ip, 0x55), Reason::BadIpHeader),
        (
            "version 6 in an IPv4 frame",
            set_byte(&tcp, ip, 0x65),
            Reason::BadIpHeader,
        ),
        ("an IHL of 0", set_byte(&tcp, ip, 0x40), Reason::BadIpHeader),
        ("an IHL of 4", set_byte(&tcp, ip, 0x44), Reason::BadIpHeader),
        (
            "an IHL past the packet",
            set_byte(&tcp, ip, 0x4f),
            Reason::BadIpHeader,
        ),
        (
            "a total length of 0",
            set_word(&tcp, ip + 2, 0),
            Reason::BadIpHeader,
        ),
        (
            "a total length inside the header",
            set_word(&tcp, ip + 2, 19),
            Reason::BadIpHeader,
        ),
        (
            "a total length one past the frame",
            set_word(&tcp, ip + 2, whole(&tcp) + 1),
            Reason::BadIpHeader,
        ),
        (
            "a total length of 65 535",
            set_word(&tcp, ip + 2, 0xffff),
            Reason::BadIpHeader,
        ),
        (
            "a total length without ports",
            set_word(&tcp, ip + 2, 20),
            Reason::TruncatedTransport,
        ),
        (
            "a total length inside the TCP header",
            set_word(&tcp, ip + 2, 39),
            Reason::TruncatedTransport,
        ),
        (
            "a total length inside the UDP header",
            set_word(&udp, ip + 2, 27),
            Reason::TruncatedTransport,
        ),
        (
            "a middle fragment",
            envelope.frame(&data().fragment(8, true)),
            Reason::FragmentHeld,
        ),
        (
            "a last fragment",
            envelope.frame(&data().fragment(185, false)),
            Reason::FragmentHeld,
        ),
    ]
}

fn v6(envelope: &Envelope) -> Vec<Bad> {
    let tcp = sound(envelope);
    let ip = ip_offset(&tcp);
    let payload = u16::try_from(tcp.len() - ip - 40).expect("length");
    let data = || Segment::udp(&[0; 64]);
    let with = |chain: &[Extension]| envelope.frame(&data().extensions(chain));
    let options = with(&[Extension::new(Extension::DESTINATION, 8)]);
    vec![
        ("version 5", set_byte(&tcp, ip, 0x50), Reason::BadIpHeader),
        (
            "version 4 in an IPv6 frame",
            set_byte(&tcp, ip, 0x45),
            Reason::BadIpHeader,
        ),
        (
            "a payload length one past the frame",
            set_word(&tcp, ip + 4, payload + 1),
            Reason::BadIpHeader,
        ),
        (
            "a payload length of 65 535",
            set_word(&tcp, ip + 4, 0xffff),
            Reason::BadIpHeader,
        ),
        (
            "a payload length of 0 (a jumbogram, or nothing)",
            set_word(&tcp, ip + 4, 0),
            Reason::TruncatedTransport,
        ),
        (
            "a payload length inside the TCP header",
            set_word(&tcp, ip + 4, 19),
            Reason::TruncatedTransport,
        ),
        (
            "a last fragment",
            with(&[Extension::fragment(100, false)]),
            Reason::FragmentHeld,
        ),
        (
            "a fragment behind other headers",
            with(&[
                Extension::new(Extension::HOP_BY_HOP, 8),
                Extension::fragment(9, true),
            ]),
            Reason::FragmentHeld,
        ),
        (
            "an extension header past the packet",
            set_byte(&options, ip + 41, 200),
            Reason::BadExtensionHeaders,
        ),
        (
            "an extension header that ends past the payload",
            set_word(&options, ip + 4, 7),
            Reason::BadExtensionHeaders,
        ),
        (
            "a routing header that has not arrived yet",
            with(&[Extension::routing(1)]),
            Reason::BadExtensionHeaders,
        ),
    ]
}
