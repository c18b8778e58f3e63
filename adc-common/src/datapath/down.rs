//! Flows whose backend is down, in pools that do not keep such flows (`on_down`). Off the fast path.
//!
//! What costs the fast path nothing is asked there: the backend's flags, which it reads anyway on the way to the
//! backend. Answers of a backend that is down are not looked at while their flow is settled. The client's next
//! segment, at the latest the one that the agent asks for, is answered with a RST and unsettles the flow.

use super::{
    decide,
    family::Family,
    ports::{FlowTables, Tables},
    scratch::{Scratch, Seen},
    track::remove_both,
    wire::tcp_flags::{ACK, RST, SYN},
};
use crate::abi::{BackendFlags, BackendId, FlowEntry, FlowKey, Phase, Protocol, Reason, Tick};

/// Sends an aimed packet along its flow, unless the backend that it comes from is down and resets its flows.
#[inline(always)]
pub(super) fn follow<A, T>(tables: &T, scratch: &mut Scratch<A>) -> Reason
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    let Scratch { seen, delivery, .. } = scratch;
    if delivery.reply != 0 && is_answerable(seen) && resets(tables, delivery.backend) {
        return Reason::BackendDown;
    }
    decide::follow(tables, delivery)
}

/// Judges a packet of a flow whose backend is down. `None` if the flow was removed: the packet then counts as
/// untracked.
///
/// Nothing can be reset in UDP, so with `reset` its flows are scheduled anew. A SYN is a new attempt in any case.
#[inline(never)]
pub(super) fn leave<A, T>(tables: &T, scratch: &mut Scratch<A>) -> Option<Reason>
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    let Scratch {
        seen,
        delivery,
        other,
        ..
    } = scratch;
    other.set(delivery.to.reversed(), seen.key.protocol);
    let opens = seen.frame.flags & (SYN | ACK) == SYN;
    if seen.key.protocol == Protocol::TCP && !opens && resets(tables, delivery.backend) {
        if !is_answerable(seen) {
            return Some(Reason::BackendDown);
        }
        // Kept for a while, so that the other end can be answered too.
        enter_reset(tables, &seen.key, seen.now);
        enter_reset(tables, other, seen.now);
        return Some(Reason::BackendDownReset);
    }
    remove_both(tables, &seen.key, other);
    tables.remove_half_open(&seen.key);
    tables.remove_half_open(other);
    None
}

/// Whether a RST can answer it with a sequence number that its sender must believe: the one that it acknowledges
/// (RFC 9293 §3.10.7.1). A RST is never answered.
#[inline(always)]
fn is_answerable<A>(seen: &Seen<A>) -> bool {
    seen.key.protocol == Protocol::TCP && seen.frame.flags & (SYN | RST | ACK) == ACK
}

#[inline(always)]
fn resets<T: Tables>(tables: &T, backend: BackendId) -> bool {
    tables
        .backend(backend)
        .is_some_and(|backend| backend.flags.contains(BackendFlags::DOWN_RESET))
}

/// In whichever table the flow is.
#[inline(always)]
fn enter_reset<A, T>(tables: &T, key: &FlowKey<A>, now: Tick)
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    let reset = |flow: &mut FlowEntry<A>| {
        flow.phase = Phase::RESET;
        flow.last_seen = now;
    };
    if tables.with_flow(key, reset).is_none() {
        let _half = tables.with_half_open(key, |half| reset(&mut half.flow));
    }
}
