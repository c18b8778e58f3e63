//! Random packets of SCTP associations.

use super::traffic::Dice;
use crate::packets::{Chunk, Segment};

/// Mostly what comes next in an association of a client and a backend who gave out these tags, seen by somebody who does not
/// know which of it arrived.
pub(super) fn packet(
    dice: &mut Dice,
    client: &mut u32,
    backend: &mut u32,
    from_client: bool,
) -> Segment {
    // Zero is no tag.
    *client |= 1;
    *backend |= 1;
    let kinds: &[u8] = if from_client {
        &[
            Chunk::INIT,
            Chunk::INIT,
            Chunk::COOKIE_ECHO,
            Chunk::COOKIE_ECHO,
            Chunk::DATA,
            Chunk::DATA,
            Chunk::SACK,
            Chunk::SHUTDOWN,
            Chunk::SHUTDOWN_COMPLETE,
            Chunk::ABORT,
            Chunk::INIT_ACK,
        ]
    } else {
        &[
            Chunk::INIT_ACK,
            Chunk::INIT_ACK,
            Chunk::INIT_ACK,
            Chunk::COOKIE_ACK,
            Chunk::DATA,
            Chunk::DATA,
            Chunk::HEARTBEAT,
            Chunk::SHUTDOWN_ACK,
            Chunk::ABORT,
            Chunk::INIT,
        ]
    };
    let kind = *dice.pick(kinds);
    if kind == Chunk::INIT && from_client && dice.once_in(3) {
        *client = dice.below(u32::MAX) | 1;
    }
    let (own, other) = if from_client {
        (*client, *backend)
    } else {
        (*backend, *client)
    };
    let mut tag = if kind == Chunk::INIT { 0 } else { other };
    if dice.once_in(12) {
        tag = dice.below(u32::MAX);
    }
    let value: Vec<u8> = (0..dice.below(60))
        .map(|_| dice.roll().to_le_bytes()[0])
        .collect();
    let first = match kind {
        Chunk::INIT | Chunk::INIT_ACK => Chunk::initiate(kind, own, &value),
        Chunk::DATA => Chunk::data(&value),
        other => Chunk::new(other, &value),
    };
    let mut chunks = vec![first];
    if dice.once_in(6) {
        chunks.push(Chunk::data(b"bundled"));
    }
    let segment = Segment::sctp(tag, &chunks);
    if dice.once_in(10) {
        segment.flawed(dice.below(u32::MAX))
    } else {
        segment
    }
}
