//! Fragments of flows between an IPv6 client and an IPv4 backend: a header of their own in IPv6, a part of the header in IPv4
//! (RFC 7915 §4.1, §5.1.1).

use std::net::SocketAddr;

use adc_common::abi::{Protocol, Reason};

use super::{ONE, answer, established, request};
use crate::{
    packets::{Chunk, Extension, Segment, Tag, split},
    walk::{BACK, Case, Crossing, FRONT, Link, Talk, World},
};

pub(super) fn cases() -> Vec<Case> {
    let tags = [Tag::service(7), Tag::customer(8)];
    let added = World::new(Link::new(FRONT, 0xfe), Link::new(BACK, 10).tagged(&tags));
    let removed = World::new(Link::new(FRONT, 0xfe).tagged(&tags), Link::new(BACK, 10));
    vec![
        datagrams("two arms", World::two_arm()),
        datagrams("one arm", World::one_arm()),
        datagrams("tags added", added),
        datagrams("tags removed", removed),
        first_answer(),
        segments(),
        headers(),
        extensions(),
        atomic(),
        orphans(),
        forgotten(),
        overlap(),
        no_checksum(),
        too_big(),
        last_hop(),
        disguised(),
        strangers(),
        sctp(),
    ]
}

/// Identification of the client's fragments: more than IPv4 has room for.
const ID: u32 = 0xbeef_0005;

fn udp() -> (World, Talk) {
    let world = World::two_arm().with_full_nat();
    let talk = world.nat64(Protocol::UDP);
    (world, talk)
}

/// A crossing in fragments, from the client: only the low half of the identification gets there.
fn up(whole: &Crossing, size: usize) -> Vec<Crossing> {
    in_pieces(whole, size, (ID, ID & 0xffff))
}

/// The same from the backend.
fn down(whole: &Crossing, size: usize) -> Vec<Crossing> {
    in_pieces(whole, size, (7, 7))
}

fn in_pieces(whole: &Crossing, size: usize, ids: (u32, u32)) -> Vec<Crossing> {
    let frames = split(&whole.frame, size, ids.0);
    frames
        .into_iter()
        .zip(split(&whole.out, size, ids.1))
        .map(|(frame, out)| Crossing {
            frame,
            out,
            ..whole.clone()
        })
        .collect()
}

fn all_sent(mut case: Case, pieces: Vec<Crossing>, first: Reason, later: Reason) -> Case {
    let mut reason = first;
    for piece in pieces {
        case = case.sent("a fragment", piece, reason);
        reason = later;
    }
    case
}

/// A flow that the backend has answered.
fn answered(case: Case, talk: &Talk) -> Case {
    case.sent(
        "a question",
        talk.request(&Segment::udp(b"question")),
        Reason::ScheduledNewFlow,
    )
    .sent(
        "the answer",
        talk.answer(&Segment::udp(b"answer")),
        Reason::ForwardedToClient,
    )
}

fn datagrams(what: &str, world: World) -> Case {
    let world = world.with_full_nat();
    let talk = world.nat64(Protocol::UDP);
    let name = format!("NAT64, {what}: datagrams in fragments, both ways");
    let (long, short) = (Segment::udp(&[1; 301]), Segment::udp(&[3; 64]));
    let case = Case::new(name, &world.contents);
    let (to_backend, to_client) = (Reason::ForwardedToBackend, Reason::ForwardedToClient);
    let pieces = up(&talk.request(&long), 104);
    let case = all_sent(case, pieces, Reason::ScheduledNewFlow, to_backend);
    let pieces = down(&talk.answer(&long), 48);
    let case = all_sent(case, pieces, to_client, to_client);
    let pieces = up(&talk.request(&short), 8);
    let case = all_sent(case.after(11), pieces, to_backend, to_backend);
    let pieces = down(&talk.answer(&short), 8);
    all_sent(case.after(11), pieces, to_client, to_client)
        .counts(ONE)
        .leaves(1, 0)
}

/// The flow is validated by the first fragment of the first answer.
fn first_answer() -> Case {
    let (world, talk) = udp();
    let case = Case::new(
        "NAT64: the first answer comes in fragments",
        &world.contents,
    )
    .sent(
        "a question",
        talk.request(&Segment::udp(b"question")),
        Reason::ScheduledNewFlow,
    );
    let pieces = down(&talk.answer(&Segment::udp(&[2; 200])), 80);
    let to_client = Reason::ForwardedToClient;
    all_sent(case, pieces, to_client, to_client)
        .counts(ONE)
        .leaves(1, 0)
}

fn segments() -> Case {
    let world = World::two_arm().with_full_nat();
    let talk = world.nat64(Protocol::TCP);
    let case = Case::new(
        "NAT64: TCP segments in fragments, both ways",
        &world.contents,
    );
    let case = established(case, &talk);
    let whole = talk.request(&request("PA", 0).data(&[1; 99]));
    let to_backend = Reason::ForwardedToBackend;
    let case = all_sent(case, up(&whole, 24), to_backend, to_backend);
    let whole = talk.answer(&answer("PA", 0).data(&[2; 99]));
    let to_client = Reason::ForwardedToClient;
    all_sent(case, down(&whole, 40), to_client, to_client)
        .counts(ONE)
        .leaves(1, 0)
}

fn headers() -> Case {
    let (world, talk) = udp();
    let name = "NAT64: fragments keep their traffic class; options stay behind";
    let case = answered(Case::new(name, &world.contents), &talk);
    let segment = Segment::udp(&[1; 100]).class(0xb9).ttl(9);
    let to_backend = Reason::ForwardedToBackend;
    let pieces = up(&talk.request(&segment), 48);
    let case = all_sent(case, pieces, to_backend, to_backend);
    let segment = segment.options(&[7, 7, 4, 0, 0, 0, 0, 0]);
    let to_client = Reason::ForwardedToClient;
    let pieces = down(&talk.answer(&segment), 48);
    all_sent(case, pieces, to_client, to_client).counts(ONE)
}

/// Offsets count what is behind the fragment header, and extension headers do not get to the other side.
fn extensions() -> Case {
    let (world, talk) = udp();
    let segment = Segment::udp(&[1; 100]);
    let behind = segment
        .clone()
        .extensions(&[Extension::new(Extension::DESTINATION, 16)]);
    let refused = split(&talk.client_sends(&behind), 48, ID);
    // In front of the fragment header they do no harm.
    let whole = talk.request(&segment);
    let before: Vec<Crossing> = in_pieces(&whole, 48, (ID + 1, (ID + 1) & 0xffff))
        .into_iter()
        .map(|piece| Crossing {
            frame: with_hop_by_hop(&piece.frame),
            ..piece
        })
        .collect();
    let name = "NAT64: extension headers behind a fragment header";
    let mut case = answered(Case::new(name, &world.contents), &talk);
    for frame in refused {
        case = case.stays("behind", FRONT, frame, Reason::NotTranslated);
    }
    let to_backend = Reason::ForwardedToBackend;
    all_sent(case, before, to_backend, to_backend).counts(ONE)
}

/// An untagged IPv6 frame with a hop-by-hop header before all others.
fn with_hop_by_hop(frame: &[u8]) -> Vec<u8> {
    let (head, rest) = frame.split_at(14 + 40);
    let mut head = head.to_vec();
    let next = std::mem::replace(&mut head[14 + 6], 0);
    let length = u16::from_be_bytes([head[18], head[19]]) + 8;
    head[18..20].copy_from_slice(&length.to_be_bytes());
    // PadN over the rest (RFC 8200 §4.2).
    head.extend([next, 0, 1, 4, 0, 0, 0, 0]);
    head.extend(rest);
    head
}

/// RFC 6946: a packet in one fragment. It may be fragmented in IPv4, with its own identification.
fn atomic() -> Case {
    let (world, talk) = udp();
    let whole = talk.request(&Segment::udp(b"alone"));
    let name = "NAT64: a packet in one fragment";
    answered(Case::new(name, &world.contents), &talk)
        .sent(
            "it",
            up(&whole, 64).swap_remove(0),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
}

fn orphans() -> Case {
    let (world, talk) = udp();
    let requests = up(&talk.request(&Segment::udp(&[1; 200])), 80);
    let answers = down(&talk.answer(&Segment::udp(&[2; 200])), 80);
    let name = "NAT64: a later fragment waits for its first, on both sides";
    let mut case = answered(Case::new(name, &world.contents), &talk);
    for (by, pieces, reason) in [
        (FRONT, requests, Reason::ForwardedToBackend),
        (BACK, answers, Reason::ForwardedToClient),
    ] {
        case = case
            .stays(
                "the last",
                by,
                pieces[2].frame.clone(),
                Reason::FragmentHeld,
            )
            .stays(
                "the second",
                by,
                pieces[1].frame.clone(),
                Reason::FragmentHeld,
            )
            .sent("the first", pieces[0].clone(), reason)
            .sent("the last again", pieces[2].clone(), reason)
            .sent("the second again", pieces[1].clone(), reason);
    }
    case.counts(ONE).leaves(1, 0)
}

fn forgotten() -> Case {
    let (world, talk) = udp();
    let answers = down(&talk.answer(&Segment::udp(&[2; 200])), 80);
    let name = "NAT64: a first fragment is remembered for ten seconds";
    answered(Case::new(name, &world.contents), &talk)
        .sent("the first", answers[0].clone(), Reason::ForwardedToClient)
        .after(9)
        .sent("in time", answers[1].clone(), Reason::ForwardedToClient)
        .after(2)
        .stays(
            "too late",
            BACK,
            answers[2].frame.clone(),
            Reason::FragmentHeld,
        )
        .counts(ONE)
}

fn overlap() -> Case {
    let (world, talk) = udp();
    let answers = down(&talk.answer(&Segment::udp(&[2; 200])), 80);
    let other = down(&talk.answer(&Segment::udp(&[9; 200])), 40);
    let name = "NAT64: what overlaps the first fragment is dropped";
    answered(Case::new(name, &world.contents), &talk)
        .sent("the first", answers[0].clone(), Reason::ForwardedToClient)
        .stays(
            "an overlap",
            BACK,
            other[1].frame.clone(),
            Reason::FragmentOverlap,
        )
        .sent("the second", answers[1].clone(), Reason::ForwardedToClient)
        .counts(ONE)
}

/// RFC 7915 §4.5: of such a datagram nothing goes on.
fn no_checksum() -> Case {
    let (world, talk) = udp();
    let name = "NAT64: a datagram without checksum, in IPv4 fragments";
    let mut case = answered(Case::new(name, &world.contents), &talk);
    let whole = talk.backend_sends(&Segment::udp(&[2; 200]).without_checksum());
    for piece in split(&whole, 80, 7) {
        case = case.stays("a fragment", BACK, piece, Reason::UdpWithoutChecksum);
    }
    case.counts(ONE).leaves(1, 0)
}

/// An IPv6 fragment is 28 bytes longer.
fn too_big() -> Case {
    let (world, talk) = udp();
    let whole = talk.answer(&Segment::udp(&[2; 3000]));
    let (fit, big) = (down(&whole, 1448), split(&whole.frame, 1456, 8));
    let name = "NAT64: an IPv4 fragment that fits the MTU only without the longer headers";
    answered(Case::new(name, &world.contents), &talk)
        .sent(
            "a first that fits",
            fit[0].clone(),
            Reason::ForwardedToClient,
        )
        .sent("one that fits", fit[1].clone(), Reason::ForwardedToClient)
        .stays("a first", BACK, big[0].clone(), Reason::TooBigForIpv6)
        .stays("another", BACK, big[1].clone(), Reason::TooBigForIpv6)
        .counts(ONE)
}

fn last_hop() -> Case {
    let (world, talk) = udp();
    let segment = Segment::udp(&[2; 200]).ttl(1);
    let name = "NAT64: fragments whose last hop this is";
    let mut case = answered(Case::new(name, &world.contents), &talk);
    for piece in split(&talk.backend_sends(&segment), 80, 7) {
        case = case.stays("from inside", BACK, piece, Reason::TtlExceeded);
    }
    for piece in split(&talk.client_sends(&segment), 80, ID).split_off(1) {
        case = case.stays("from outside", FRONT, piece, Reason::FragmentHeld);
    }
    case.counts(ONE)
}

/// An IPv6 packet may not pass for the IPv4 packet that its v4-mapped addresses name.
fn disguised() -> Case {
    let (world, talk) = udp();
    let mapped = |address: SocketAddr| match address.ip() {
        std::net::IpAddr::V4(v4) => SocketAddr::new(v4.to_ipv6_mapped().into(), address.port()),
        std::net::IpAddr::V6(_) => panic!("{address} is not IPv4"),
    };
    let frame = talk
        .backend_link
        .incoming(mapped(talk.backend), mapped(talk.seen_as))
        .frame(&Segment::udp(&[2; 200]));
    let name = "NAT64: IPv6 fragments with v4-mapped addresses are no answer";
    let mut case = answered(Case::new(name, &world.contents), &talk);
    for piece in split(&frame, 80, 7) {
        case = case.stays("a fragment", BACK, piece, Reason::BadIpHeader);
    }
    case.counts(ONE).leaves(1, 0)
}

fn strangers() -> Case {
    let (world, talk) = udp();
    let name = "NAT64: fragments from a backend that answer nothing go to the kernel";
    let mut case = Case::new(name, &world.contents);
    for piece in split(&talk.backend_sends(&Segment::udp(&[2; 200])), 80, 7) {
        case = case.stays("a fragment", BACK, piece, Reason::FragmentNotOurs);
    }
    case.leaves(0, 0)
}

/// Ports change, and the CRC over the whole packet would have to follow.
fn sctp() -> Case {
    let world = World::two_arm().with_full_nat();
    let talk = world.nat64(Protocol::SCTP);
    let name = "NAT64: SCTP packets in fragments";
    let case = super::sctp::associated(Case::new(name, &world.contents), &talk);
    let up = Segment::sctp(0xbacc_0002, &[Chunk::data(&[1; 100])]);
    let down = Segment::sctp(0xc11e_0001, &[Chunk::data(&[1; 100])]);
    let mut case = case;
    for piece in split(&talk.client_sends(&up), 64, ID) {
        case = case.stays("up", FRONT, piece, Reason::SctpFragment);
    }
    for piece in split(&talk.backend_sends(&down), 64, 7) {
        case = case.stays("down", BACK, piece, Reason::SctpFragment);
    }
    case.counts(ONE).leaves(1, 0)
}
