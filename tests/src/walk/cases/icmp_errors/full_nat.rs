//! ICMP errors about flows of mode `full-nat`: neither end learns the other's address, nor which router reports.

use adc_common::abi::{Reason, TableCounters};

use super::{
    super::{
        ONE, answer, established,
        full_nat::{FIRST_SPARE, neighbour},
        request, syn,
    },
    TTL, WHOLE, about_answer, about_request, both_ways, from_the_ends, ip_header, kinds, router,
    unreachable,
};
use crate::{
    packets::{IcmpError, Segment, Tag},
    walk::{BACK, Case, FRONT, Family, Link, Talk, World},
};

pub(super) fn cases(family: Family) -> Vec<Case> {
    let tagged = World::new(
        Link::new(FRONT, 0xfe).tagged(&[Tag::customer(5)]),
        Link::new(BACK, 10).tagged(&[Tag::service(7), Tag::customer(8)]),
    );
    vec![
        every_kind(family),
        over(family, "one arm", World::one_arm()),
        over(family, "tags", tagged),
        another_port(family),
        datagrams(family),
        half_open(family),
        untracked(family),
        misdirected(family),
    ]
}

/// Both directions, with as little as a router must quote, that and the checksum, and all.
fn every_length(
    mut case: Case,
    what: (&Talk, Family),
    error: &IcmpError,
    segments: (&Segment, &Segment),
) -> Case {
    let shortest = ip_header(what.1) + 8;
    for length in [shortest, shortest + 12, WHOLE] {
        case = both_ways(case, "an error", what, error, segments, length);
    }
    case
}

fn every_kind(family: Family) -> Case {
    let world = World::two_arm().with_full_nat();
    let talk = world.tcp(family);
    let name = format!("{family:?}: full-nat hides who is who in every kind of ICMP error");
    let mut case = established(Case::new(name, &world.contents), &talk);
    let (up, down) = (
        request("PA", 0).data(b"question"),
        answer("PA", 0).data(b"answer"),
    );
    let (who, shortest) = ((&talk, family), ip_header(family) + 8);
    for (kind, code, rest) in kinds(family) {
        let error = IcmpError::new(kind, code).rest(rest);
        case = both_ways(case, "an error", who, &error, (&up, &down), shortest);
    }
    let error = unreachable(family);
    let case = every_length(case, who, &error, (&up, &down));
    from_the_ends(case, &talk, &error, (&up, &down))
        .counts(ONE)
        .leaves(1, 0)
}

fn over(family: Family, what: &str, world: World) -> Case {
    let world = world.with_full_nat();
    let talk = world.tcp(family);
    let name = format!("{family:?}, {what}: full-nat of ICMP errors");
    let case = established(Case::new(name, &world.contents), &talk);
    let (up, down) = (request("PA", 0).data(b"up"), answer("PA", 0).data(b"down"));
    every_length(case, (&talk, family), &unreachable(family), (&up, &down))
        .counts(ONE)
        .leaves(1, 0)
}

/// The quoted port is not the client's own either.
fn another_port(family: Family) -> Case {
    let world = World::two_arm().with_full_nat();
    let first = world.tcp(family);
    let mut second = neighbour(&first, 8);
    second.seen_as.set_port(FIRST_SPARE);
    let name = format!("{family:?}: full-nat gives a quoted packet its client's port back");
    let case = established(Case::new(name, &world.contents), &first);
    let mut case = established(case, &second);
    let (up, down) = (request("PA", 0).data(b"up"), answer("PA", 0).data(b"down"));
    for talk in [&first, &second] {
        let error = unreachable(family);
        case = every_length(case, (talk, family), &error, (&up, &down));
    }
    case.counts(TableCounters { inserted: 2, ..ONE })
        .leaves(2, 0)
}

fn datagrams(family: Family) -> Case {
    let world = World::two_arm().with_full_nat();
    let talk = world.udp(family);
    let (up, down) = (Segment::udp(b"question"), Segment::udp(b"the answer"));
    let error = unreachable(family);
    let name = format!("{family:?}: full-nat of errors about datagrams");
    let mut case = Case::new(name, &world.contents)
        .sent("a question", talk.request(&up), Reason::ScheduledNewFlow)
        .sent(
            "the port is closed, says the backend",
            about_request(&talk, talk.backend, &error, &up, WHOLE),
            Reason::IcmpErrorToClient,
        )
        .sent("an answer", talk.answer(&down), Reason::ForwardedToClient);
    case = every_length(case, (&talk, family), &error, (&up, &down));
    if family == Family::V4 {
        let (up, down) = (up.without_checksum(), down.without_checksum());
        case = every_length(case, (&talk, family), &error, (&up, &down));
    }
    case.counts(ONE).leaves(1, 0)
}

fn half_open(family: Family) -> Case {
    let world = World::two_arm().with_full_nat();
    let talk = world.tcp(family);
    let error = unreachable(family);
    let name = format!("{family:?}: full-nat of an error that answers a SYN");
    Case::new(name, &world.contents)
        .sent("the SYN", talk.request(&syn()), Reason::ScheduledNewFlow)
        .sent(
            "unreachable",
            about_request(
                &talk,
                router(family, true),
                &error,
                &syn(),
                ip_header(family) + 8,
            ),
            Reason::IcmpErrorToClient,
        )
        .leaves(0, 1)
}

fn untracked(family: Family) -> Case {
    let world = World::two_arm().with_full_nat();
    let talk = world.tcp(family);
    let error = unreachable(family);
    let name = format!("{family:?}: errors about no flow of full-nat");
    let about_up = about_request(&talk, router(family, true), &error, &request("A", 0), WHOLE);
    let about_down = about_answer(&talk, router(family, false), &error, &answer("A", 0), WHOLE);
    Case::new(name, &world.contents)
        .stays(
            "about what the local address sent: perhaps the kernel's own",
            BACK,
            about_up.frame,
            Reason::OtherProtocol,
        )
        .stays(
            "about what the VIP sent",
            FRONT,
            about_down.frame,
            Reason::IcmpErrorUntracked,
        )
        .leaves(0, 0)
}

/// RFC 5927 §4.1, for what the local address sent.
fn misdirected(family: Family) -> Case {
    let world = World::two_arm().with_full_nat();
    let talk = world.tcp(family);
    let quoted = talk
        .backend_link
        .outgoing(talk.seen_as, talk.backend)
        .frame(&request("PA", 0));
    let error = unreachable(family).about(&quoted, WHOLE);
    let inside = router(family, true);
    let frame = |to| error.frame(&talk.backend_link.incoming(inside, to), TTL);
    let name = format!("{family:?}: an error about the local address comes to it");
    established(Case::new(name, &world.contents), &talk)
        .stays(
            "to the client",
            BACK,
            frame(talk.client),
            Reason::BadIcmpError,
        )
        .stays("to the VIP", BACK, frame(talk.vip), Reason::BadIcmpError)
        .counts(ONE)
        .leaves(1, 0)
}
