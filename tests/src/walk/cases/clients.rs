//! Clients that move: answers go where the client's packets last came from.

use adc_common::abi::Reason;

use super::{ONE, ack, answer, established, request, syn, syn_ack};
use crate::{
    packets::{Segment, Tag},
    walk::{BACK, Case, FRONT, Family, Link, Talk, World},
};

pub(super) fn cases() -> Vec<Case> {
    let moves = [
        ("another router", Link::new(FRONT, 0xfd)),
        (
            "another VLAN",
            Link::new(FRONT, 0xfe).tagged(&[Tag::customer(9)]),
        ),
        (
            "another inner VLAN",
            Link::new(FRONT, 0xfe).tagged(&[Tag::service(3), Tag::customer(9)]),
        ),
        ("another interface", Link::new(BACK, 0xfc)),
        (
            "another interface, behind the same MAC",
            same_router_elsewhere(),
        ),
    ];
    let mut cases = Vec::new();
    for family in Family::BOTH {
        for (what, link) in &moves {
            let world = World::two_arm();
            cases.push(moved(family, what, &world, &world.tcp(family), link));
        }
        let double = Link::new(FRONT, 0xfe).tagged(&[Tag::service(3), Tag::customer(8)]);
        let world = World::new(double, Link::new(BACK, 10));
        let (what, link) = &moves[2];
        cases.push(moved(family, what, &world, &world.tcp(family), link));
        cases.push(moved_udp(family));
        cases.push(moved_while_half_open(family));
    }
    cases
}

/// Routers may have one MAC on several interfaces: VRRP's virtual MAC (RFC 9568 §7.3), or a switch's.
fn same_router_elsewhere() -> Link {
    let mut link = Link::new(BACK, 0xfc);
    link.far = Link::new(FRONT, 0xfe).far;
    link
}

fn moved(family: Family, what: &str, world: &World, before: &Talk, link: &Link) -> Case {
    let after = Talk {
        client_link: link.clone(),
        ..before.clone()
    };
    let name = format!("{family:?}: the client comes by {what}: answers follow");
    let data = answer("PA", 0).data(b"data");
    established(Case::new(name, &world.contents), before)
        .sent(
            "data, by the old way",
            before.answer(&data),
            Reason::ForwardedToClient,
        )
        .sent(
            "an ACK by the new way",
            after.request(&request("A", 0)),
            Reason::ForwardedToBackend,
        )
        .sent(
            "data, by the new way",
            after.answer(&data),
            Reason::ForwardedToClient,
        )
        .sent(
            "an ACK by the old way again",
            before.request(&request("A", 0)),
            Reason::ForwardedToBackend,
        )
        .sent(
            "data, by the old way again",
            before.answer(&data),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn moved_udp(family: Family) -> Case {
    let world = World::two_arm();
    let before = world.udp(family);
    let after = Talk {
        client_link: Link::new(FRONT, 0xfd),
        ..before.clone()
    };
    let name = format!("{family:?}: UDP answers follow a client that moves");
    Case::new(name, &world.contents)
        .sent(
            "a question",
            before.request(&Segment::udp(b"1")),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "the answer",
            before.answer(&Segment::udp(b"2")),
            Reason::ForwardedToClient,
        )
        .sent(
            "a question by the new way",
            after.request(&Segment::udp(b"3")),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the answer",
            after.answer(&Segment::udp(b"4")),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
}

fn moved_while_half_open(family: Family) -> Case {
    let world = World::two_arm();
    let before = world.tcp(family);
    let after = Talk {
        client_link: Link::new(FRONT, 0xfd),
        ..before.clone()
    };
    let name = format!("{family:?}: a SYN sent again by another way is answered there");
    Case::new(name, &world.contents)
        .sent("the SYN", before.request(&syn()), Reason::ScheduledNewFlow)
        .after(1)
        .sent(
            "the SYN by another way",
            after.request(&syn()),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the SYN-ACK",
            after.answer(&syn_ack()),
            Reason::ForwardedToClient,
        )
        .sent("the ACK", after.request(&ack()), Reason::ForwardedToBackend)
        .counts(ONE)
        .leaves(1, 0)
}
