//! UDP.

use adc_common::abi::{Reason, TableCounters};

use super::ONE;
use crate::{
    packets::{Segment, complaint},
    walk::{Case, Family, Talk, World},
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for family in Family::BOTH {
        for (arms, world) in [("one", World::one_arm()), ("two", World::two_arm())] {
            cases.push(both_ways(family, arms, &world));
        }
        let world = World::two_arm();
        cases.extend([
            no_checksum(family, &world),
            sum_of_zero(family, &world),
            unanswered(family, &world),
            expired(family, &world),
            early_packet_counts(family, &world),
            table_full(family, &world),
            empty_and_odd(family, &world),
        ]);
    }
    cases
}

fn both_ways(family: Family, arms: &str, world: &World) -> Case {
    let talk = world.udp(family);
    let name = format!("{family:?} with {arms} arms: question and answer");
    Case::new(name, &world.contents)
        .sent(
            "the question",
            talk.request(&Segment::udp(b"who is there?")),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "the question again",
            talk.request(&Segment::udp(b"who is there?")),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the answer",
            talk.answer(&Segment::udp(b"nobody")),
            Reason::ForwardedToClient,
        )
        .sent(
            "the next question",
            talk.request(&Segment::udp(b"really?")),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the next answer",
            talk.answer(&Segment::udp(&[0xff; 1400])),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn no_checksum(family: Family, world: &World) -> Case {
    let talk = world.udp(family);
    let name = format!("{family:?}: a datagram without a checksum has none on the other side");
    Case::new(name, &world.contents)
        .sent(
            "the question",
            talk.request(&Segment::udp(b"question").without_checksum()),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "the answer",
            talk.answer(&Segment::udp(b"answer").without_checksum()),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
}

/// A datagram whose checksum would be 0 on the side that `frame` builds.
fn zero_sum(frame: impl Fn(&Segment) -> Vec<u8>) -> Segment {
    (0..=u16::MAX)
        .map(|word| Segment::udp(&[&word.to_be_bytes()[..], b"padding."].concat()))
        .find(|segment| {
            let built = frame(segment);
            assert_eq!(complaint(&built), None);
            // The builder sends 0 as 0xffff, and no other sum can become that.
            let udp = built.len() - 8 - segment.payload.len();
            built[udp + 6..udp + 8] == [0xff, 0xff]
        })
        .expect("one of 65 536 words gives every sum")
}

fn sum_of_zero(family: Family, world: &World) -> Case {
    let talk = world.udp(family);
    let to_backend = zero_sum(|segment| talk.request(segment).out);
    let to_client = zero_sum(|segment| talk.answer(segment).out);
    let from_client = zero_sum(|segment| talk.client_sends(segment));
    let name = format!("{family:?}: a checksum that becomes 0 is sent as 0xffff (RFC 768)");
    Case::new(name, &world.contents)
        .sent(
            "a question whose sum becomes 0",
            talk.request(&to_backend),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "an answer whose sum becomes 0",
            talk.answer(&to_client),
            Reason::ForwardedToClient,
        )
        .sent(
            "a question whose sum was 0",
            talk.request(&from_client),
            Reason::ForwardedToBackend,
        )
        .counts(ONE)
}

fn unanswered(family: Family, world: &World) -> Case {
    let talk = world.udp(family);
    let datagram = || talk.request(&Segment::udp(b"log line"));
    let name = format!("{family:?}: datagrams that nobody answers never enter the main table");
    Case::new(name, &world.contents)
        .sent("a line", datagram(), Reason::ScheduledNewFlow)
        .after(29)
        .sent("a line", datagram(), Reason::ForwardedToBackend)
        .after(29)
        .sent("a line", datagram(), Reason::ForwardedToBackend)
        .after(31)
        .sent(
            "a line after the timeout",
            datagram(),
            Reason::ScheduledNewFlow,
        )
        .leaves(0, 1)
}

fn answered(case: Case, talk: &Talk) -> Case {
    case.sent(
        "the question",
        talk.request(&Segment::udp(b"question")),
        Reason::ScheduledNewFlow,
    )
    .sent(
        "the answer",
        talk.answer(&Segment::udp(b"answer")),
        Reason::ForwardedToClient,
    )
}

fn expired(family: Family, world: &World) -> Case {
    let talk = world.udp(family);
    let name = format!("{family:?}: an answered flow lives for its own, longer timeout");
    answered(Case::new(name, &world.contents), &talk)
        .after(119)
        .sent(
            "a late answer",
            talk.answer(&Segment::udp(b"late")),
            Reason::ForwardedToClient,
        )
        .after(121)
        .stays(
            "a too late answer",
            talk.backend_link.interface,
            talk.backend_sends(&Segment::udp(b"too late")),
            Reason::NotOurs,
        )
        .counts(TableCounters { removed: 1, ..ONE })
        .leaves(0, 0)
}

fn early_packet_counts(family: Family, world: &World) -> Case {
    let talk = world.udp(family);
    let name =
        format!("{family:?}: the timeout begins with the last packet, however soon it followed");
    answered(Case::new(name, &world.contents), &talk)
        .after(5)
        .sent(
            "a second answer",
            talk.answer(&Segment::udp(b"soon")),
            Reason::ForwardedToClient,
        )
        .after(118)
        .sent(
            "a third",
            talk.answer(&Segment::udp(b"late")),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
        .leaves(1, 0)
}

fn table_full(family: Family, world: &World) -> Case {
    let talk = world.udp(family);
    let name = format!("{family:?}: with the main table full, UDP is forwarded all the same");
    answered(Case::new(name, &world.contents).full_but(0), &talk)
        .sent(
            "the next question",
            talk.request(&Segment::udp(b"next")),
            Reason::ForwardedToBackend,
        )
        .counts(TableCounters {
            full: 2,
            ..TableCounters::default()
        })
        .leaves(0, 1)
}

fn empty_and_odd(family: Family, world: &World) -> Case {
    let talk = world.udp(family);
    let name = format!("{family:?}: empty datagrams, odd lengths and Ethernet padding");
    Case::new(name, &world.contents)
        .sent(
            "an empty datagram",
            talk.request(&Segment::udp(b"")),
            Reason::ScheduledNewFlow,
        )
        .sent(
            "one byte, padded",
            talk.request(&Segment::udp(b"1").padded(17)),
            Reason::ForwardedToBackend,
        )
        .sent(
            "three bytes back, padded",
            talk.answer(&Segment::udp(b"123").padded(15)),
            Reason::ForwardedToClient,
        )
        .counts(ONE)
}
