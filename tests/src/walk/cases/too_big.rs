//! Packets that are too big, or whose TTL ends: ICMP errors to their senders.

use adc_common::abi::Reason;

use super::{ack, answer, established, request, syn};
use crate::{
    packets::{Segment, Tag, time_exceeded, too_big},
    walk::{BACK, Case, FRONT, Family, Link, Talk, Way, World},
};

/// MTU of both interfaces.
const MTU: usize = 1500;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for family in Family::BOTH {
        cases.extend([
            translated(family),
            one_arm(family),
            expired(family),
            expired_new(family),
            nobody(family),
        ]);
        for way in Way::ALL {
            cases.push(direct(family, way));
        }
        cases.push(small_links(family));
    }
    cases.push(may_be_fragmented());
    cases
}

/// Data that makes a packet of so many bytes.
fn sized(family: Family, bytes: usize) -> Segment {
    let headers = match family {
        Family::V4 => 40,
        Family::V6 => 60,
    };
    let data: Vec<u8> = (0..bytes - headers).map(|n| n.to_le_bytes()[0]).collect();
    request("PA", 0).data(&data)
}

fn two_arm() -> World {
    let mut world = World::new(
        Link::new(FRONT, 0xfe).tagged(&[Tag::service(3), Tag::customer(4).priority(2)]),
        Link::new(BACK, 10),
    )
    .with_icmp_errors();
    // What comes in is smaller than what may go out, as behind a router with jumbo frames.
    for interface in world.contents.interfaces.values_mut() {
        interface.mtu = MTU.try_into().expect("small");
    }
    world
}

fn translated(family: Family) -> Case {
    let world = two_arm();
    let talk = world.tcp(family);
    let big = talk.client_sends(&sized(family, MTU + 1));
    let mut big_answer = answer("PA", 0);
    big_answer.payload = sized(family, MTU + 1).payload;
    let answered = talk.backend_sends(&big_answer);
    established(
        Case::new(
            format!("{family:?}: a packet larger than the MTU on the other side comes back as an ICMP error, both ways"),
            &world.contents,
        ),
        &talk,
    )
    .sent(
        "exactly the MTU",
        talk.request(&sized(family, MTU)),
        Reason::ForwardedToBackend,
    )
    .answered(
        "one byte more",
        FRONT,
        big.clone(),
        Reason::PacketTooBig,
        too_big(&big, talk.vip.ip(), 1500),
    )
    .answered(
        "one byte more from the backend",
        BACK,
        answered.clone(),
        Reason::PacketTooBig,
        too_big(&answered, talk.vip.ip(), 1500),
    )
    .sent(
        "a small one",
        talk.request(&request("PA", 0).data(b"small")),
        Reason::ForwardedToBackend,
    )
    .counts(super::ONE)
}

fn one_arm(family: Family) -> Case {
    let world = World::one_arm().with_icmp_errors();
    let talk = world.tcp(family);
    established(
        Case::new(
            format!("{family:?}: what came in by an interface may leave by it, whatever its size (GRO in skb mode)"),
            &world.contents,
        ),
        &talk,
    )
    .sent(
        "several packets in one",
        talk.request(&sized(family, 3000)),
        Reason::ForwardedToBackend,
    )
    .counts(super::ONE)
}

fn direct(family: Family, way: Way) -> Case {
    let world = World::direct(
        Link::new(FRONT, 0xfe),
        Link::new(BACK, 10).tagged(&[Tag::customer(9)]),
        way,
    )
    .with_icmp_errors();
    let talk = world.tcp(family);
    let room = MTU - way.outer(0).map_or(0, |outer| outer.overhead());
    let big = talk.client_sends(&sized(family, room + 1));
    let padded = sized(family, room).padded(4);
    let send = |segment: &Segment| talk.direct(way, segment);
    Case::new(
        format!("{family:?} {way:?}: room for {room} bytes, and an ICMP error for one more"),
        &world.contents,
    )
    .sent("the SYN", send(&syn()), Reason::ScheduledNewFlow)
    .sent("the ACK", send(&ack()), Reason::ForwardedToBackend)
    .sent(
        "what just fits",
        send(&sized(family, room)),
        Reason::ForwardedToBackend,
    )
    .sent(
        "the same with bytes behind the packet",
        send(&padded),
        Reason::ForwardedToBackend,
    )
    .answered(
        "one byte more",
        FRONT,
        big.clone(),
        Reason::PacketTooBig,
        too_big(&big, talk.vip.ip(), room.try_into().expect("small")),
    )
    .counts(super::ONE)
}

fn may_be_fragmented() -> Case {
    let way = Way::Ipip(Family::V4);
    let world = World::direct(Link::new(FRONT, 0xfe), Link::new(BACK, 10), way).with_icmp_errors();
    let talk = world.udp(Family::V4);
    let datagram = |bytes: usize| Segment::udp(&vec![7; bytes - 28]).fragment(0, false);
    Case::new(
        "V4: a packet without DF that does not fit is dropped: adc does not fragment",
        &world.contents,
    )
    .sent(
        "what just fits",
        talk.direct(way, &datagram(1480)),
        Reason::ScheduledNewFlow,
    )
    .stays(
        "one byte more",
        FRONT,
        talk.client_sends(&datagram(1481)),
        Reason::NeedsFragmenting,
    )
    .leaves_entries(1, 0)
    .counts(super::ONE)
}

/// Below 1280 bytes nobody can be told in IPv6.
fn small_links(family: Family) -> Case {
    let way = Way::Ipip(Family::V6);
    let mut world =
        World::direct(Link::new(FRONT, 0xfe), Link::new(BACK, 10), way).with_icmp_errors();
    for interface in world.contents.interfaces.values_mut() {
        interface.mtu = 1300;
    }
    let talk = world.tcp(family);
    let big = talk.client_sends(&sized(family, 1270));
    let case = Case::new(
        format!("{family:?}: a tunnel over a link with a small MTU"),
        &world.contents,
    )
    .sent(
        "the SYN",
        talk.direct(way, &syn()),
        Reason::ScheduledNewFlow,
    )
    .sent(
        "the ACK",
        talk.direct(way, &ack()),
        Reason::ForwardedToBackend,
    )
    .sent(
        "what just fits",
        talk.direct(way, &sized(family, 1260)),
        Reason::ForwardedToBackend,
    )
    .counts(super::ONE);
    match family {
        Family::V4 => case.answered(
            "more",
            FRONT,
            big.clone(),
            Reason::PacketTooBig,
            too_big(&big, talk.vip.ip(), 1260),
        ),
        Family::V6 => case.stays("more", FRONT, big, Reason::NeedsFragmenting),
    }
}

fn expired(family: Family) -> Case {
    let world = two_arm();
    let talk = world.udp(family);
    let last = |data: &[u8]| Segment::udp(data).ttl(1);
    let error = |frame: &[u8], talk: &Talk| time_exceeded(frame, talk.vip.ip());
    let empty = talk.client_sends(&last(b""));
    let odd = talk.client_sends(&last(b"12345").padded(7));
    let long = talk.client_sends(&last(&[9; 1300]));
    let back = talk.backend_sends(&last(b"from the backend"));
    let mut case = Case::new(
        format!("{family:?}: traceroute sees this node as the VIP, from both sides"),
        &world.contents,
    )
    .sent(
        "a datagram",
        talk.request(&Segment::udp(b"question")),
        Reason::ScheduledNewFlow,
    )
    .sent(
        "its answer",
        talk.answer(&Segment::udp(b"answer")),
        Reason::ForwardedToClient,
    );
    for (what, by, frame) in [
        ("an empty one", FRONT, empty),
        ("one of odd length, with padding", FRONT, odd),
        ("a long one", FRONT, long),
        ("one from the backend", BACK, back),
    ] {
        let out = error(&frame, &talk);
        case = case.answered(what, by, frame, Reason::TtlExceeded, out);
    }
    case.counts(super::ONE)
}

fn expired_new(family: Family) -> Case {
    let world = two_arm();
    let talk = world.tcp(family);
    let probe = talk.client_sends(&syn().ttl(1));
    let out = time_exceeded(&probe, talk.vip.ip());
    Case::new(
        format!("{family:?}: a SYN whose TTL ends here opens nothing, and is answered"),
        &world.contents,
    )
    .answered("the SYN", FRONT, probe, Reason::TtlExceeded, out)
    .leaves(0, 0)
}

/// Senders that are not one host.
fn nobody(family: Family) -> Case {
    let world = two_arm();
    let senders = match family {
        Family::V4 => ["0.0.0.1", "127.0.0.1", "224.0.0.1", "255.255.255.255"],
        Family::V6 => ["::", "::1", "ff02::1", "ff0e::1"],
    };
    let mut case = Case::new(
        format!("{family:?}: no error is sent to a group, to nobody, or to ourselves"),
        &world.contents,
    );
    for sender in senders {
        let mut talk = world.tcp(family);
        talk.client.set_ip(sender.parse().expect("an address"));
        let frame = talk.client_sends(&syn().ttl(1));
        case = case.stays("a SYN", FRONT, frame, Reason::TtlExceeded);
    }
    case.leaves(0, 0)
}
