//! Packets that are not whole: fragments, and quotes in ICMP errors.

use adc_common::abi::{Port, Reason};

use super::{ONE, associated, down_data, up_data};
use crate::walk::{BACK, Case, FRONT, Family, Link, Talk, Way, World};

pub(super) fn cases(family: Family) -> Vec<Case> {
    vec![
        ports_change(family),
        ports_stay(family),
        ports_stay_directly(family),
        tiny(family),
    ]
}

fn ports_change(family: Family) -> Case {
    let world = World::two_arm();
    let talk = world.sctp(family);
    let name = format!("{family:?}: fragments of SCTP are dropped where the ports change");
    let mut case = associated(Case::new(name, &world.contents), &talk);
    for piece in talk.request(&up_data(&[1; 300])).fragments(104, 5) {
        case = case.stays("one", FRONT, piece.frame, Reason::SctpFragment);
    }
    for piece in talk.answer(&down_data(&[1; 300])).fragments(104, 6) {
        case = case.stays("one back", BACK, piece.frame, Reason::SctpFragment);
    }
    case.counts(ONE).leaves(1, 0)
}

/// A service whose backend has its port.
fn same_port(family: Family) -> (World, Talk) {
    let mut world = World::two_arm();
    let mut talk = world.sctp(family);
    let port = Port::new(talk.backend.port());
    for backend in world.contents.backends.values_mut() {
        if backend.port == port {
            backend.port = Port::new(talk.vip.port());
        }
    }
    talk.backend.set_port(talk.vip.port());
    (world, talk)
}

fn ports_stay(family: Family) -> Case {
    let (world, talk) = same_port(family);
    let name = format!("{family:?}: fragments of SCTP pass where the ports stay");
    let mut case = associated(Case::new(name, &world.contents), &talk);
    for piece in talk.request(&up_data(&[1; 300])).fragments(104, 5) {
        case = case.sent("one", piece, Reason::ForwardedToBackend);
    }
    for piece in talk.answer(&down_data(&[1; 300])).fragments(24, 6) {
        case = case.sent("one back", piece, Reason::ForwardedToClient);
    }
    case.counts(ONE).leaves(1, 0)
}

fn ports_stay_directly(family: Family) -> Case {
    let world = World::direct(Link::new(FRONT, 0xfe), Link::new(BACK, 10), Way::L2);
    let talk = world.sctp(family);
    let name = format!("{family:?}: fragments of SCTP pass to a backend that answers directly");
    let pieces = |id| talk.direct(Way::L2, &up_data(&[1; 300])).fragments(104, id);
    let mut case = Case::new(name, &world.contents);
    for (what, piece) in ["the first", "of what opens no flow"].iter().zip(pieces(4)) {
        let reason = if *what == "the first" {
            Reason::SctpFragment
        } else {
            Reason::Fragment
        };
        case = case.stays(what, FRONT, piece.frame, reason);
    }
    case = case.sent(
        "a whole packet",
        talk.direct(Way::L2, &up_data(b"whole")),
        Reason::PickedUpFlow,
    );
    for piece in pieces(5) {
        case = case.sent("one", piece, Reason::ForwardedToBackend);
    }
    case.counts(ONE).leaves_entries(1, 0)
}

fn tiny(family: Family) -> Case {
    let (world, talk) = same_port(family);
    let name = format!("{family:?}: a first fragment that ends before the first chunk is no use");
    let mut case = Case::new(name, &world.contents);
    for size in [8, 16] {
        let piece = talk
            .request(&up_data(&[1; 300]))
            .fragments(size, 5)
            .swap_remove(0);
        case = case.stays("one", FRONT, piece.frame, Reason::FragmentTiny);
    }
    case.leaves(0, 0)
}
