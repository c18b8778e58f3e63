//! Cases that a table can not hold, because what happens next depends on what came out. Run on the host and in
//! the kernel.

use std::net::{IpAddr, SocketAddr};

use adc_common::abi::{Protocol, Reason};

use super::{Arrival, Exit, Family, PROTOCOLS, Talk, Walk, World, talk::Crossing};
use crate::packets::{Chunk, Segment, checksums_hold, ip_offset, seal_sctp, transport_offset};

/// Sends a packet and wants it forwarded, byte for byte as expected.
fn crosses(place: &mut dyn Walk, what: &str, crossing: &Crossing) {
    let arrival = place
        .arrive(&crossing.frame, crossing.by)
        .expect("a whole frame");
    let expected = Arrival {
        exit: crossing.exit,
        frame: crossing.out.clone(),
    };
    let name = place.name();
    assert!(
        arrival == expected,
        "{what} ({name}): {arrival:?}\nshould be {expected:?}"
    );
}

/// One client, from one port, talks to two VIPs that share a backend: to the backend the two must differ.
///
/// # Panics
/// If they do not, or an answer goes astray.
pub fn two_services_share_a_backend(place: &mut dyn Walk) {
    for family in Family::BOTH {
        for protocol in PROTOCOLS {
            share(place, family, protocol);
        }
    }
}

/// Two services with one backend, and a client that talks to both from one port.
fn shared(family: Family, protocol: Protocol) -> (World, Talk, Talk) {
    let mut world = World::two_arm();
    let first = world.talk(family, protocol);
    let mut second = first.clone();
    second.vip.set_ip(match family {
        Family::V4 => "203.0.113.99".parse::<IpAddr>().expect("an address"),
        Family::V6 => "2001:db8:f::99".parse().expect("an address"),
    });
    let service = world.contents.service(second.vip, protocol);
    world
        .contents
        .backend(service, second.backend, &world.backend_link);
    (world, first, second)
}

fn share(place: &mut dyn Walk, family: Family, protocol: Protocol) {
    let (world, first, mut second) = shared(family, protocol);
    place.pour(&world.contents);
    let opening = opening(protocol);
    crosses(place, "the first opens", &first.request(&opening));
    let port = changed_port(place, &second, &opening);
    second.seen_as.set_port(port);
    converse(place, protocol, [&first, &second]);
    // The other port was given to this flow, not taken from everybody: its owner, if it comes, gets another.
    let owner = first.clone().with_port(port);
    let other = changed_port(place, &owner, &opening);
    assert_ne!(other, port);
}

/// Sends the opening of a flow whose port is taken, and returns the port it got.
fn changed_port(place: &mut dyn Walk, talk: &Talk, opening: &Segment) -> u16 {
    let crossing = talk.request(opening);
    let arrival = place
        .arrive(&crossing.frame, crossing.by)
        .expect("a whole frame");
    let at = transport_offset(&arrival.frame);
    let port = u16::from_be_bytes([arrival.frame[at], arrival.frame[at + 1]]);
    let mut seen = talk.clone();
    seen.seen_as.set_port(port);
    assert_ne!(port, talk.client.port(), "the same port twice");
    assert!(port >= 1024, "{port} is a system port");
    let expected = seen.request(opening);
    assert_eq!(arrival.exit, expected.exit);
    assert_eq!(arrival.frame, expected.out, "only the port may differ");
    port
}

fn opening(protocol: Protocol) -> Segment {
    if protocol == Protocol::TCP {
        Segment::tcp("S", 100, 0)
    } else if protocol == Protocol::SCTP {
        Segment::sctp(0, &[Chunk::initiate(Chunk::INIT, 100, &[])])
    } else {
        Segment::udp(b"question")
    }
}

/// A handshake loses its half for answers, and another flow takes that place: the first may not follow it.
///
/// # Panics
/// If it does.
pub fn a_half_flow_is_not_mistaken_for_another(place: &mut dyn Walk) {
    for family in Family::BOTH {
        let (world, first, second) = shared(family, Protocol::TCP);
        place.pour(&world.contents);
        let opening = opening(Protocol::TCP);
        crosses(place, "the first opens", &first.request(&opening));
        place.evict(true);
        crosses(
            place,
            "the second takes the port",
            &second.request(&opening),
        );
        let port = changed_port(place, &first, &opening);
        let mut first = first;
        first.seen_as.set_port(port);
        converse(place, Protocol::TCP, [&first, &second]);
    }
}

/// Both go on with what follows the opening, in turns.
fn converse(place: &mut dyn Walk, protocol: Protocol, talks: [&Talk; 2]) {
    for (what, segment, from_client) in conversation(protocol) {
        for talk in talks {
            let crossing = if from_client {
                talk.request(&segment)
            } else {
                talk.answer(&segment)
            };
            crosses(place, what, &crossing);
        }
    }
}

/// What follows the opening: a sentence, the segment, whether it is the client's.
fn conversation(protocol: Protocol) -> Vec<(&'static str, Segment, bool)> {
    if protocol == Protocol::TCP {
        vec![
            ("the opening again", opening(protocol), true),
            ("the SYN-ACK", Segment::tcp("SA", 900, 101), false),
            ("the ACK", Segment::tcp("A", 101, 901), true),
            ("data", Segment::tcp("PA", 101, 901).data(b"request"), true),
            (
                "data back",
                Segment::tcp("PA", 901, 108).data(b"answer"),
                false,
            ),
        ]
    } else if protocol == Protocol::SCTP {
        let init_ack = Chunk::initiate(Chunk::INIT_ACK, 900, b"\0\x07\0\x08cook");
        let echo = Chunk::new(Chunk::COOKIE_ECHO, b"cook");
        vec![
            ("the opening again", opening(protocol), true),
            ("the INIT ACK", Segment::sctp(100, &[init_ack]), false),
            ("the cookie", Segment::sctp(900, &[echo]), true),
            (
                "data back",
                Segment::sctp(100, &[Chunk::data(b"answer")]),
                false,
            ),
        ]
    } else {
        vec![
            ("the question again", opening(protocol), true),
            ("the answer", Segment::udp(b"answer"), false),
            ("the next question", Segment::udp(b"next"), true),
        ]
    }
}

/// SYNs of ever new clients, several times more than the half-open table holds, do an established flow no harm.
///
/// # Panics
/// If they do.
pub fn a_syn_flood_leaves_established_flows_alone(place: &mut dyn Walk, syns: u32) {
    for family in Family::BOTH {
        let world = World::two_arm();
        place.pour(&world.contents);
        let talk = world.tcp(family);
        crosses(place, "the SYN", &talk.request(&Segment::tcp("S", 100, 0)));
        crosses(
            place,
            "the SYN-ACK",
            &talk.answer(&Segment::tcp("SA", 900, 101)),
        );
        crosses(
            place,
            "the ACK",
            &talk.request(&Segment::tcp("A", 101, 901)),
        );
        let before = place.counters();
        for n in 0..syns {
            let flood = spoofed(&talk, n).request(&Segment::tcp("S", n, 0));
            crosses(place, "a SYN of the flood", &flood);
        }
        let counted = place.counters().since(&before);
        let scheduled = counted.reasons.get(Reason::ScheduledNewFlow.name());
        assert_eq!(
            scheduled.map(|reason| reason.packets),
            Some(u64::from(syns)),
            "{counted:?}"
        );
        crosses(
            place,
            "data during the flood",
            &talk.request(&Segment::tcp("PA", 101, 901).data(b"x")),
        );
        crosses(
            place,
            "data back",
            &talk.answer(&Segment::tcp("PA", 901, 102).data(b"y")),
        );
        let late = talk.with_port(50_000);
        crosses(place, "a new SYN", &late.request(&Segment::tcp("S", 7, 0)));
        crosses(
            place,
            "its SYN-ACK",
            &late.answer(&Segment::tcp("SA", 8, 8)),
        );
        crosses(place, "its ACK", &late.request(&Segment::tcp("A", 8, 9)));
    }
}

/// The same talk, of client `n` of a flood.
fn spoofed(talk: &Talk, n: u32) -> Talk {
    let [_, a, b, c] = n.to_be_bytes();
    let address: IpAddr = match talk.client.ip() {
        IpAddr::V4(_) => [198, 18 + (a & 1), b, c].into(),
        IpAddr::V6(_) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
            octets[13..].copy_from_slice(&[a, b, c]);
            octets.into()
        }
    };
    let client = SocketAddr::new(address, 1024 + (n % 60_000) as u16);
    Talk {
        client,
        seen_as: client,
        ..talk.clone()
    }
}

/// `reply(forward(p)) = p`: what a backend would see of a packet, sent back to where it came from with source
/// and destination exchanged, arrives at the client as an exact mirror image, but for TTL and checksums; and all
/// checksums are right on the way.
///
/// # Panics
/// If not.
pub fn forward_then_reply_mirrors(place: &mut dyn Walk, talk: &Talk, segment: &Segment) {
    let frame = talk.client_sends(segment);
    let forward = place
        .arrive(&frame, talk.client_link.interface)
        .expect("a whole frame");
    assert!(
        matches!(forward.exit, Exit::Transmit | Exit::Redirect),
        "{forward:?}"
    );
    assert!(checksums_hold(&forward.frame), "{forward:?}");
    let back = place
        .arrive(&mirrored(&forward.frame), talk.backend_link.interface)
        .expect("a whole frame");
    assert_eq!(back.exit, forward.exit);
    assert!(checksums_hold(&back.frame), "{back:?}");
    assert_eq!(
        mortal(&back.frame),
        mortal(&mirrored(&frame)),
        "{back:?}\nis no mirror image of {frame:02x?}"
    );
}

/// With MACs, addresses and ports exchanged. Sums do not know an order; a CRC does.
fn mirrored(frame: &[u8]) -> Vec<u8> {
    let mut mirrored = frame.to_vec();
    let (ip, transport) = (ip_offset(frame), transport_offset(frame));
    let mut swap = |at: usize, length: usize| {
        let (left, right) = mirrored[at..at + 2 * length].split_at_mut(length);
        left.swap_with_slice(right);
    };
    swap(0, 6);
    match frame[ip] >> 4 {
        4 => swap(ip + 12, 4),
        _ => swap(ip + 8, 16),
    }
    swap(transport, 2);
    seal_sctp(&mut mirrored);
    mirrored
}

/// Without TTL and the checksum of the header that it is in, and without Ethernet, whose addresses are the
/// neighbours' own.
fn mortal(frame: &[u8]) -> Vec<u8> {
    let ip = ip_offset(frame);
    let mut packet = frame[ip..].to_vec();
    if packet[0] >> 4 == 4 {
        packet[8] = 0;
        packet[10..12].fill(0);
    } else {
        packet[7] = 0;
    }
    packet
}
