//! The MSS option of SYNs: lowered, never raised, never invented.

use adc_common::abi::{Reason, ServiceEntry};

use super::{BACKEND, CLIENT, ack};
use crate::{
    packets::Segment,
    walk::{BACK, Case, FRONT, Family, Link, Talk, Way, World},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for family in Family::BOTH {
        cases.extend([
            handshake(family),
            by_mtu(family),
            positions(family),
            left_alone(family),
        ]);
        for way in Way::ALL {
            cases.push(direct(family, way));
        }
    }
    cases
}

fn clamped(mut world: World, to: u16) -> World {
    for service in world.contents.services.values_mut() {
        service.mss_clamp = to;
    }
    world
}

fn option(mss: u16) -> [u8; 4] {
    let [high, low] = mss.to_be_bytes();
    [2, 4, high, low]
}

fn syn(mss: u16) -> Segment {
    let options = [option(mss).as_slice(), &[4, 2, 1, 3, 3, 7]].concat();
    Segment::tcp("S", CLIENT, 0).tcp_options(&options)
}

fn syn_ack(mss: u16) -> Segment {
    Segment::tcp("SA", BACKEND, CLIENT.wrapping_add(1)).tcp_options(&option(mss))
}

/// The client's SYN with one MSS, and the one that the backend is to see.
fn request(talk: &Talk, from: &Segment, to: &Segment) -> crate::walk::Crossing {
    let mut crossing = talk.request(from);
    crossing.out = talk.request(to).out;
    crossing
}

fn handshake(family: Family) -> Case {
    let world = clamped(World::two_arm(), 1400);
    let talk = world.tcp(family);
    let mut answer = talk.answer(&syn_ack(8960));
    answer.out = talk.answer(&syn_ack(1400)).out;
    Case::new(
        format!("{family:?}: the MSS is lowered in SYN and SYN-ACK"),
        &world.contents,
    )
    .sent(
        "the SYN",
        request(&talk, &syn(1460), &syn(1400)),
        Reason::ScheduledNewFlow,
    )
    .sent(
        "a repeated SYN",
        request(&talk, &syn(1460), &syn(1400)),
        Reason::ForwardedToBackend,
    )
    .sent("the SYN-ACK", answer, Reason::ForwardedToClient)
    .sent("the ACK", talk.request(&ack()), Reason::ForwardedToBackend)
    .counts(super::ONE)
}

fn by_mtu(family: Family) -> Case {
    let mut world = clamped(World::two_arm(), ServiceEntry::MSS_OF_MTU);
    if let Some(front) = world.contents.interfaces.get_mut(&FRONT) {
        front.mtu = 9000;
    }
    let talk = world.tcp(family);
    let fits = match family {
        Family::V4 => 1460,
        Family::V6 => 1440,
    };
    let mut answer = talk.answer(&syn_ack(8960));
    answer.out = talk.answer(&syn_ack(fits)).out;
    Case::new(
        format!("{family:?}: \"auto\" takes the smaller MTU of both sides, both ways"),
        &world.contents,
    )
    .sent(
        "the SYN",
        request(&talk, &syn(8960), &syn(fits)),
        Reason::ScheduledNewFlow,
    )
    .sent("the SYN-ACK", answer, Reason::ForwardedToClient)
    .leaves(0, 1)
}

fn positions(family: Family) -> Case {
    let world = clamped(World::two_arm(), 1000);
    let with = |before: &[u8], mss: u16| {
        Segment::tcp("S", CLIENT, 0).tcp_options(&[before, &option(mss)].concat())
    };
    let mut case = Case::new(
        format!("{family:?}: the MSS option is found wherever it is"),
        &world.contents,
    );
    let places: [(&'static str, &[u8]); 5] = [
        ("first", &[]),
        ("after one NOP, at an odd offset", &[1]),
        (
            "after timestamps and NOPs",
            &[8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 1],
        ),
        ("after many NOPs", &[1; 15]),
        (
            "at the very end",
            &[
                8, 36, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                0, 0, 0, 0, 0, 0, 0, 0, 0,
            ],
        ),
    ];
    for (port, (what, before)) in (41_000..).zip(places) {
        let talk = world.tcp(family).with_port(port);
        case = case.sent(
            what,
            request(&talk, &with(before, 1460), &with(before, 1000)),
            Reason::ScheduledNewFlow,
        );
    }
    case
}

fn left_alone(family: Family) -> Case {
    let world = clamped(World::two_arm(), 1400);
    let mut case = Case::new(
        format!("{family:?}: a small MSS, none, and options that make no sense are left alone"),
        &world.contents,
    );
    let options: [(&'static str, &[u8]); 9] = [
        ("just as large", &option(1400)),
        ("smaller", &option(536)),
        ("none", &[]),
        ("another option", &[4, 2]),
        ("an MSS behind the end of options", &[0, 2, 4, 35, 0]),
        ("an MSS of wrong length", &[2, 3, 35, 40]),
        ("a length of 0", &[3, 0, 2, 4, 35, 0]),
        ("a length of 1", &[3, 1, 2, 4, 35, 0]),
        ("an option that is longer than all", &[9, 200, 2, 4, 35, 0]),
    ];
    for (port, (what, options)) in (41_000..).zip(options) {
        let talk = world.tcp(family).with_port(port);
        let mut segment = Segment::tcp("S", CLIENT, 0);
        if !options.is_empty() {
            segment = segment.tcp_options(options);
        }
        case = case.sent(what, talk.request(&segment), Reason::ScheduledNewFlow);
    }
    case
}

fn direct(family: Family, way: Way) -> Case {
    let world = clamped(
        World::direct(Link::new(FRONT, 0xfe), Link::new(BACK, 10), way),
        ServiceEntry::MSS_OF_MTU,
    );
    let talk = world.tcp(family);
    let overhead = way.outer(0).map_or(0, |outer| outer.overhead());
    let headers = match family {
        Family::V4 => 40,
        Family::V6 => 60,
    };
    let fits = u16::try_from(1500 - overhead - headers).expect("small");
    let mut crossing = talk.direct(way, &syn(9000));
    crossing.out = talk.direct(way, &syn(fits)).out;
    Case::new(
        format!("{family:?} {way:?}: the SYN says what fits the tunnel"),
        &world.contents,
    )
    .sent("the SYN", crossing, Reason::ScheduledNewFlow)
    .leaves_entries(0, 1)
}
