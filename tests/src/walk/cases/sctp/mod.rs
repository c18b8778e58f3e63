//! SCTP associations.

mod bad;
mod errors;
mod failing;
mod life;
mod pieces;

use adc_common::abi::{Protocol, Reason};

use super::ONE;
use crate::{
    packets::{Chunk, Segment, Tag},
    walk::{BACK, Case, FRONT, Family, Link, Talk, Way, World},
};

/// The tag that clients want to be addressed with.
const CLIENT: u32 = 0xc11e_0001;
/// The tag that backends want to be addressed with.
const BACKEND: u32 = 0xbacc_0002;

/// Two IPv4 addresses, which a host with several would name (RFC 9260 §3.3.2.1.1): left alone.
const ADDRESSES: [u8; 16] = [0, 5, 0, 8, 192, 0, 2, 7, 0, 5, 0, 8, 192, 0, 2, 8];

/// A state cookie (§3.3.3.1).
const COOKIE: &[u8] = b"\0\x07\0\x0ba cookie";

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for family in Family::BOTH {
        for (what, world) in [
            ("one arm", World::one_arm()),
            ("two arms", World::two_arm()),
            ("tags", tagged()),
            ("one arm, full-nat", World::one_arm().with_full_nat()),
            ("two arms, full-nat", World::two_arm().with_full_nat()),
        ] {
            let what = format!("{family:?}, {what}");
            cases.push(whole(&what, &world, &world.sctp(family)));
        }
        for way in Way::ALL {
            cases.push(direct(family, way));
        }
        cases.extend(life::cases(family));
        cases.extend(failing::cases(family));
        cases.extend(bad::cases(family));
        cases.extend(errors::cases(family));
        cases.extend(pieces::cases(family));
    }
    for (what, world) in [
        ("one arm", World::one_arm()),
        ("two arms", World::two_arm()),
        ("tags", tagged()),
    ] {
        let world = world.with_full_nat();
        let talk = world.nat64(Protocol::SCTP);
        cases.push(whole(&format!("NAT64, {what}"), &world, &talk));
    }
    cases
}

fn tagged() -> World {
    World::new(
        Link::new(FRONT, 0xfe).tagged(&[Tag::customer(5).priority(6)]),
        Link::new(BACK, 10).tagged(&[Tag::service(100), Tag::customer(200)]),
    )
}

fn init() -> Segment {
    Segment::sctp(0, &[Chunk::initiate(Chunk::INIT, CLIENT, &ADDRESSES)])
}

fn init_ack() -> Segment {
    Segment::sctp(CLIENT, &[Chunk::initiate(Chunk::INIT_ACK, BACKEND, COOKIE)])
}

/// With data behind it, as it may have (RFC 9260 §5.1).
fn cookie_echo() -> Segment {
    let cookie = Chunk::new(Chunk::COOKIE_ECHO, b"a cookie");
    Segment::sctp(BACKEND, &[cookie, Chunk::data(b"first")])
}

fn cookie_ack() -> Segment {
    Segment::sctp(CLIENT, &[Chunk::new(Chunk::COOKIE_ACK, b"")])
}

/// A packet of the client's, with one chunk.
fn up(kind: u8) -> Segment {
    Segment::sctp(BACKEND, &[Chunk::new(kind, b"")])
}

/// A packet of the backend's.
fn down(kind: u8) -> Segment {
    Segment::sctp(CLIENT, &[Chunk::new(kind, b"")])
}

fn up_data(payload: &[u8]) -> Segment {
    Segment::sctp(BACKEND, &[Chunk::data(payload)])
}

fn down_data(payload: &[u8]) -> Segment {
    Segment::sctp(CLIENT, &[Chunk::data(payload)])
}

/// A complete handshake.
pub(super) fn associated(case: Case, talk: &Talk) -> Case {
    case.sent("the INIT", talk.request(&init()), Reason::ScheduledNewFlow)
        .sent(
            "the INIT ACK",
            talk.answer(&init_ack()),
            Reason::ForwardedToClient,
        )
        .sent(
            "the COOKIE ECHO",
            talk.request(&cookie_echo()),
            Reason::ForwardedToBackend,
        )
        .sent(
            "the COOKIE ACK",
            talk.answer(&cookie_ack()),
            Reason::ForwardedToClient,
        )
}

fn whole(what: &str, world: &World, talk: &Talk) -> Case {
    let name = format!("{what}: an association from INIT to SHUTDOWN COMPLETE");
    let mut case = associated(Case::new(name, &world.contents), talk);
    // Lengths that have each bit set and clear, and a padded chunk.
    for length in [1, 2, 3, 4, 500, 1000, 1400] {
        case = case
            .sent(
                "data",
                talk.request(&up_data(&vec![0xd0; length])),
                Reason::ForwardedToBackend,
            )
            .sent(
                "data back",
                talk.answer(&down_data(&vec![0xe0; length])),
                Reason::ForwardedToClient,
            );
    }
    case.sent(
        "a heartbeat",
        talk.request(&up(Chunk::HEARTBEAT).padded(6)),
        Reason::ForwardedToBackend,
    )
    .sent(
        "the SHUTDOWN",
        talk.request(&up(Chunk::SHUTDOWN)),
        Reason::ForwardedToBackend,
    )
    .sent(
        "the SHUTDOWN ACK",
        talk.answer(&down(Chunk::SHUTDOWN_ACK)),
        Reason::ForwardedToClient,
    )
    .sent(
        "the SHUTDOWN COMPLETE",
        talk.request(&up(Chunk::SHUTDOWN_COMPLETE)),
        Reason::ForwardedToBackend,
    )
    .counts(ONE)
    .leaves(1, 0)
}

/// What the client sends; nothing but the way to the backend is adc's.
fn direct(family: Family, way: Way) -> Case {
    let world = World::direct(Link::new(FRONT, 0xfe), Link::new(BACK, 10), way);
    let talk = world.sctp(family);
    let send = |segment: &Segment| talk.direct(way, segment);
    Case::new(
        format!("{family:?} {way:?}: an association whose backend answers directly"),
        &world.contents,
    )
    .sent("the INIT", send(&init()), Reason::ScheduledNewFlow)
    .sent("again", send(&init()), Reason::ForwardedToBackend)
    .sent(
        "the COOKIE ECHO",
        send(&cookie_echo()),
        Reason::ForwardedToBackend,
    )
    .sent("data", send(&up_data(b"data")), Reason::ForwardedToBackend)
    .sent(
        "the SHUTDOWN",
        send(&up(Chunk::SHUTDOWN)),
        Reason::ForwardedToBackend,
    )
    .sent(
        "the SHUTDOWN COMPLETE",
        send(&up(Chunk::SHUTDOWN_COMPLETE)),
        Reason::ForwardedToBackend,
    )
    .counts(ONE)
    .leaves_entries(1, 0)
}
