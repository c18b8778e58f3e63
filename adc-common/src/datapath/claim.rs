//! Reply keys: what a new flow's answers will look like, so that no other flow's look the same.
//!
//! The key is inserted only if it is not there yet, so two CPUs can not both have it. In mode `nat` the source
//! address is the client's, and only its port can change; in mode `full-nat` the source is one of the service's
//! local addresses, and `snat` chooses.

use super::{
    family::Family,
    hash::rehash,
    ports::{FlowTables, InsertError, Tables},
    scratch::{Scratch, Seen},
    track::{remove_both, timeout_of},
};
use crate::abi::{FlowKey, Port, Reason, SNAT_PORTS};

/// Client ports tried towards one backend before a new flow of mode `nat` is given up. The first is the client's own;
/// it is taken only when the same client uses the same port to two VIPs that share a backend.
const PORT_ATTEMPTS: u32 = 4;

/// First port used in place of a taken one (RFC 6335 §6: 1024 and up are not system ports).
const FIRST_SPARE_PORT: u16 = 1024;

const _: () = assert!(SNAT_PORTS == (u16::MAX - FIRST_SPARE_PORT) as u32 + 1);

/// Takes a reply key that no other flow uses, and leaves it in `other`; what the backend will see is in `delivery.to`.
/// For modes in which that is the client's address.
#[inline(never)]
pub(super) fn claim<A, T>(tables: &T, scratch: &mut Scratch<A>) -> Result<(), Reason>
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    let hash = scratch.choice.hash;
    for attempt in 0..PORT_ATTEMPTS {
        if attempt > 0 {
            scratch.delivery.to.sport = spare_port(rehash(hash, attempt));
        }
        match take(tables, scratch) {
            Taking::Taken => return Ok(()),
            Taking::InUse => {}
            Taking::Refused => return Err(Reason::FlowTableError),
        }
    }
    Err(Reason::TupleConflict)
}

/// The port that a number below or above [`SNAT_PORTS`] stands for.
#[inline(always)]
pub(super) const fn spare_port(number: u32) -> Port {
    Port::new(FIRST_SPARE_PORT + (number % SNAT_PORTS) as u16)
}

/// What came of trying a key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Taking {
    /// It is ours.
    Taken,
    /// Another flow has it.
    InUse,
    /// The kernel takes no entry at all.
    Refused,
}

/// Tries to take the reply key of `delivery.to`.
#[inline(always)]
pub(super) fn take<A, T>(tables: &T, scratch: &mut Scratch<A>) -> Taking
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    let Scratch {
        seen,
        delivery,
        half,
        other,
        ..
    } = scratch;
    other.set(delivery.to.reversed(), seen.key.protocol);
    if in_use(tables, seen, other) {
        return Taking::InUse;
    }
    match tables.insert_half_open(other, half) {
        Ok(()) => Taking::Taken,
        Err(InsertError::Refused) => Taking::Refused,
        Err(InsertError::Exists) if may_replace(tables, seen, other) => {
            match tables.put_half_open(other, half) {
                Ok(()) => Taking::Taken,
                Err(InsertError::Exists | InsertError::Refused) => Taking::Refused,
            }
        }
        Err(InsertError::Exists) => Taking::InUse,
    }
}

/// Whether a live validated flow owns this reply key. A dead one is removed on the way.
#[inline(always)]
fn in_use<A, T>(tables: &T, seen: &Seen<A>, key: &FlowKey<A>) -> bool
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    let owner = tables.with_flow(key, |entry| {
        (
            entry.other == seen.key.tuple,
            entry.other,
            entry.last_seen,
            entry.backend,
            entry.phase,
        )
    });
    let Some((own, forward, last_seen, backend, phase)) = owner else {
        return false;
    };
    // Our own tuple without a forward entry is a torn flow: it can not answer for itself.
    let dead = own || seen.now.since(last_seen) >= timeout_of(tables, backend, phase);
    if dead {
        remove_both(tables, key, &FlowKey::new(forward, seen.key.protocol));
    }
    !dead
}

/// Whether the half-open flow on this reply key is our own earlier attempt, or dead.
#[inline(always)]
fn may_replace<A, T>(tables: &T, seen: &Seen<A>, key: &FlowKey<A>) -> bool
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    let owner = tables.with_half_open(key, |entry| {
        let flow = &entry.flow;
        (
            flow.other == seen.key.tuple,
            flow.last_seen,
            flow.backend,
            flow.phase,
        )
    });
    owner.is_none_or(|(own, last_seen, backend, phase)| {
        own || seen.now.since(last_seen) >= timeout_of(tables, backend, phase)
    })
}
