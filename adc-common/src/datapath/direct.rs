//! Flows whose backend answers the client directly (direct server return): one entry, and only the client's
//! packets to judge by.
//!
//! The backend is never heard, so no sequence number can be checked, and nobody knows when it said its last word. What
//! is asked instead: one packet from a tuple, which anybody can forge, is remembered in the half-open LRU only. The
//! second one moves the flow to the main table, unless it is a SYN again.

use core::mem::replace;

use super::{
    decide::follow,
    family::Family,
    news,
    ports::{FlowTables, InsertError, PacketBuf, Tables},
    schedule::{is_still_chosen, last_hop},
    scratch::{Scratch, Seen},
    track::timeout_of,
    wire::tcp_flags::{ACK, FIN, RST, SYN},
};
use crate::abi::{FlowFlags, InterfaceId, Phase, Protocol, Reason, Tick};

/// What a packet of a half-open flow does to it.
enum Step {
    /// The flow is in this phase now.
    Enter(Phase),
    /// The same, and it moves to the main table.
    Promote(Phase),
    /// The packet is dropped.
    Refuse,
    /// The flow is over; the packet opens a new one.
    Renew,
}

/// Remembers a new flow, and points `delivery` at its backend.
#[inline(never)]
pub(super) fn open<A, P, T>(packet: &P, tables: &T, scratch: &mut Scratch<A>) -> Result<(), Reason>
where
    A: Family,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    let Scratch {
        seen,
        delivery,
        half,
        choice,
        ..
    } = scratch;
    delivery.to = seen.key.tuple;
    delivery.crosses = 0;
    // The last word about a connection that is over: passed on, not remembered.
    if seen.frame.flags & RST != 0 {
        return Ok(());
    }
    half.flow.other = seen.key.tuple.reversed();
    half.flow.hop = last_hop(packet, &seen.frame);
    half.flow.last_seen = seen.now;
    half.flow.backend = delivery.backend;
    half.flow.phase = choice.phase;
    half.flow.flags = delivery.direct;
    half.initial_seq = 0;
    half.preface = 0;
    if half.flow.hop.interface == InterfaceId(0) {
        return Err(Reason::InterfaceUnset);
    }
    if tables.put_half_open(&seen.key, half).is_err() {
        return Err(Reason::FlowTableError);
    }
    tables.count_backend(delivery.backend, |backend| {
        backend.flows_scheduled = backend.flows_scheduled.wrapping_add(1);
    });
    Ok(())
}

/// Handles a packet of a half-open flow that `delivery` is aimed along. `None` if the flow was dead, and is removed.
/// Inlined, as is `examine`: two frames of the BPF stack would not fit on top of the walk's.
#[inline(always)]
pub(super) fn advance<A, P, T>(
    packet: &P,
    tables: &T,
    scratch: &mut Scratch<A>,
    phase: Phase,
    last_seen: Tick,
) -> Option<Reason>
where
    A: Family,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    let Scratch { seen, delivery, .. } = scratch;
    let step = half_open_step(seen, phase);
    let over = seen.now.since(last_seen) >= timeout_of(tables, delivery.backend, phase);
    // The ring may have let go of the backend because it died; nobody would hear that it does not answer.
    if over
        || matches!(step, Step::Renew)
        || !matches!(step, Step::Promote(_)) && !is_still_chosen(tables, seen, delivery.backend)
    {
        tables.remove_half_open(&seen.key);
        return None;
    }
    let (phase, promoted) = match step {
        Step::Refuse => return Some(Reason::HandshakeMismatch),
        Step::Enter(phase) => (phase, false),
        Step::Promote(phase) => (phase, true),
        Step::Renew => return None,
    };
    let hop = last_hop(packet, &seen.frame);
    let moved = tables.with_half_open(&seen.key, |half| {
        half.flow.phase = phase;
        half.flow.last_seen = seen.now;
        if hop.interface != InterfaceId(0) {
            half.flow.hop = hop;
        }
        promoted.then(|| tables.insert_flow(&seen.key, &half.flow))
    });
    match moved.flatten() {
        Some(Ok(())) => {
            tables.remove_half_open(&seen.key);
            tables.count_table(|table| table.inserted = table.inserted.wrapping_add(1));
            tables.count_backend(delivery.backend, |backend| {
                backend.flows_established = backend.flows_established.wrapping_add(1);
            });
            news::tell(tables, &seen.key);
        }
        Some(Err(InsertError::Refused)) => {
            tables.count_table(|table| table.full = table.full.wrapping_add(1));
        }
        // Another CPU was faster, or there is nothing to move.
        Some(Err(InsertError::Exists)) | None => {}
    }
    Some(follow(tables, delivery))
}

/// Looks closer at a validated flow that is not settled and that `delivery` is aimed along. False if it is over, and
/// removed.
#[inline(always)]
pub(super) fn examine<A, P, T>(
    packet: &P,
    tables: &T,
    scratch: &mut Scratch<A>,
    phase: Phase,
    last_seen: Tick,
) -> bool
where
    A: Family,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    let Scratch { seen, delivery, .. } = scratch;
    let reopened = matches!(phase, Phase::CLOSED | Phase::RESET) && opens(seen);
    if reopened || seen.now.since(last_seen) >= timeout_of(tables, delivery.backend, phase) {
        if tables.remove_flow(&seen.key) {
            tables.count_table(|table| table.removed = table.removed.wrapping_add(1));
        }
        return false;
    }
    let hop = last_hop(packet, &seen.frame);
    let next = next_phase(seen, phase);
    let _entry = tables.with_flow(&seen.key, |entry| {
        entry.last_seen = seen.now;
        entry.phase = next;
        if hop.interface != InterfaceId(0) {
            let _before = replace(&mut entry.hop, hop);
        }
    });
    if next != phase {
        news::tell(tables, &seen.key);
    }
    true
}

#[inline(always)]
fn opens<A>(seen: &Seen<A>) -> bool {
    seen.frame.flags & (SYN | ACK) == SYN
}

#[inline(always)]
fn half_open_step<A>(seen: &Seen<A>, phase: Phase) -> Step {
    if seen.key.protocol == Protocol::UDP {
        return Step::Promote(Phase::REPLIED);
    }
    let flags = seen.frame.flags;
    if flags & RST != 0 {
        return Step::Enter(Phase::RESET);
    }
    match flags & (SYN | ACK) {
        SYN if phase == Phase::RESET => Step::Renew,
        SYN => Step::Enter(Phase::SYN_SENT),
        ACK if phase == Phase::RESET => Step::Enter(Phase::RESET),
        ACK => Step::Promote(next_phase(seen, Phase::ESTABLISHED)),
        // A client answers no SYN.
        _ => Step::Refuse,
    }
}

/// The phase of a validated flow after the packet.
///
/// After the client's FIN nobody will say when the backend is done: the short timeout of closed flows runs, anew with
/// each of the client's ACKs. As for IPVS, whose INPUT_ONLY states go from ESTABLISHED to FIN_WAIT (2 minutes) then.
/// Data after a RST shows that the backend did not believe it.
#[inline(always)]
fn next_phase<A>(seen: &Seen<A>, phase: Phase) -> Phase {
    if seen.key.protocol == Protocol::UDP {
        return phase;
    }
    let flags = seen.frame.flags;
    if flags & RST != 0 {
        Phase::RESET
    } else if flags & FIN != 0 {
        Phase::CLOSED
    } else if flags & SYN != 0 || phase == Phase::CLOSED {
        phase
    } else {
        Phase::ESTABLISHED
    }
}

/// Whether all of a flow is in the forward entry.
#[inline(always)]
pub(super) const fn is_direct(flags: FlowFlags) -> bool {
    flags.contains(FlowFlags::DIRECT)
}
