//! Half-open flows: TCP and SCTP handshakes and unanswered UDP. What is validated here moves to the main table.

use core::mem::MaybeUninit;

use super::{
    decide::aim,
    direct,
    down::follow,
    family::Family,
    fence, news,
    ports::{FlowTables, InsertError, PacketBuf, Tables},
    preface,
    schedule::{is_still_chosen, last_hop},
    scratch::{Delivery, Scratch, Seen},
    sctp,
    track::{after, timeout_of},
    wire::tcp_flags::{ACK, RST, SYN},
};
use crate::abi::{BackendId, FlowFlags, FlowKey, Hop, InterfaceId, Phase, Protocol, Reason, Tick};
use network_types::tcp::TcpHdr;

/// How far the first ACK may run ahead of the backend's SYN: data that the backend sent with its
/// SYN-ACK (TCP Fast Open, RFC 7413) or a lost first ACK. Anything beyond did not see that SYN-ACK.
const ACK_WINDOW: u32 = 65_536;

/// Numbers less than this ahead are later, the others are earlier (RFC 9293 §3.4).
const SEQUENCE_HALF: u32 = 1 << 31;

/// What a half-open packet does to its flow.
enum Step {
    /// The phase of both entries becomes this one.
    Enter(Phase),
    /// The same, and the flow moves to the main table.
    Promote(Phase),
    /// Nothing.
    Keep,
    /// The packet is dropped.
    Refuse,
    /// The flow is over; the packet opens a new one.
    Renew,
}

/// What both halves remember of a packet.
#[derive(Clone, Copy)]
struct Memory {
    phase: Phase,
    flags: FlowFlags,
    initial_seq: u32,
    /// Where the client's packets come from now; unset if this packet does not say.
    hop: Hop,
}

/// What of a half-open entry its handling needs.
#[derive(Clone, Copy)]
struct Glance {
    last_seen: Tick,
    initial_seq: u32,
    phase: Phase,
    flags: FlowFlags,
    preface: u8,
}

/// What of a segment shows that its sender takes part in the handshake.
struct Numbers {
    /// Its sequence number; SCTP: the tag that an INIT or INIT ACK gives out.
    seq: u32,
    /// How far it acknowledges beyond the other end's SYN. SCTP: 0 if it has the tag that the other end gave out, else more
    /// than any window.
    acked: u32,
}

impl Numbers {
    /// See [`sctp::tags`].
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
    const fn of_tags(tags: u64, other: u32) -> Self {
        let differs = tags as u32 ^ other;
        Self {
            seq: (tags >> 32) as u32,
            // Any bit that is set is set in the upper half too: above `ACK_WINDOW`, without a branch.
            acked: differs | differs.rotate_left(16),
        }
    }
}

/// Handles a packet of a half-open flow. `None` if there is none, or if it turned out to be dead or torn
/// and was removed: the packet then counts as new.
#[inline(never)]
pub(super) fn advance<A, P, T>(packet: &P, tables: &T, scratch: &mut Scratch<A>) -> Option<Reason>
where
    A: Family,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    let Scratch {
        seen,
        delivery,
        other: other_key,
        clock,
        ..
    } = scratch;
    let own = tables.with_half_open(&seen.key, |half| {
        aim(&half.flow, delivery);
        Glance {
            last_seen: half.flow.last_seen,
            initial_seq: half.initial_seq,
            phase: half.flow.phase,
            flags: half.flow.flags,
            preface: half.preface,
        }
    })?;
    if fence::is_fenced_off(tables, delivery.backend, clock.nanos) {
        return Some(Reason::LeaseLapsed);
    }
    if own.flags.contains(FlowFlags::DIRECT) {
        return direct::advance(packet, tables, scratch, own.phase, own.last_seen);
    }
    other_key.set(delivery.to.reversed(), seen.key.protocol);
    let other = tables.with_half_open(other_key, |other| {
        (other.flow.other == seen.key.tuple).then_some((other.initial_seq, other.flow.flags))
    });
    // The LRU may evict one half; a half flow is never used.
    let Some((other_seq, other_flags)) = other.flatten() else {
        tables.count_table(|table| table.orphans = table.orphans.wrapping_add(1));
        tables.remove_half_open(&seen.key);
        return None;
    };
    if seen.now.since(own.last_seen) >= timeout_of(tables, delivery.backend, own.phase) {
        tables.remove_half_open(&seen.key);
        tables.remove_half_open(other_key);
        return None;
    }
    if own.preface != 0 {
        let client_seq = if delivery.reply == 0 {
            own.initial_seq
        } else {
            other_seq
        };
        preface::mark(seen, own.phase, client_seq, delivery);
    }
    let (step, initial_seq) = step_of(packet, seen, own, other_seq)?;
    let phase = match step {
        Step::Refuse => return Some(Reason::HandshakeMismatch),
        Step::Keep | Step::Renew => own.phase,
        Step::Enter(phase) => phase,
        // This packet, or one before it, may already have carried a FIN.
        Step::Promote(phase) => after(seen, phase, own.flags, other_flags).0,
    };
    if matches!(step, Step::Renew) || is_deserted(tables, seen, own, delivery.backend) {
        tables.remove_half_open(&seen.key);
        tables.remove_half_open(other_key);
        return None;
    }
    let memory = Memory {
        phase,
        flags: after(seen, phase, own.flags, other_flags).1,
        initial_seq,
        hop: if delivery.reply == 0 {
            last_hop(packet, &seen.frame)
        } else {
            Hop::default()
        },
    };
    touch(tables, seen, &memory, other_key);
    if matches!(step, Step::Promote(_)) {
        promote(tables, seen, delivery, other_key);
    }
    Some(follow(tables, scratch))
}

/// What the packet does, and the initial sequence number of its sender as far as known then.
#[inline(always)]
fn step_of<A: Family, P: PacketBuf>(
    packet: &P,
    seen: &Seen<A>,
    own: Glance,
    other_seq: u32,
) -> Option<(Step, u32)> {
    if seen.key.protocol == Protocol::UDP {
        return Some((udp_step(own), own.initial_seq));
    }
    let numbers = if seen.key.protocol == Protocol::TCP {
        let mut header = MaybeUninit::<TcpHdr>::uninit();
        let header = packet.header(seen.frame.transport(), &mut header)?;
        let ack = u32::from_be_bytes(header.ack_seq);
        Numbers {
            seq: u32::from_be_bytes(header.seq),
            acked: ack.wrapping_sub(other_seq.wrapping_add(1)),
        }
    } else {
        Numbers::of_tags(sctp::tags(packet, &seen.frame), other_seq)
    };
    let preface = if own.preface == 0 {
        0
    } else {
        preface::length::<A>()
    };
    let step = tcp_step(own, seen.frame.flags, &numbers, preface);
    if seen.frame.flags & SYN == 0 {
        Some((step, own.initial_seq))
    } else {
        Some((step, numbers.seq))
    }
}

/// Whether a client talks to a backend that never answered it and that the ring names no more, because it died
/// perhaps. Left alone, a SYN would be sent to it until the client gives up, and datagrams for ever.
#[inline(always)]
fn is_deserted<A, T>(tables: &T, seen: &Seen<A>, own: Glance, backend: BackendId) -> bool
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    !own.flags.contains(FlowFlags::REPLY)
        && matches!(
            own.phase,
            Phase::SYN_SENT | Phase::UNREPLIED | Phase::PICKED_UP
        )
        && !is_still_chosen(tables, seen, backend)
}

/// RFC 4787 §4.3: a reply from the backend makes a UDP mapping worth keeping.
#[inline(always)]
const fn udp_step(own: Glance) -> Step {
    match own.phase {
        Phase::REPLIED => Step::Promote(Phase::REPLIED),
        _ if own.flags.contains(FlowFlags::REPLY) => Step::Promote(Phase::REPLIED),
        _ => Step::Keep,
    }
}

/// `preface`: bytes of the PROXY protocol header that goes before the client's; 0 without one.
#[inline(always)]
fn tcp_step(own: Glance, flags: u8, numbers: &Numbers, preface: u32) -> Step {
    if own.flags.contains(FlowFlags::REPLY) {
        // The backend knows the client's SYN by a number that is `preface` lower.
        let outstanding = numbers.acked.wrapping_add(preface) < preface;
        reply_step(
            own.phase,
            flags,
            if outstanding { 0 } else { numbers.acked },
            outstanding,
        )
    } else {
        let repeated = numbers.seq == own.initial_seq;
        forward_step(own.phase, flags, numbers.acked, repeated, preface != 0)
    }
}

/// A packet from the client; `repeated` if its sequence number is the one of the SYN that opened the flow.
#[inline(always)]
const fn forward_step(phase: Phase, flags: u8, acked: u32, repeated: bool, prefaced: bool) -> Step {
    if flags & RST != 0 {
        return Step::Enter(Phase::RESET);
    }
    match phase {
        // A new attempt after a reset is scheduled anew, as it is for a validated flow. So is one after packets that
        // nobody knew: what they were part of is not what begins now.
        Phase::RESET | Phase::PICKED_UP if flags & (SYN | ACK) == SYN => Step::Renew,
        // A SYN that took two ways, or was sent again while its answer was under way: the answer stands.
        Phase::SYN_RECEIVED | Phase::PREFACED | Phase::ESTABLISHED
            if flags & (SYN | ACK) == SYN && repeated =>
        {
            Step::Keep
        }
        // A repeated SYN without an answer, or a new attempt from the same port: the backend tells them apart.
        _ if flags & (SYN | ACK) == SYN => Step::Enter(Phase::SYN_SENT),
        Phase::SYN_RECEIVED if acked < ACK_WINDOW => {
            if prefaced {
                Step::Enter(Phase::PREFACED)
            } else {
                Step::Promote(Phase::ESTABLISHED)
            }
        }
        // Validated, but the main table was full: try again.
        Phase::ESTABLISHED => Step::Promote(Phase::ESTABLISHED),
        Phase::PICKED_UP | Phase::PREFACED | Phase::RESET => Step::Keep,
        // An ACK of a SYN-ACK that the backend never sent.
        _ => Step::Refuse,
    }
}

/// A packet from the backend; `outstanding` if it does not acknowledge the PROXY protocol header, but what goes before.
#[inline(always)]
const fn reply_step(phase: Phase, flags: u8, acked: u32, outstanding: bool) -> Step {
    if flags & RST != 0 {
        return Step::Enter(Phase::RESET);
    }
    match phase {
        Phase::SYN_SENT | Phase::SYN_RECEIVED if flags & (SYN | ACK) == SYN | ACK => {
            // Data in the SYN (Fast Open) may be acknowledged with it.
            if acked < ACK_WINDOW {
                Step::Enter(Phase::SYN_RECEIVED)
            } else {
                Step::Refuse
            }
        }
        Phase::PICKED_UP | Phase::ESTABLISHED => Step::Promote(Phase::ESTABLISHED),
        // It has the header: from here on nothing is different from any other flow.
        Phase::PREFACED if flags & (SYN | ACK) == ACK && !outstanding && acked < SEQUENCE_HALF => {
            Step::Promote(Phase::ESTABLISHED)
        }
        // Simultaneous open (RFC 9293 §3.5): the client's SYN-ACK must acknowledge this one.
        Phase::SYN_SENT if flags & (SYN | ACK) == SYN => Step::Enter(Phase::SYN_RECEIVED),
        // A challenge ACK from an older connection, or data before the client's ACK arrives: the client judges.
        _ => Step::Keep,
    }
}

/// Writes phase and the client's last hop to both entries, the rest to this direction's.
#[inline(always)]
fn touch<A, T>(tables: &T, seen: &Seen<A>, memory: &Memory, other_key: &FlowKey<A>)
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    let moved = memory.hop.interface != InterfaceId(0);
    let _own = tables.with_half_open(&seen.key, |own| {
        own.flow.phase = memory.phase;
        own.flow.flags = memory.flags;
        own.flow.last_seen = seen.now;
        own.initial_seq = memory.initial_seq;
        if moved {
            own.flow.hop = memory.hop;
        }
    });
    let _other = tables.with_half_open(other_key, |other| {
        other.flow.phase = memory.phase;
        other.flow.last_seen = seen.now;
        if moved {
            other.flow.hop = memory.hop;
        }
    });
}

/// Moves a validated flow to the main table, reply entry first, so that no forward packet can be
/// answered before its answer has a way back. Both halves already hold their new phase.
#[inline(always)]
fn promote<A, T>(tables: &T, seen: &Seen<A>, delivery: &Delivery<A>, other_key: &FlowKey<A>)
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    let (reply_key, forward_key) = if delivery.reply == 0 {
        (other_key, &seen.key)
    } else {
        (&seen.key, other_key)
    };
    let mut moved = move_half(tables, reply_key);
    if moved.is_ok() {
        moved = move_half(tables, forward_key);
        if moved == Err(InsertError::Refused) {
            tables.remove_flow(reply_key);
        }
    }
    match moved {
        Ok(()) => {
            tables.count_table(|table| table.inserted = table.inserted.wrapping_add(1));
            tables.count_backend(delivery.backend, |backend| {
                backend.flows_established = backend.flows_established.wrapping_add(1);
            });
            news::tell(tables, &seen.key);
        }
        // Another CPU is promoting it. It may still need the half-open entries, and removes them itself.
        Err(InsertError::Exists) => return,
        Err(InsertError::Refused) => {
            tables.count_table(|table| table.full = table.full.wrapping_add(1));
            return;
        }
    }
    tables.remove_half_open(&seen.key);
    tables.remove_half_open(other_key);
}

/// Copies one half to the main table.
#[inline(always)]
fn move_half<A, T>(tables: &T, key: &FlowKey<A>) -> Result<(), InsertError>
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    tables
        .with_half_open(key, |half| tables.insert_flow(key, &half.flow))
        .unwrap_or(Err(InsertError::Refused))
}
