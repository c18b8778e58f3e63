//! SCTP packets that no endpoint would accept, and CRCs that are wrong already.

use adc_common::abi::Reason;

use super::{BACKEND, CLIENT, associated, init, init_ack, up_data};
use crate::{
    packets::{Chunk, Segment, set_word, transport_offset},
    walk::{Case, FRONT, Family, World},
};

/// Behind the common header: where the first chunk says how long it is.
const CHUNK_LENGTH: usize = 12 + 2;

pub(super) fn cases(family: Family) -> Vec<Case> {
    let world = World::two_arm();
    vec![
        malformed(family, &world),
        lengths(family, &world),
        flaws(family, &world),
        other_port(family, &world),
    ]
}

fn malformed(family: Family, world: &World) -> Case {
    let talk = world.sctp(family);
    let initiate = |kind, tag| Chunk::initiate(kind, tag, b"");
    let packets = [
        (
            "an INIT with a tag",
            Segment::sctp(5, &[initiate(Chunk::INIT, CLIENT)]),
        ),
        (
            "an INIT that gives out no tag",
            Segment::sctp(0, &[initiate(Chunk::INIT, 0)]),
        ),
        (
            "an INIT ACK that gives out no tag",
            Segment::sctp(5, &[initiate(Chunk::INIT_ACK, 0)]),
        ),
        (
            "an INIT with another chunk",
            Segment::sctp(0, &[initiate(Chunk::INIT, CLIENT), Chunk::data(b"")]),
        ),
        (
            "an INIT ACK with another chunk",
            Segment::sctp(5, &[initiate(Chunk::INIT_ACK, CLIENT), Chunk::data(b"")]),
        ),
        (
            "an INIT without its fields",
            Segment::sctp(0, &[Chunk::new(Chunk::INIT, &[1; 12])]),
        ),
        (
            "data with a tag of 0",
            Segment::sctp(0, &[Chunk::data(b"x")]),
        ),
        (
            "an ABORT with a tag of 0",
            Segment::sctp(0, &[Chunk::new(Chunk::ABORT, b"")]),
        ),
    ];
    let name = format!("{family:?}: what RFC 9260 forbids reaches no backend");
    let mut case = Case::new(name, &world.contents);
    for (what, segment) in packets {
        let frame = talk.client_sends(&segment);
        case = case.stays(what, FRONT, frame, Reason::BadTransportHeader);
    }
    let bare = talk.client_sends(&Segment::sctp(BACKEND, &[]));
    let mut nobody = talk.clone();
    nobody.client.set_port(0);
    case.stays(
        "a common header alone",
        FRONT,
        bare,
        Reason::TruncatedTransport,
    )
    .stays(
        "source port 0",
        FRONT,
        nobody.client_sends(&init()),
        Reason::ZeroPort,
    )
    .leaves(0, 0)
}

fn lengths(family: Family, world: &World) -> Case {
    let talk = world.sctp(family);
    let frame = talk.client_sends(&up_data(b"01234567"));
    let at = transport_offset(&frame) + CHUNK_LENGTH;
    let name =
        format!("{family:?}: a chunk is as long as its header at least, and ends in its packet");
    let mut case = Case::new(name, &world.contents);
    for length in [0, 1, 3, 16 + 8 + 1, 1000, u16::MAX] {
        let damaged = set_word(&frame, at, length);
        case = case.stays(
            "a chunk of a wrong length",
            FRONT,
            damaged,
            Reason::BadTransportHeader,
        );
    }
    case.sent(
        "one of the right length",
        talk.request(&up_data(b"01234567")),
        Reason::PickedUpFlow,
    )
    .leaves(0, 1)
}

/// Bits of the checksum that are wrong stay the very same bits.
fn flaws(family: Family, world: &World) -> Case {
    let talk = world.sctp(family);
    let name = format!("{family:?}: a wrong CRC leaves wrong, in the same bits");
    let mut case = associated(Case::new(name, &world.contents), &talk);
    for flaw in [1, 0x8000_0000, u32::MAX, 0x1234_5678] {
        let crossing = talk.request(&up_data(b"damaged").flawed(flaw));
        case = case.sent_as_it_is("damaged", crossing, Reason::ForwardedToBackend);
    }
    let crossing = talk.answer(&init_ack().flawed(2));
    case.sent_as_it_is("an INIT ACK", crossing, Reason::ForwardedToClient)
        .counts(super::ONE)
        .leaves(1, 0)
}

fn other_port(family: Family, world: &World) -> Case {
    let mut talk = world.sctp(family);
    talk.vip.set_port(80);
    let name = format!("{family:?}: SCTP to a port that only TCP has a service on is the kernel's");
    Case::new(name, &world.contents)
        .stays(
            "an INIT",
            FRONT,
            talk.client_sends(&init()),
            Reason::VipOtherPort,
        )
        .leaves(0, 0)
}
