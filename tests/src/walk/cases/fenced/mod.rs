//! HA groups that this node may serve, or may not.

mod left;

use adc_common::abi::{BackendFlags, GroupSlot, Protocol, Reason};

use super::{
    ONE, ack, answer, established,
    icmp_errors::{WHOLE, about_answer, unreachable},
    request, syn, syn_ack,
};
use crate::{
    packets::{Segment, icmp_echo},
    walk::{BACK, Case, Contents, FRONT, Family, Lease, Link, Talk, Way, World},
};
use left::{gateway, macs, question, untracked};

const OURS: GroupSlot = GroupSlot(7);
const OTHER: GroupSlot = GroupSlot(63);

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![across_families()];
    for family in Family::BOTH {
        for lease in Lease::SERVING {
            cases.push(served(family, lease));
        }
        cases.extend([
            tracked(family),
            untracked(family),
            handshake(family),
            pieces(family),
            full_nat(family),
            backend_down(family),
            another_group(family),
            gateway(family),
        ]);
        for way in Way::ALL {
            cases.push(direct(family, way));
        }
    }
    cases
}

/// The VIP of `talk` in a group, with this lease.
fn group(world: &World, talk: &Talk, lease: Lease) -> Contents {
    let contents = world.contents.clone();
    contents.in_group(OURS, talk.vip.ip()).leased(OURS, lease)
}

/// What the client sends goes nowhere.
fn dropped(case: Case, what: &'static str, talk: &Talk, frame: Vec<u8>) -> Case {
    case.stays(what, talk.client_link.interface, frame, Reason::LeaseLapsed)
}

/// The same for what the backend sends.
fn withheld(case: Case, what: &'static str, talk: &Talk, segment: &Segment) -> Case {
    let frame = talk.backend_sends(segment);
    case.stays(what, BACK, frame, Reason::LeaseLapsed)
}

/// A request and its answer.
fn exchanged(case: Case, talk: &Talk) -> Case {
    case.sent(
        "a request",
        talk.request(&request("PA", 0).data(b"request")),
        Reason::ForwardedToBackend,
    )
    .sent(
        "its answer",
        talk.answer(&answer("PA", 0).data(b"answer")),
        Reason::ForwardedToClient,
    )
}

fn served(family: Family, lease: Lease) -> Case {
    let world = World::two_arm();
    let talk = world.tcp(family);
    let name = format!("{family:?}: a group whose lease is {lease:?} is served");
    let mut case = Case::new(name, &group(&world, &talk, lease));
    for (what, mac, reason) in macs(&talk.client_link, family) {
        let question = question(&talk.client_link, talk.client, talk.vip.ip(), mac);
        case = case.stays(what, FRONT, question, reason);
    }
    let echo = icmp_echo(&talk.client_link.incoming(talk.client, talk.vip));
    case = case.stays("a ping", FRONT, echo, Reason::OtherProtocol);
    exchanged(established(case, &talk), &talk)
        .counts(ONE)
        .leaves(1, 0)
}

fn tracked(family: Family) -> Case {
    let world = World::two_arm();
    let talk = world.tcp(family);
    let name = format!("{family:?}: a lease that lapses holds a flow up, and harms it not");
    let (held, lapsed) = (Lease::Sure, Lease::Lapsed);
    let mut case = established(Case::new(name, &group(&world, &talk, held)), &talk)
        .reload(&group(&world, &talk, lapsed));
    for (what, segment) in [
        ("a request", request("PA", 0).data(b"request")),
        ("a request with TTL 1", request("PA", 0).ttl(1)),
        ("a FIN", request("FA", 0)),
        ("a RST", request("RA", 0)),
        ("a SYN on its tuple", syn()),
    ] {
        case = dropped(case, what, &talk, talk.client_sends(&segment));
    }
    for (what, segment) in [
        ("an answer", answer("PA", 0).data(b"answer")),
        ("the backend's FIN", answer("FA", 0)),
        ("the backend's RST", answer("RA", 0)),
    ] {
        case = withheld(case, what, &talk, &segment);
    }
    let error = about_answer(
        &talk,
        talk.client,
        &unreachable(family),
        &answer("A", 0),
        WHOLE,
    );
    let case = case
        .stays("an ICMP error", FRONT, error.frame, Reason::LeaseLapsed)
        .reload(&group(&world, &talk, held));
    exchanged(case, &talk).counts(ONE).leaves(1, 0)
}

fn handshake(family: Family) -> Case {
    let world = World::two_arm();
    let talk = world.tcp(family);
    let name = format!("{family:?}: a handshake waits for the lease");
    let (held, lapsed) = (
        group(&world, &talk, Lease::Exact),
        group(&world, &talk, Lease::Lapsed),
    );
    Case::new(name, &held)
        .sent("the SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .reload(&lapsed)
        .stays(
            "the SYN-ACK",
            BACK,
            talk.backend_sends(&syn_ack()),
            Reason::LeaseLapsed,
        )
        .reload(&held)
        .sent(
            "the SYN-ACK again",
            talk.answer(&syn_ack()),
            Reason::ForwardedToClient,
        )
        .reload(&lapsed)
        .stays(
            "the ACK",
            FRONT,
            talk.client_sends(&ack()),
            Reason::LeaseLapsed,
        )
        .leaves(0, 1)
}

fn pieces(family: Family) -> Case {
    let world = World::two_arm();
    let talk = world.udp(family);
    let name = format!("{family:?}: fragments of a group without a lease go nowhere");
    let [held, lapsed] = [Lease::Sure, Lease::Lapsed].map(|lease| group(&world, &talk, lease));
    let up = talk.request(&Segment::udp(&[1; 60])).fragments(32, 5);
    let down = talk.answer(&Segment::udp(&[2; 60])).fragments(32, 6);
    let mut case = Case::new(name, &held)
        .sent("the first", up[0].clone(), Reason::ScheduledNewFlow)
        .reload(&lapsed);
    for piece in &up {
        case = dropped(case, "a piece", &talk, piece.frame.clone());
    }
    for piece in down {
        case = case.stays("of the answer", BACK, piece.frame, Reason::LeaseLapsed);
    }
    case.leaves(0, 1)
}

fn full_nat(family: Family) -> Case {
    let world = World::two_arm().with_full_nat();
    let talk = world.tcp(family);
    let name = format!("{family:?}: answers to a local address are the group's, too");
    let case = established(Case::new(name, &group(&world, &talk, Lease::Exact)), &talk)
        .reload(&group(&world, &talk, Lease::Lapsed));
    withheld(case, "an answer", &talk, &answer("PA", 0).data(b"answer"))
        .counts(ONE)
        .leaves(1, 0)
}

fn across_families() -> Case {
    let world = World::two_arm().with_full_nat();
    let talk = world.nat64(Protocol::TCP);
    let name = "NAT64: both directions are the group's";
    let (held, lapsed) = (Lease::Sure, Lease::Lapsed);
    let case = established(Case::new(name, &group(&world, &talk, held)), &talk)
        .reload(&group(&world, &talk, lapsed));
    let sent = talk.client_sends(&request("PA", 0).data(b"request"));
    let case = dropped(case, "a request", &talk, sent);
    let case = withheld(case, "an answer", &talk, &answer("PA", 0).data(b"answer"))
        .reload(&group(&world, &talk, held));
    exchanged(case, &talk).counts(ONE).leaves(1, 0)
}

fn direct(family: Family, way: Way) -> Case {
    let world = World::direct(Link::new(FRONT, 0xfe), Link::new(BACK, 10), way);
    let talk = world.tcp(family);
    let name = format!("{family:?} {way:?}: without a lease nothing reaches a backend");
    let [held, lapsed] = [Lease::Sure, Lease::Lapsed].map(|lease| group(&world, &talk, lease));
    let case = Case::new(name, &lapsed);
    let case = dropped(case, "a SYN", &talk, talk.client_sends(&syn()))
        .reload(&held)
        .sent(
            "the SYN again",
            talk.direct(way, &syn()),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "the ACK",
            talk.direct(way, &ack()),
            Reason::ForwardedToBackend,
        )
        .reload(&lapsed);
    dropped(
        case,
        "a request",
        &talk,
        talk.client_sends(&request("PA", 0)),
    )
    .counts(ONE)
    .leaves_entries(1, 0)
}

fn backend_down(family: Family) -> Case {
    let world = World::two_arm();
    let talk = world.tcp(family);
    let name = format!("{family:?}: without a lease nobody is told that a backend is down");
    let mut down = group(&world, &talk, Lease::Lapsed);
    for backend in down.backends.values_mut() {
        backend.flags = backend.flags.with(BackendFlags::DOWN_RESET, true);
    }
    let case =
        established(Case::new(name, &group(&world, &talk, Lease::Sure)), &talk).reload(&down);
    let sent = talk.client_sends(&request("PA", 0));
    let case = dropped(case, "a request", &talk, sent);
    withheld(case, "the backend's FIN", &talk, &answer("FA", 0))
        .counts(ONE)
        .leaves(1, 0)
}

fn another_group(family: Family) -> Case {
    let world = World::two_arm();
    let talk = world.tcp(family);
    let other = match family {
        Family::V4 => world.tcp(Family::V6),
        Family::V6 => world.tcp(Family::V4),
    };
    let name = format!("{family:?}: the lease on another group is that group's");
    let contents = group(&world, &talk, Lease::Exact)
        .in_group(OTHER, other.vip.ip())
        .leased(OTHER, Lease::Lapsed);
    established(Case::new(name, &contents), &talk)
        .stays(
            "a SYN to the other",
            FRONT,
            other.client_sends(&syn()),
            Reason::LeaseLapsed,
        )
        .sent(
            "a request",
            talk.request(&request("PA", 0)),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
        .leaves(1, 0)
}
