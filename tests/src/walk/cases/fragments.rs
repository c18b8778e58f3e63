//! Fragments: the first is walked like a whole packet, the others follow it.

use adc_common::abi::{InterfaceId, Reason};

use super::{ONE, answer, established, request};
use crate::{
    packets::{Extension, Segment, Tag, split},
    walk::{Case, Crossing, FRONT, Family, Link, Talk, World},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for family in Family::BOTH {
        let world = World::two_arm();
        cases.extend([
            datagrams(family, &world),
            segments(family, &world),
            tiny(family, &world),
            overlap(family, &world),
            orphans(family, &world),
            forgotten(family, &world),
            used_again(family, &world),
            not_ours(family, &world),
            no_service(family, &world),
            ragged(family, &world),
            tagged(family),
        ]);
    }
    cases.extend([v4_options(), v6_extensions(), v6_atomic()]);
    cases
}

/// The fragments of a packet that is forwarded, in order: the first for `first`, the others for `later`.
fn sent_in_pieces(mut case: Case, pieces: Vec<Crossing>, first: Reason, later: Reason) -> Case {
    let mut reason = first;
    for piece in pieces {
        let what = if reason == first {
            "the first"
        } else {
            "another"
        };
        case = case.sent(what, piece, reason);
        reason = later;
    }
    case
}

fn datagrams(family: Family, world: &World) -> Case {
    let talk = world.udp(family);
    let name = format!("{family:?}: datagrams in fragments, both ways");
    let (up, down) = (Segment::udp(&[1; 301]), Segment::udp(&[2; 200]));
    let case = Case::new(name, &world.contents);
    let case = sent_in_pieces(
        case,
        talk.request(&up).fragments(104, 5),
        Reason::ScheduledNewFlow,
        Reason::ForwardedToBackend,
    );
    let case = sent_in_pieces(
        case,
        talk.answer(&down).fragments(48, 6),
        Reason::ForwardedToClient,
        Reason::ForwardedToClient,
    );
    let up = Segment::udp(&[3; 64]);
    sent_in_pieces(
        case,
        talk.request(&up).fragments(8, 7),
        Reason::ForwardedToBackend,
        Reason::ForwardedToBackend,
    )
    .counts(ONE)
    .leaves(1, 0)
}

fn segments(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!("{family:?}: TCP segments in fragments, both ways");
    let case = established(Case::new(name, &world.contents), &talk);
    let (up, down) = (
        request("PA", 0).data(&[1; 99]),
        answer("PA", 0).data(&[2; 99]),
    );
    let to_backend = Reason::ForwardedToBackend;
    let case = sent_in_pieces(
        case,
        talk.request(&up).fragments(24, 5),
        to_backend,
        to_backend,
    );
    let to_client = Reason::ForwardedToClient;
    sent_in_pieces(
        case,
        talk.answer(&down).fragments(40, 5),
        to_client,
        to_client,
    )
    .counts(ONE)
    .leaves(1, 0)
}

/// The pieces of a datagram from the client, as they come in.
fn pieces(talk: &Talk, bytes: &[u8], size: usize, id: u32) -> Vec<Vec<u8>> {
    split(&talk.client_sends(&Segment::udp(bytes)), size, id)
}

fn tiny(family: Family, world: &World) -> Case {
    let talk = world.tcp(family);
    let name = format!(
        "{family:?}: a first fragment without its whole TCP header is dropped, and so is the rest"
    );
    let segment = request("PA", 0).data(&[1; 40]).tcp_options(&[1; 20]);
    let frame = talk.client_sends(&segment);
    let mut case = established(Case::new(name, &world.contents), &talk);
    for (size, reason) in [
        (8, Reason::FragmentTiny),
        (16, Reason::FragmentTiny),
        (24, Reason::FragmentTiny),
        (32, Reason::FragmentTiny),
    ] {
        let pieces = split(&frame, size, 5);
        case = case
            .stays("the first", FRONT, pieces[0].clone(), reason)
            .stays("the second", FRONT, pieces[1].clone(), Reason::FragmentHeld);
    }
    case.counts(ONE).leaves(1, 0)
}

fn overlap(family: Family, world: &World) -> Case {
    let talk = world.udp(family);
    let name = format!("{family:?}: what overlaps the first fragment is dropped");
    let whole = talk.request(&Segment::udp(&[1; 200])).fragments(80, 5);
    // The second of another cut starts inside the first of this one.
    let other = pieces(&talk, &[9; 200], 40, 5);
    let case = Case::new(name, &world.contents)
        .sent("the first", whole[0].clone(), Reason::ScheduledNewFlow)
        .stays(
            "an overlap",
            FRONT,
            other[1].clone(),
            Reason::FragmentOverlap,
        )
        .sent("the second", whole[1].clone(), Reason::ForwardedToBackend);
    if family == Family::V6 {
        // RFC 5722: all of the packet goes.
        let again = talk.clone().with_port(40_001);
        let first = pieces(&again, &[9; 200], 80, 5)[0].clone();
        return case
            .stays("another first", FRONT, first, Reason::FragmentOverlap)
            .stays(
                "the third",
                FRONT,
                whole[2].frame.clone(),
                Reason::FragmentOverlap,
            )
            .leaves(0, 1);
    }
    case.sent("the third", whole[2].clone(), Reason::ForwardedToBackend)
        .leaves(0, 1)
}

fn orphans(family: Family, world: &World) -> Case {
    let talk = world.udp(family);
    let name = format!("{family:?}: a later fragment without its first goes nowhere");
    let whole = talk.request(&Segment::udp(&[1; 200])).fragments(80, 5);
    let other = pieces(&talk, &[1; 200], 80, 6);
    Case::new(name, &world.contents)
        .stays(
            "the second",
            FRONT,
            whole[1].frame.clone(),
            Reason::FragmentHeld,
        )
        .sent("the first", whole[0].clone(), Reason::ScheduledNewFlow)
        .sent("the second", whole[1].clone(), Reason::ForwardedToBackend)
        .stays(
            "of another datagram",
            FRONT,
            other[1].clone(),
            Reason::FragmentHeld,
        )
        .leaves(0, 1)
}

fn forgotten(family: Family, world: &World) -> Case {
    let talk = world.udp(family);
    let name = format!("{family:?}: a first fragment is remembered for ten seconds");
    let whole = talk.request(&Segment::udp(&[1; 200])).fragments(80, 5);
    Case::new(name, &world.contents)
        .sent("the first", whole[0].clone(), Reason::ScheduledNewFlow)
        .after(9)
        .sent(
            "the second, in time",
            whole[1].clone(),
            Reason::ForwardedToBackend,
        )
        .after(2)
        .stays(
            "the third, too late",
            FRONT,
            whole[2].frame.clone(),
            Reason::FragmentHeld,
        )
        .leaves(0, 1)
}

fn used_again(family: Family, world: &World) -> Case {
    let talk = world.udp(family);
    let other = talk.clone().with_port(40_001);
    let name =
        format!("{family:?}: an identification that is used again is that of the new datagram");
    let first = talk.request(&Segment::udp(&[1; 200])).fragments(80, 5);
    let second = other.request(&Segment::udp(&[2; 200])).fragments(80, 5);
    let case = Case::new(name, &world.contents)
        .sent("the first", first[0].clone(), Reason::ScheduledNewFlow)
        .sent("its second", first[1].clone(), Reason::ForwardedToBackend)
        .after(11);
    sent_in_pieces(
        case,
        second,
        Reason::ScheduledNewFlow,
        Reason::ForwardedToBackend,
    )
    .leaves(0, 2)
}

fn not_ours(family: Family, world: &World) -> Case {
    let mut talk = world.udp(family);
    talk.vip = match family {
        Family::V4 => "198.51.100.9:53",
        Family::V6 => "[2001:db8:9::9]:53",
    }
    .parse()
    .expect("an address");
    let name = format!("{family:?}: fragments of others pass");
    let mut case = Case::new(name, &world.contents);
    for piece in pieces(&talk, &[1; 100], 40, 5) {
        case = case.stays("a fragment", FRONT, piece, Reason::FragmentNotOurs);
    }
    case.leaves(0, 0)
}

/// What the node itself listens to at a VIP: its kernel needs every fragment, or none.
fn no_service(family: Family, world: &World) -> Case {
    let mut talk = world.udp(family);
    talk.vip.set_port(5000);
    let name = format!("{family:?}: fragments to a port of a VIP without a service all pass");
    let pieces = pieces(&talk, &[1; 100], 40, 5);
    Case::new(name, &world.contents)
        .stays("the first", FRONT, pieces[0].clone(), Reason::VipOtherPort)
        .stays(
            "the second",
            FRONT,
            pieces[1].clone(),
            Reason::FragmentNotOurs,
        )
        .stays(
            "the last",
            FRONT,
            pieces[2].clone(),
            Reason::FragmentNotOurs,
        )
        .leaves(0, 0)
}

fn ragged(family: Family, world: &World) -> Case {
    let talk = world.udp(family);
    let name = format!("{family:?}: fragments that can not be put together are dropped");
    let frame = |offset: u16, more: bool, bytes: usize| {
        let segment = Segment::udp(&vec![0; bytes - 8]);
        talk.client_sends(&match family {
            Family::V4 => segment.fragment(offset, more),
            Family::V6 => segment.extensions(&[Extension::fragment(offset, more)]),
        })
    };
    Case::new(name, &world.contents)
        .stays(
            "a first of odd length",
            FRONT,
            frame(0, true, 41),
            Reason::BadIpHeader,
        )
        .stays(
            "a middle of odd length",
            FRONT,
            frame(8, true, 44),
            Reason::BadIpHeader,
        )
        .stays(
            "the end past 64 KiB",
            FRONT,
            frame(8191, false, 16),
            Reason::BadIpHeader,
        )
        .leaves(0, 0)
}

fn tagged(family: Family) -> Case {
    let tags = [Tag::service(7), Tag::customer(8)];
    let world = World::new(
        Link::new(FRONT, 0xfe).tagged(&tags),
        Link::new(InterfaceId(1), 10),
    );
    let talk = world.udp(family);
    let name = format!("{family:?}: fragments leave two VLAN tags behind, and get them back");
    let (up, down) = (Segment::udp(&[1; 100]), Segment::udp(&[2; 100]));
    let case = sent_in_pieces(
        Case::new(name, &world.contents),
        talk.request(&up).fragments(48, 5),
        Reason::ScheduledNewFlow,
        Reason::ForwardedToBackend,
    );
    let to_client = Reason::ForwardedToClient;
    sent_in_pieces(
        case,
        talk.answer(&down).fragments(48, 5),
        to_client,
        to_client,
    )
    .counts(ONE)
}

fn v4_options() -> Case {
    let world = World::two_arm();
    let talk = world.udp(Family::V4);
    let segment = Segment::udp(&[1; 100]).options(&[7, 7, 4, 0, 0, 0, 0, 0]);
    sent_in_pieces(
        Case::new("V4: fragments with options", &world.contents),
        talk.request(&segment).fragments(48, 5),
        Reason::ScheduledNewFlow,
        Reason::ForwardedToBackend,
    )
}

fn v6_extensions() -> Case {
    let world = World::two_arm();
    let talk = world.udp(Family::V6);
    let name = "V6: extension headers behind the fragment header are in the first fragment only";
    let segment = Segment::udp(&[1; 100]).extensions(&[Extension::new(Extension::DESTINATION, 16)]);
    sent_in_pieces(
        Case::new(name, &world.contents),
        talk.request(&segment).fragments(48, 5),
        Reason::ScheduledNewFlow,
        Reason::ForwardedToBackend,
    )
}

/// RFC 6946: a packet in one fragment.
fn v6_atomic() -> Case {
    let world = World::two_arm();
    let talk = world.udp(Family::V6);
    let segment = Segment::udp(b"alone").extensions(&[Extension::fragment(0, false)]);
    Case::new("V6: a packet in one fragment", &world.contents)
        .sent("it", talk.request(&segment), Reason::ScheduledNewFlow)
        .sent("again", talk.request(&segment), Reason::ForwardedToBackend)
        .leaves(0, 1)
}
