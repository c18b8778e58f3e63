//! ICMP errors about tracked flows: translated inside and out, both ways.

mod full_nat;
mod quotes;
mod refused;

use std::net::SocketAddr;

use adc_common::abi::{InterfaceId, Reason};

use super::{ONE, answer, established, request, syn};
use crate::{
    packets::{Envelope, IcmpError, Segment, Tag, Transport, split, transport_offset},
    walk::{Case, Crossing, FRONT, Family, Link, Talk, World},
};

/// TTL of the errors as they come in.
pub(super) const TTL: u8 = 61;

/// Longer than any quote: all of the packet.
pub(super) const WHOLE: usize = 2000;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for family in Family::BOTH {
        let world = World::two_arm();
        cases.extend([
            every_kind(family, &world),
            datagrams(family, &world),
            half_open(family, &world),
            changes_nothing(family, &world),
        ]);
        cases.extend(quotes::cases(family, &world));
        cases.extend(refused::cases(family, &world));
        cases.extend(full_nat::cases(family));
        for tags in [
            vec![Tag::customer(5)],
            vec![Tag::service(7), Tag::customer(8)],
        ] {
            cases.push(tagged(family, &tags));
        }
    }
    cases
}

pub(super) fn router(family: Family, inside: bool) -> SocketAddr {
    match (family, inside) {
        (Family::V4, false) => "198.51.100.1:0",
        (Family::V4, true) => "10.20.255.1:0",
        (Family::V6, false) => "[2001:db8:99::1]:0",
        (Family::V6, true) => "[fd00:20:ff::1]:0",
    }
    .parse()
    .expect("an address")
}

/// Type, code, bytes 5 to 8.
fn kinds(family: Family) -> Vec<(u8, u8, [u8; 4])> {
    match family {
        Family::V4 => {
            let mut kinds: Vec<_> = (0..16).map(|code| (3, code, [0; 4])).collect();
            kinds.push((3, 4, [0, 0, 0x05, 0x14]));
            kinds.extend([(11, 0, [0; 4]), (11, 1, [0; 4]), (12, 0, [20, 0, 0, 0])]);
            kinds
        }
        Family::V6 => {
            let mut kinds: Vec<_> = (0..8).map(|code| (1, code, [0; 4])).collect();
            kinds.extend([
                (2, 0, [0, 0, 0x05, 0x14]),
                (3, 0, [0; 4]),
                (3, 1, [0; 4]),
                (4, 0, [0, 0, 0, 40]),
                (4, 1, [0, 0, 0, 6]),
            ]);
            kinds
        }
    }
}

pub(super) fn unreachable(family: Family) -> IcmpError {
    match family {
        Family::V4 => IcmpError::new(3, 3),
        Family::V6 => IcmpError::new(1, 4),
    }
}

/// Bytes of an IP header.
pub(super) fn ip_header(family: Family) -> usize {
    match family {
        Family::V4 => 20,
        Family::V6 => 40,
    }
}

/// The frame that an end sent of what came to be quoted as `quoted`. A quoted CRC stays as it is: what is quoted seldom
/// holds all that it covers.
pub(super) fn as_quoted(quoted: &[u8], envelope: &Envelope, segment: &Segment) -> Vec<u8> {
    let sent = envelope.frame(segment);
    if !matches!(segment.transport, Transport::Sctp { .. }) {
        return sent;
    }
    let crc = |frame: &[u8]| {
        let at = transport_offset(frame) + 8;
        let bytes = frame[at..at + 4].try_into().expect("four bytes");
        u32::from_le_bytes(bytes)
    };
    envelope.frame(&segment.clone().flawed(crc(&sent) ^ crc(quoted)))
}

/// About an answer to the client: from the client or a router on the way, to the backend, which must not see its packet
/// but as it sent it. A backend that does not see clients hears of it from the address that it knows.
pub(super) fn about_answer(
    talk: &Talk,
    from: SocketAddr,
    error: &IcmpError,
    segment: &Segment,
    length: usize,
) -> Crossing {
    let quoted = talk
        .client_link
        .outgoing(talk.vip, talk.client)
        .frame(segment);
    let sent = talk.backend_link.outgoing(talk.backend, talk.seen_as);
    let sent = as_quoted(&quoted, &sent, segment);
    let (client, backend) = (&talk.client_link, &talk.backend_link);
    let frame = error.clone().about(&quoted, length);
    let out = error.clone().about(&sent, length);
    let seen_as_is = talk.seen_as.ip() == talk.client.ip();
    let reporter = if seen_as_is { from } else { talk.seen_as };
    Crossing::between(
        client,
        frame.frame(&client.incoming(from, talk.vip), TTL),
        backend,
        out.frame(&backend.outgoing(reporter, talk.backend), TTL - 1),
    )
}

/// About a packet to the backend: from the backend or a router inside, to the client, which must see nothing but the VIP.
pub(super) fn about_request(
    talk: &Talk,
    from: SocketAddr,
    error: &IcmpError,
    segment: &Segment,
    length: usize,
) -> Crossing {
    let quoted = talk
        .backend_link
        .outgoing(talk.seen_as, talk.backend)
        .frame(segment);
    let sent = talk.client_link.outgoing(talk.client, talk.vip);
    let sent = as_quoted(&quoted, &sent, segment);
    let (client, backend) = (&talk.client_link, &talk.backend_link);
    let frame = error.clone().about(&quoted, length);
    let out = error.clone().about(&sent, length);
    Crossing::between(
        backend,
        frame.frame(&backend.incoming(from, talk.seen_as), TTL),
        client,
        out.frame(&client.outgoing(talk.vip, talk.client), TTL - 1),
    )
}

/// The same error in both directions, from routers.
pub(super) fn both_ways(
    case: Case,
    what: &'static str,
    (talk, family): (&Talk, Family),
    error: &IcmpError,
    segments: (&Segment, &Segment),
    length: usize,
) -> Case {
    let outside = router(family, false);
    let inside = router(family, true);
    case.sent(
        what,
        about_answer(talk, outside, error, segments.1, length),
        Reason::IcmpErrorToBackend,
    )
    .sent(
        what,
        about_request(talk, inside, error, segments.0, length),
        Reason::IcmpErrorToClient,
    )
}

fn every_kind(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: every kind of ICMP error reaches the end it concerns");
    let mut case = established(Case::new(name, &world.contents), &talk);
    let (up, down) = (
        request("PA", 0).data(b"question"),
        answer("PA", 0).data(b"answer"),
    );
    for (kind, code, rest) in kinds(family) {
        let error = IcmpError::new(kind, code).rest(rest);
        let talk = (&talk, family);
        case = both_ways(case, "an error", talk, &error, (&up, &down), WHOLE);
    }
    let error = unreachable(family);
    from_the_ends(case, &talk, &error, (&up, &down))
        .counts(ONE)
        .leaves(1, 0)
}

/// An error that client and backend each send themselves.
fn from_the_ends(
    case: Case,
    talk: &Talk,
    error: &IcmpError,
    segments: (&Segment, &Segment),
) -> Case {
    case.sent(
        "from the client itself",
        about_answer(talk, talk.client, error, segments.1, WHOLE),
        Reason::IcmpErrorToBackend,
    )
    .sent(
        "from the backend itself",
        about_request(talk, talk.backend, error, segments.0, WHOLE),
        Reason::IcmpErrorToClient,
    )
}

fn datagrams(family: Family, world: &World) -> Case {
    let talk = world.udp(family);
    let name = format!("{family:?}: errors about datagrams, answered and not, checksummed and not");
    let (up, down) = (Segment::udp(b"question"), Segment::udp(b"the answer"));
    let error = unreachable(family);
    let inside = router(family, true);
    let mut case = Case::new(name, &world.contents)
        .sent("a question", talk.request(&up), Reason::ScheduledNewFlow)
        .sent(
            "the port is closed, says the backend",
            about_request(&talk, talk.backend, &error, &up, WHOLE),
            Reason::IcmpErrorToClient,
        )
        .sent("an answer", talk.answer(&down), Reason::ForwardedToClient);
    for length in [ip_header(family) + 8, WHOLE] {
        let talk = (&talk, family);
        case = both_ways(case, "datagrams", talk, &error, (&up, &down), length);
    }
    if family == Family::V4 {
        let (up, down) = (up.without_checksum(), down.without_checksum());
        let talk = (&talk, family);
        case = both_ways(case, "no checksum", talk, &error, (&up, &down), WHOLE);
    }
    let first = first_fragment_of(&talk, inside, &error);
    case.sent("about a first fragment", first, Reason::IcmpErrorToClient)
        .counts(ONE)
        .leaves(1, 0)
}

/// An error that quotes the first of several fragments.
fn first_fragment_of(talk: &Talk, from: SocketAddr, error: &IcmpError) -> Crossing {
    let segment = Segment::udp(&[5; 100]);
    let (client, backend) = (&talk.client_link, &talk.backend_link);
    let quoted = backend.outgoing(talk.seen_as, talk.backend).frame(&segment);
    let sent = client.outgoing(talk.client, talk.vip).frame(&segment);
    let first = |whole: &[u8]| split(whole, 48, 77).swap_remove(0);
    let frame = error.clone().about(&first(&quoted), WHOLE);
    let out = error.clone().about(&first(&sent), WHOLE);
    Crossing::between(
        backend,
        frame.frame(&backend.incoming(from, talk.seen_as), TTL),
        client,
        out.frame(&client.outgoing(talk.vip, talk.client), TTL - 1),
    )
}

fn half_open(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: a SYN that is answered by an error: the client hears of it");
    Case::new(name, &world.contents)
        .sent("the SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .sent(
            "unreachable",
            about_request(
                &talk,
                router(family, true),
                &unreachable(family),
                &syn(),
                WHOLE,
            ),
            Reason::IcmpErrorToClient,
        )
        .sent(
            "the SYN again is of the same flow",
            talk.request(&syn()),
            Reason::ForwardedToBackend,
        )
        .leaves(0, 1)
}

/// An error refreshes nothing: the flow ends when it would have ended.
fn changes_nothing(family: Family, world: &World) -> Case {
    let talk = world.udp(family);
    let up = Segment::udp(b"question");
    let name = format!("{family:?}: an error does not keep a flow alive");
    let error = |talk: &Talk| {
        about_request(
            talk,
            talk.backend,
            &unreachable(family),
            &Segment::udp(b"question"),
            WHOLE,
        )
    };
    Case::new(name, &world.contents)
        .sent("a question", talk.request(&up), Reason::ScheduledNewFlow)
        .after(20)
        .sent("an error", error(&talk), Reason::IcmpErrorToClient)
        .after(20)
        .sent(
            "too late: a new flow",
            talk.request(&up),
            Reason::ScheduledNewFlow,
        )
        .leaves(0, 1)
}

fn tagged(family: Family, tags: &[Tag]) -> Case {
    let name = format!(
        "{family:?}: errors cross from {} VLAN tags to none, and back",
        tags.len()
    );
    let world = World::new(
        Link::new(FRONT, 0xfe).tagged(tags),
        Link::new(InterfaceId(1), 10),
    );
    let talk = world.tcp(family);
    let case = established(Case::new(name, &world.contents), &talk);
    let segments = (
        &request("PA", 0).data(b"up"),
        &answer("PA", 0).data(b"down"),
    );
    let talk = (&talk, family);
    both_ways(case, "tagged", talk, &unreachable(family), segments, WHOLE).counts(ONE)
}
