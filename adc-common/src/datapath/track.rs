//! Validated flows: expiry on read, TCP phases, moved clients. Off the fast path.

use super::{
    direct,
    family::Family,
    news,
    ports::{FlowTables, PacketBuf, Tables},
    preface, schedule,
    scratch::{Scratch, Seen},
    wire::tcp_flags::{ACK, FIN, RST, SYN},
};
use crate::abi::{BackendId, FlowFlags, FlowKey, InterfaceId, Phase, Protocol, Tick};

/// What of an entry the slow path needs.
#[derive(Clone, Copy)]
struct Glance {
    last_seen: Tick,
    phase: Phase,
    flags: FlowFlags,
}

/// Looks closer at a flow that is not settled and that `delivery` is aimed along. False if the flow is
/// over (and removed): the packet then counts as untracked.
#[inline(never)]
pub(super) fn examine<A, P, T>(packet: &P, tables: &T, scratch: &mut Scratch<A>) -> bool
where
    A: Family,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    let Scratch {
        seen,
        delivery,
        other: other_key,
        ..
    } = scratch;
    let Some(own) = glance(tables, &seen.key) else {
        return false;
    };
    if own.flags.contains(FlowFlags::DIRECT) {
        return direct::examine(packet, tables, scratch, own.phase, own.last_seen);
    }
    other_key.set(delivery.to.reversed(), seen.key.protocol);
    let other = glance(tables, other_key);
    let timeout = timeout_of(tables, delivery.backend, own.phase);
    if is_over(seen, timeout, own, other) {
        remove_both(tables, &seen.key, other_key);
        return false;
    }
    if !own.flags.contains(FlowFlags::REPLY) {
        follow_client(packet, tables, seen, other_key);
        if seen.frame.flags & (SYN | ACK) == SYN {
            preface::guard(tables, delivery);
        }
    }
    let other_flags = other.map_or(FlowFlags::default(), |other| other.flags);
    let (phase, flags) = after(seen, own.phase, own.flags, other_flags);
    let _own = tables.with_flow(&seen.key, |entry| {
        entry.last_seen = seen.now;
        entry.phase = phase;
        entry.flags = flags;
    });
    if phase != own.phase {
        let _other = tables.with_flow(other_key, |entry| entry.phase = phase);
        news::tell(tables, &seen.key);
    }
    true
}

#[inline(always)]
fn glance<A, T>(tables: &T, key: &FlowKey<A>) -> Option<Glance>
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    tables.with_flow(key, |entry| Glance {
        last_seen: entry.last_seen,
        phase: entry.phase,
        flags: entry.flags,
    })
}

/// A flow is over when both directions were idle for its timeout, or when the client opens the same
/// 5-tuple anew after the old connection ended.
#[inline(always)]
fn is_over<A>(seen: &Seen<A>, timeout: Tick, own: Glance, other: Option<Glance>) -> bool {
    let ended = matches!(own.phase, Phase::HALF_CLOSED | Phase::CLOSED | Phase::RESET);
    let opens = seen.frame.flags & (SYN | ACK) == SYN;
    if ended && opens && !own.flags.contains(FlowFlags::REPLY) {
        return true;
    }
    // One direction may be stale while the other talks. Without its other half a flow is over as well.
    let idle = |half: Glance| seen.now.since(half.last_seen) >= timeout;
    other.is_none_or(|other| idle(own) && idle(other))
}

/// Phase of a validated flow, and flags of this direction, after the packet.
#[inline(always)]
pub(super) fn after<A>(
    seen: &Seen<A>,
    phase: Phase,
    own: FlowFlags,
    other: FlowFlags,
) -> (Phase, FlowFlags) {
    if seen.key.protocol == Protocol::UDP {
        return (phase, own);
    }
    let segment = seen.frame.flags;
    let flags = if segment & FIN == 0 {
        own
    } else {
        own.with(FlowFlags::FIN_SEEN)
    };
    (next_phase(phase, segment, flags, other), flags)
}

/// Idle timeout of a flow of this backend in this phase; zero if the backend is gone, so that nothing of it lives on.
#[inline(always)]
pub(super) fn timeout_of<T: Tables>(tables: &T, backend: BackendId, phase: Phase) -> Tick {
    let Some(backend) = tables.backend(backend) else {
        return Tick(0);
    };
    let Some(service) = tables.service(backend.service) else {
        return Tick(0);
    };
    service.timeouts[phase.index()]
}

/// Removes a flow, both entries.
#[inline(always)]
pub(super) fn remove_both<A, T>(tables: &T, key: &FlowKey<A>, other: &FlowKey<A>)
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    let removed = tables.remove_flow(key);
    let other_removed = tables.remove_flow(other);
    if removed || other_removed {
        tables.count_table(|table| table.removed = table.removed.wrapping_add(1));
    }
}

/// Remembers where the client's packets come from now, so that replies follow it.
#[inline(always)]
fn follow_client<A, P, T>(packet: &P, tables: &T, seen: &Seen<A>, other_key: &FlowKey<A>)
where
    A: Family,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    let hop = schedule::last_hop(packet, &seen.frame);
    // An interface that adc was just detached from is no way back.
    if hop.interface == InterfaceId(0) {
        return;
    }
    let moved = tables.with_flow(&seen.key, |own| {
        core::mem::replace(&mut own.hop, hop) != hop
    });
    if moved == Some(true) {
        let _other = tables.with_flow(other_key, |other| other.hop = hop);
    }
}

/// The phase after a segment with `flags`.
///
/// A RST may be forged, and its sequence number is the endpoints' to judge: data after it shows that the
/// endpoints did not believe it, and the flow returns to the phase its FINs say.
#[inline(always)]
const fn next_phase(phase: Phase, flags: u8, own: FlowFlags, other: FlowFlags) -> Phase {
    if flags & RST != 0 {
        return Phase::RESET;
    }
    if flags & SYN != 0 {
        return phase;
    }
    match (
        own.contains(FlowFlags::FIN_SEEN),
        other.contains(FlowFlags::FIN_SEEN),
    ) {
        (true, true) => Phase::CLOSED,
        (true, false) | (false, true) => Phase::HALF_CLOSED,
        (false, false) => Phase::ESTABLISHED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_FIN: FlowFlags = FlowFlags(0);
    const SENT_FIN: FlowFlags = FlowFlags::FIN_SEEN;

    #[test]
    fn one_fin_half_closes_and_two_close() {
        assert_eq!(
            next_phase(Phase::ESTABLISHED, FIN | ACK, SENT_FIN, NO_FIN),
            Phase::HALF_CLOSED
        );
        assert_eq!(
            next_phase(Phase::HALF_CLOSED, FIN | ACK, SENT_FIN, SENT_FIN),
            Phase::CLOSED
        );
        assert_eq!(
            next_phase(Phase::CLOSED, ACK, SENT_FIN, SENT_FIN),
            Phase::CLOSED
        );
    }

    #[test]
    fn data_after_a_reset_that_the_endpoints_ignored_revives_the_flow() {
        assert_eq!(
            next_phase(Phase::ESTABLISHED, RST, NO_FIN, NO_FIN),
            Phase::RESET
        );
        assert_eq!(
            next_phase(Phase::RESET, ACK, NO_FIN, NO_FIN),
            Phase::ESTABLISHED
        );
        assert_eq!(
            next_phase(Phase::RESET, ACK, NO_FIN, SENT_FIN),
            Phase::HALF_CLOSED
        );
    }

    #[test]
    fn a_syn_changes_no_phase() {
        assert_eq!(
            next_phase(Phase::ESTABLISHED, SYN, NO_FIN, NO_FIN),
            Phase::ESTABLISHED
        );
        assert_eq!(
            next_phase(Phase::RESET, SYN | ACK, NO_FIN, NO_FIN),
            Phase::RESET
        );
    }
}
