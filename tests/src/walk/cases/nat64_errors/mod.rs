//! ICMP errors about flows between an IPv6 client and an IPv4 backend: outer header, message and quoted packet change their
//! family (RFC 7915 §4.2, §4.3, §5.2, §5.3).

mod kinds;
mod refused;

use std::net::SocketAddr;

use adc_common::abi::{Protocol, Reason, TableCounters};
use etherparse::Ipv4Header;

use super::{
    ONE, answer, established,
    full_nat::{FIRST_SPARE, neighbour},
    icmp_errors::{TTL, WHOLE, as_quoted, router},
    request, syn,
};
use crate::{
    packets::{Chunk, IcmpError, Segment, Tag, Transport, ip_offset, split},
    walk::{BACK, Case, Crossing, FRONT, Family, Link, Talk, World},
};

/// Traffic class of the errors as they come in.
const CLASS: u8 = 0xc0;

pub(super) fn cases() -> Vec<Case> {
    let tagged = World::new(
        Link::new(FRONT, 0xfe).tagged(&[Tag::customer(5)]),
        Link::new(BACK, 10).tagged(&[Tag::service(7), Tag::customer(8)]),
    );
    let untagged = World::new(
        Link::new(FRONT, 0xfe).tagged(&[Tag::service(7), Tag::customer(8)]),
        Link::new(BACK, 10),
    );
    let mut cases = vec![
        over("two arms", World::two_arm(), Protocol::TCP),
        over("one arm", World::one_arm(), Protocol::TCP),
        over("tags added", tagged, Protocol::TCP),
        over("tags removed", untagged, Protocol::TCP),
        over("datagrams", World::two_arm(), Protocol::UDP),
        over("SCTP", World::two_arm(), Protocol::SCTP),
        another_port(),
        half_open(),
        fragments(),
        classes(),
    ];
    cases.extend(kinds::cases());
    cases.extend(refused::cases());
    cases
}

fn world() -> (World, Talk) {
    let world = World::two_arm().with_full_nat();
    let talk = world.nat64(Protocol::TCP);
    (world, talk)
}

/// What every IP header in these cases says, in both families.
fn marked(segment: &Segment) -> Segment {
    let mut segment = segment.clone();
    segment.class = segment.class.or(Some(0));
    segment.flow_label = 0;
    segment
}

/// The IPv4 packet that the backend sent, as far as that can be known: IPv6 does not tell its identification.
fn as_sent(segment: &Segment, length: usize) -> Segment {
    let mut segment = marked(segment);
    segment.id = 0;
    segment.dont_fragment = length > 1260;
    segment
}

/// Bytes of an IPv4 packet with this segment.
fn length_in_ipv4(talk: &Talk, segment: &Segment) -> usize {
    let frame = talk.backend_sends(&segment.clone().padded(0));
    frame.len() - ip_offset(&frame)
}

/// An ICMPv6 error about an answer to the client, and the ICMPv4 error that goes to the backend. `errors`: as each family has
/// it; `behind`: how much is quoted behind the IP header.
fn about_answer(
    talk: &Talk,
    from: SocketAddr,
    errors: (&IcmpError, &IcmpError),
    segment: &Segment,
    behind: usize,
) -> Crossing {
    let (client, backend) = (&talk.client_link, &talk.backend_link);
    let quoted = client
        .outgoing(talk.vip, talk.client)
        .frame(&marked(segment));
    let sent = as_quoted(
        &quoted,
        &backend.outgoing(talk.backend, talk.seen_as),
        &as_sent(segment, length_in_ipv4(talk, segment)),
    );
    let frame = errors.0.clone().about(&quoted, 40 + behind);
    let out = errors.1.clone().about(&sent, 20 + behind);
    Crossing::between(
        client,
        with_class(&frame.frame(&client.incoming(from, talk.vip), TTL)),
        backend,
        as_made(&out.frame(&backend.outgoing(talk.seen_as, talk.backend), TTL - 1)),
    )
}

/// An ICMPv4 error about a packet to the backend, and the ICMPv6 error that goes to the client.
fn about_request(
    talk: &Talk,
    from: SocketAddr,
    errors: (&IcmpError, &IcmpError),
    segment: &Segment,
    behind: usize,
) -> Crossing {
    let (client, backend) = (&talk.client_link, &talk.backend_link);
    let quoted = backend
        .outgoing(talk.seen_as, talk.backend)
        .frame(&marked(segment));
    let sent = client.outgoing(talk.client, talk.vip);
    let sent = as_quoted(&quoted, &sent, &marked(segment));
    let frame = errors.0.clone().about(&quoted, 20 + behind);
    let out = errors.1.clone().about(&sent, 40 + behind);
    Crossing::between(
        backend,
        with_class(&frame.frame(&backend.incoming(from, talk.seen_as), TTL)),
        client,
        with_class(&out.frame(&client.outgoing(talk.vip, talk.client), TTL - 1)),
    )
}

/// The frame with [`CLASS`].
fn with_class(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let ip = ip_offset(&frame);
    let packet = &mut frame[ip..];
    if packet[0] >> 4 == 6 {
        packet[0] = 0x60 | CLASS >> 4;
        packet[1] = CLASS << 4;
    } else {
        change_ipv4(packet, |header| {
            header.dscp = (CLASS >> 2).try_into().expect("6 bits");
        });
    }
    frame
}

/// The ICMPv4 frame as adc makes it of an ICMPv6 one: short ones may be fragmented, and then need an identification.
fn as_made(frame: &[u8]) -> Vec<u8> {
    let mut frame = with_class(frame);
    let ip = ip_offset(&frame);
    let packet = &mut frame[ip..];
    let check = u16::from_be_bytes([packet[22], packet[23]]);
    change_ipv4(packet, |header| {
        header.dont_fragment = header.total_len > 1260;
        header.identification = if header.dont_fragment { 0 } else { check };
    });
    frame
}

fn change_ipv4(packet: &mut [u8], change: impl FnOnce(&mut Ipv4Header)) {
    let mut header = Ipv4Header::from_slice(packet).expect("IPv4").0;
    change(&mut header);
    header.header_checksum = header.calc_header_checksum();
    packet[..20].copy_from_slice(&header.to_bytes());
}

/// Port unreachable, in ICMPv4 and ICMPv6.
fn closed() -> (IcmpError, IcmpError) {
    (IcmpError::new(3, 3), IcmpError::new(1, 4))
}

/// Both directions, with as little as a router must quote, that and the checksum, and all.
fn every_length(mut case: Case, talk: &Talk, up: &Segment, down: &Segment) -> Case {
    let (four, six) = closed();
    let (inside, outside) = (router(Family::V4, true), router(Family::V6, false));
    let to_client = Reason::IcmpErrorToClient;
    let to_backend = Reason::IcmpErrorToBackend;
    let mut ways = Vec::new();
    for behind in [8, 20, WHOLE] {
        let crossing = about_request(talk, inside, (&four, &six), up, behind);
        ways.push(("to the client", crossing, to_client));
        let crossing = about_answer(talk, outside, (&six, &four), down, behind);
        ways.push(("to the backend", crossing, to_backend));
    }
    let crossing = about_request(talk, talk.backend, (&four, &six), up, WHOLE);
    ways.push(("from the backend itself", crossing, to_client));
    let crossing = about_answer(talk, talk.client, (&six, &four), down, WHOLE);
    ways.push(("from the client itself", crossing, to_backend));
    // A quoted CRC stays as it is, see `as_quoted`.
    let is_sctp = matches!(up.transport, Transport::Sctp { .. });
    for (what, crossing, reason) in ways {
        case = if is_sctp {
            case.sent_as_it_is(what, crossing, reason)
        } else {
            case.sent(what, crossing, reason)
        };
    }
    case
}

fn over(what: &str, world: World, protocol: Protocol) -> Case {
    let world = world.with_full_nat();
    let talk = world.nat64(protocol);
    let name = format!("NAT64, {what}: ICMP errors change their family, both ways");
    let case = Case::new(name, &world.contents);
    if protocol == Protocol::SCTP {
        let (up, down) = (
            Segment::sctp(7, &[Chunk::data(b"up")]),
            Segment::sctp(9, &[Chunk::data(b"down")]),
        );
        let open = super::sctp::associated(case, &talk);
        return every_length(open, &talk, &up, &down)
            .counts(ONE)
            .leaves(1, 0);
    }
    let (open, up, down) = if protocol == Protocol::TCP {
        (
            established(case, &talk),
            request("PA", 0).data(b"question"),
            answer("PA", 0).data(b"an answer"),
        )
    } else {
        let (up, down) = (Segment::udp(b"question"), Segment::udp(b"answer!"));
        let open = case
            .sent("a question", talk.request(&up), Reason::ScheduledNewFlow)
            .sent("the answer", talk.answer(&down), Reason::ForwardedToClient);
        (open, up, down)
    };
    every_length(open, &talk, &up, &down)
        .counts(ONE)
        .leaves(1, 0)
}

/// The quoted port is not the client's own either.
fn another_port() -> Case {
    let (world, first) = world();
    let mut second = neighbour(&first, 8);
    second.seen_as.set_port(FIRST_SPARE);
    let name = "NAT64: a quoted packet gets its client's port back";
    let case = established(Case::new(name, &world.contents), &first);
    let mut case = established(case, &second);
    let (up, down) = (request("PA", 0).data(b"up"), answer("PA", 0).data(b"down"));
    for talk in [&first, &second] {
        case = every_length(case, talk, &up, &down);
    }
    case.counts(TableCounters { inserted: 2, ..ONE })
        .leaves(2, 0)
}

fn half_open() -> Case {
    let (world, talk) = world();
    let (four, six) = closed();
    let inside = router(Family::V4, true);
    Case::new("NAT64: an error that answers a SYN", &world.contents)
        .sent("the SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .sent(
            "unreachable",
            about_request(&talk, inside, (&four, &six), &syn(), 8),
            Reason::IcmpErrorToClient,
        )
        .leaves(0, 1)
}

/// What is quoted may be the first fragment of a datagram.
fn fragments() -> Case {
    let world = World::two_arm().with_full_nat();
    let talk = world.nat64(Protocol::UDP);
    let (client, backend) = (&talk.client_link, &talk.backend_link);
    let (four, six) = closed();
    let up = marked(&Segment::udp(&[5; 100]));
    let first = |link: &Link, from: SocketAddr, to: SocketAddr| {
        split(&link.outgoing(from, to).frame(&up), 48, 77).swap_remove(0)
    };
    let (inside, outside) = (router(Family::V4, true), router(Family::V6, false));
    let quoted = four
        .clone()
        .about(&first(backend, talk.seen_as, talk.backend), WHOLE);
    let sent = six
        .clone()
        .about(&first(client, talk.client, talk.vip), WHOLE);
    let to_client = Crossing::between(
        backend,
        with_class(&quoted.frame(&backend.incoming(inside, talk.seen_as), TTL)),
        client,
        with_class(&sent.frame(&client.outgoing(talk.vip, talk.client), TTL - 1)),
    );
    let quoted = six.about(&first(client, talk.vip, talk.client), WHOLE);
    let sent = four.about(&first(backend, talk.backend, talk.seen_as), WHOLE);
    let to_backend = Crossing::between(
        client,
        with_class(&quoted.frame(&client.incoming(outside, talk.vip), TTL)),
        backend,
        as_made(&sent.frame(&backend.outgoing(talk.seen_as, talk.backend), TTL - 1)),
    );
    Case::new("NAT64: an error about a first fragment", &world.contents)
        .sent(
            "a question",
            talk.request(&Segment::udp(b"question")),
            Reason::ScheduledNewFlow,
        )
        .sent("to the client", to_client, Reason::IcmpErrorToClient)
        .sent("to the backend", to_backend, Reason::IcmpErrorToBackend)
        .leaves(0, 1)
}

/// Traffic class, TTL and length of the quoted packet are as they were quoted.
fn classes() -> Case {
    let (world, talk) = world();
    let (up, down) = (
        request("PA", 0).data(&[7; 1221]).class(0xb9).ttl(3),
        answer("PA", 0).data(&[9; 1221]).class(0x47).ttl(200),
    );
    let case = Case::new("NAT64: fields of the quoted header", &world.contents);
    let (four, six) = closed();
    let (inside, outside) = (router(Family::V4, true), router(Family::V6, false));
    established(case, &talk)
        .sent(
            "to the client",
            about_request(&talk, inside, (&four, &six), &up, 528),
            Reason::IcmpErrorToClient,
        )
        .sent(
            "to the backend",
            about_answer(&talk, outside, (&six, &four), &down, 1192),
            Reason::IcmpErrorToBackend,
        )
        .counts(ONE)
}
