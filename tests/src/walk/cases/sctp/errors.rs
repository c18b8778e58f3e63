//! ICMP errors about SCTP associations.

use adc_common::abi::Reason;

use super::{
    super::{
        ONE,
        icmp_errors::{WHOLE, about_answer, about_request, ip_header, router, unreachable},
    },
    associated, down_data, init, up_data,
};
use crate::{
    packets::Segment,
    walk::{BACK, Case, Crossing, FRONT, Family, Link, Talk, Way, World},
};

pub(super) fn cases(family: Family) -> Vec<Case> {
    vec![
        tracked(family, "nat", &World::two_arm()),
        tracked(family, "full-nat", &World::two_arm().with_full_nat()),
        half_open(family),
        untracked(family),
        direct(family),
    ]
}

/// An error that quotes so many bytes behind the IP header: ports and verification tag, the CRC too, or all.
type Length = fn(Family) -> usize;
const LENGTHS: [Length; 3] = [
    |family| ip_header(family) + 8,
    |family| ip_header(family) + 12,
    |_| WHOLE,
];

fn upwards(talk: &Talk, family: Family, segment: &Segment, length: usize) -> Crossing {
    let error = unreachable(family);
    about_answer(talk, router(family, false), &error, segment, length)
}

fn downwards(talk: &Talk, family: Family, segment: &Segment, length: usize) -> Crossing {
    let error = unreachable(family);
    about_request(talk, router(family, true), &error, segment, length)
}

fn tracked(family: Family, what: &str, world: &World) -> Case {
    let talk = world.sctp(family);
    let name = format!(
        "{family:?}, {what}: errors about an association reach the end they concern, the quoted CRC as it was"
    );
    let mut case = associated(Case::new(name, &world.contents), &talk);
    for length in LENGTHS {
        let length = length(family);
        case = case
            .sent_as_it_is(
                "about an answer",
                upwards(&talk, family, &down_data(b"answer"), length),
                Reason::IcmpErrorToBackend,
            )
            .sent_as_it_is(
                "about a request",
                downwards(&talk, family, &up_data(b"request"), length),
                Reason::IcmpErrorToClient,
            );
    }
    case.sent(
        "the association goes on",
        talk.request(&up_data(b"more")),
        Reason::ForwardedToBackend,
    )
    .counts(ONE)
    .leaves(1, 0)
}

fn half_open(family: Family) -> Case {
    let world = World::two_arm();
    let talk = world.sctp(family);
    let name = format!("{family:?}: an INIT that is answered by an error: the client hears of it");
    Case::new(name, &world.contents)
        .sent("the INIT", talk.request(&init()), Reason::ScheduledNewFlow)
        .sent(
            "unreachable",
            downwards(&talk, family, &init(), ip_header(family) + 8),
            Reason::IcmpErrorToClient,
        )
        .leaves(0, 1)
}

fn untracked(family: Family) -> Case {
    let world = World::two_arm();
    let talk = world.sctp(family);
    let mut elsewhere = talk.clone();
    elsewhere.vip.set_port(22);
    let about = |talk: &Talk| upwards(talk, family, &down_data(b"?"), WHOLE).frame;
    let name = format!("{family:?}: errors about no association");
    let cut = upwards(&talk, family, &down_data(b"?"), ip_header(family) + 7).frame;
    Case::new(name, &world.contents)
        .stays(
            "of the service",
            FRONT,
            about(&talk),
            Reason::IcmpErrorUntracked,
        )
        .stays(
            "of another port",
            FRONT,
            about(&elsewhere),
            Reason::OtherProtocol,
        )
        .stays(
            "of a backend",
            BACK,
            downwards(&talk, family, &up_data(b"?"), WHOLE).frame,
            Reason::OtherProtocol,
        )
        .stays("too short a quote", FRONT, cut, Reason::BadIcmpError)
        .leaves(0, 0)
}

/// The backend has the VIP and sent what is quoted: the error goes to it as it came.
fn direct(family: Family) -> Case {
    let world = World::direct(Link::new(FRONT, 0xfe), Link::new(BACK, 10), Way::L2);
    let talk = world.sctp(family);
    let name = format!("{family:?}: an error about an association whose backend answers directly");
    let send = |segment: &Segment| talk.direct(Way::L2, segment);
    let mut as_is = talk.clone();
    as_is.backend = talk.vip;
    Case::new(name, &world.contents)
        .sent("the INIT", send(&init()), Reason::ScheduledNewFlow)
        .sent(
            "about its answer",
            upwards(&as_is, family, &down_data(b"answer"), WHOLE),
            Reason::IcmpErrorToBackend,
        )
        .leaves_entries(0, 1)
}
