//! Associations whose backend is down.

use adc_common::abi::{BackendFlags, Protocol, Reason, TableCounters};

use super::{
    super::{ONE, down::failure},
    BACKEND, associated, down_data, up_data,
};
use crate::{
    packets::{Chunk, Segment},
    walk::{Case, Family, World},
};

pub(super) fn cases(family: Family) -> Vec<Case> {
    let flags = [BackendFlags::DOWN_RESET, BackendFlags::DOWN_RESELECT];
    flags
        .into_iter()
        .map(|flags| moves(family, flags))
        .collect()
}

/// Nobody is sent a RST, whatever the pool says.
fn moves(family: Family, flags: BackendFlags) -> Case {
    let world = World::two_arm();
    let failure = failure(&world, world.talk(family, Protocol::SCTP), flags);
    let name = format!(
        "{family:?}: with on_down flags {:#x} the next packet of an association goes to another backend, which aborts it",
        flags.0
    );
    let abort = Segment::sctp(BACKEND, &[Chunk::new(Chunk::ABORT, b"").flags(1)]);
    let case = associated(Case::new(name, &failure.before), &failure.talk)
        .reload(&failure.after)
        .sent(
            "a late answer",
            failure.talk.answer(&down_data(b"late")),
            Reason::ForwardedToClient,
        )
        .sent(
            "data",
            failure.spare.request(&up_data(b"data")),
            Reason::PickedUpFlow,
        )
        .sent(
            "the other backend's ABORT",
            failure.spare.answer(&abort),
            Reason::ForwardedToClient,
        );
    associated(case, &failure.spare)
        .counts(TableCounters {
            inserted: 2,
            removed: 1,
            ..ONE
        })
        .leaves(1, 0)
}
