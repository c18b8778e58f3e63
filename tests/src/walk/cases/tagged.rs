//! VLAN tags: kept, changed, added, removed.

use adc_common::abi::Reason;

use super::{ONE, answer, established, request};
use crate::{
    packets::{Segment, Tag},
    walk::{BACK, Case, FRONT, Family, Link, World},
};

pub(super) fn cases() -> Vec<Case> {
    let none: &[Tag] = &[];
    let five: &[Tag] = &[Tag::customer(5)];
    let six: &[Tag] = &[Tag::customer(4094)];
    let double: &[Tag] = &[Tag::service(100), Tag::customer(200)];
    let important: &[Tag] = &[Tag::customer(5).priority(6)];
    let both_important: &[Tag] = &[
        Tag::service(100).priority(5),
        Tag::customer(200).priority(3),
    ];
    let other_double: &[Tag] = &[Tag::service(7), Tag::customer(8)];
    let pairs = [
        ("the same tag on both sides is kept", five, five),
        ("another tag", five, six),
        ("a tag is added", none, five),
        ("a tag is removed", five, none),
        ("two tags are added", none, double),
        ("two tags are removed", double, none),
        ("one tag becomes two", five, double),
        ("two tags become one", double, five),
        ("two other tags", double, other_double),
        ("the priority moves to the other tag", important, six),
        ("both priorities stay", both_important, other_double),
        ("a service tag alone", &[Tag::service(5)], none),
        (
            "a service tag becomes a customer tag",
            &[Tag::service(5)],
            six,
        ),
        (
            "two customer tags",
            &[Tag::customer(3), Tag::customer(4)],
            double,
        ),
        (
            "two service tags",
            five,
            &[Tag::service(3), Tag::service(4)],
        ),
        (
            "old service tags",
            &[Tag::old_service(3), Tag::customer(4)],
            &[Tag::old_service(5)],
        ),
    ];
    let mut cases = Vec::new();
    for family in Family::BOTH {
        for (what, client, backend) in pairs {
            for back in [FRONT, BACK] {
                cases.push(talk_across(family, what, client, backend, back));
            }
        }
        cases.push(priority_only(family));
        cases.push(priority_outside(family));
        cases.push(another_tpid(family));
    }
    cases
}

fn talk_across(
    family: Family,
    what: &str,
    client: &[Tag],
    backend: &[Tag],
    back: adc_common::abi::InterfaceId,
) -> Case {
    let world = World::new(
        Link::new(FRONT, 0xfe).tagged(client),
        Link::new(back, 10).tagged(backend),
    );
    let (tcp, udp) = (world.tcp(family), world.udp(family));
    let arms = if back == FRONT { "one arm" } else { "two arms" };
    let name = format!("{family:?}, {arms}: {what}");
    let counts = adc_common::abi::TableCounters { inserted: 2, ..ONE };
    established(Case::new(name, &world.contents), &tcp)
        .sent(
            "the request",
            tcp.request(&request("PA", 0).data(b"request")),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the answer",
            tcp.answer(&answer("PA", 0).data(b"answer")),
            Reason::ForwardedToClient,
        )
        .sent(
            "a datagram",
            udp.request(&Segment::udp(b"")),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "a datagram back",
            udp.answer(&Segment::udp(b"1")),
            Reason::ForwardedToClient,
        )
        .counts(counts)
        .leaves(2, 0)
}

/// A tag with VLAN id 0 says a priority and no VLAN (IEEE 802.1Q §6.9.1): answers need none.
fn priority_only(family: Family) -> Case {
    let mut world = World::two_arm();
    let priority = Link::new(FRONT, 0xfe).tagged(&[Tag::customer(0).priority(4)]);
    let untagged = world.client_link.clone();
    let mut asking = world.udp(family);
    asking.client_link = priority;
    world.client_link = untagged;
    let answering = world.udp(family);
    let name = format!("{family:?}: a tag that says only a priority is no VLAN");
    Case::new(name, &world.contents)
        .sent(
            "a datagram with a priority",
            asking.request(&Segment::udp(b"urgent")),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "the answer",
            answering.answer(&Segment::udp(b"relax")),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
}

/// A tag that says only a priority may stand in front of the one that says the VLAN.
fn priority_outside(family: Family) -> Case {
    let mut world = World::two_arm();
    let link = |tags: &[Tag]| Link::new(FRONT, 0xfe).tagged(tags);
    world.client_link = link(&[Tag::customer(0).priority(4), Tag::customer(7).priority(2)]);
    let asking = world.udp(family);
    world.client_link = link(&[Tag::customer(7)]);
    let answering = world.udp(family);
    let name = format!("{family:?}: the VLAN behind a tag that says only a priority");
    Case::new(name, &world.contents)
        .sent(
            "a datagram",
            asking.request(&Segment::udp(b"urgent")),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "the answer",
            answering.answer(&Segment::udp(b"relax")),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
}

/// Whoever changes the TPID of his tags is another client router, and is followed like one.
fn another_tpid(family: Family) -> Case {
    let mut world = World::two_arm();
    let link = |tags: &[Tag]| Link::new(FRONT, 0xfe).tagged(tags);
    world.client_link = link(&[Tag::customer(3), Tag::customer(4)]);
    let before = world.tcp(family);
    world.client_link = link(&[Tag::service(3), Tag::customer(4)]);
    let after = world.tcp(family);
    let name = format!("{family:?}: answers follow a client to another TPID");
    established(Case::new(name, &world.contents), &before)
        .sent(
            "a request with another TPID",
            after.request(&request("PA", 0)),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the answer",
            after.answer(&answer("PA", 0)),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
}
