//! What to do with a parsed packet. Tables may change here; the packet does not.

use core::hint::black_box;

use super::{
    arrival::{admit, is_plainly_ours},
    down,
    family::Family,
    fence, handshake,
    parse::{self, Frame},
    ports::{FlowTables, PacketBuf, Tables},
    schedule,
    scratch::{Delivery, Scratch, Seen},
    track,
    wire::tcp_flags::{FIN, RST, SYN},
};
use crate::abi::{BackendEntry, FlowEntry, FlowFlags, Hop, Phase, Reason, Tick};

/// How stale an entry's `last_seen` may get before a packet refreshes it: a write per second, not per packet.
const REFRESH_AFTER: Tick = Tick::from_secs(1);

/// Idle time below which no timeout can have passed, so that it need not be looked up. Config allows
/// timeouts from 1 s; a shorter one than this is enforced by the agent's sweep.
const EXPIRY_CHECK_AFTER: Tick = Tick::from_secs(8);

/// The fate of a well-formed packet; fills `scratch.delivery` if the reason's class is `Forwarded`.
#[inline(always)]
pub(super) fn decide<A, P, T>(packet: &P, tables: &T, scratch: &mut Scratch<A>) -> Reason
where
    A: Family,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    let Scratch {
        seen,
        delivery,
        tracked,
        clock,
        ..
    } = scratch;
    let Seen {
        frame, key, now, ..
    } = seen;
    let settled = tables.with_flow(key, |entry| {
        aim(entry, delivery);
        if !is_plainly_ours(packet, tables, frame) && admit(packet, tables, frame).is_err() {
            return false;
        }
        let idle = now.since(entry.last_seen);
        if idle >= REFRESH_AFTER && idle < EXPIRY_CHECK_AFTER {
            entry.last_seen = *now;
        }
        idle < EXPIRY_CHECK_AFTER && is_settled(packet, entry, frame)
    });
    let followed = if settled == Some(true) {
        Some(follow_settled(tables, delivery, clock.nanos))
    } else {
        *tracked = u32::from(settled.is_some());
        if let Err(stray) = admit(packet, tables, frame) {
            return stray;
        }
        let tracked = *black_box(&scratch.tracked) != 0;
        if tracked && fence::is_fenced_off(tables, scratch.delivery.backend, scratch.clock.nanos) {
            return Reason::LeaseLapsed;
        }
        if tracked && track::examine(packet, tables, scratch) {
            Some(down::follow(tables, scratch))
        } else {
            // No validated flow: a handshake in progress, a new flow, or not ours.
            handshake::advance(packet, tables, scratch)
        }
    };
    let followed = match followed {
        Some(Reason::BackendDown) => down::leave(tables, scratch),
        followed => followed,
    };
    match followed {
        Some(reason) => reason,
        None => schedule::new_flow(packet, tables, scratch),
    }
}

/// Whether nothing about the flow can change with this packet: the case that must be fast.
#[inline(always)]
fn is_settled<A, P>(packet: &P, entry: &FlowEntry<A>, frame: &Frame) -> bool
where
    A: Family,
    P: PacketBuf,
{
    let same_phase = match entry.phase {
        Phase::ESTABLISHED => frame.flags & (SYN | FIN | RST) == 0,
        Phase::REPLIED => true,
        _ => false,
    };
    same_phase && (entry.flags.contains(FlowFlags::REPLY) || came_by(packet, &entry.hop, frame))
}

/// Whether a packet came from `hop`. The interface counts: routers may have one MAC on several.
#[inline(always)]
fn came_by<P: PacketBuf>(packet: &P, hop: &Hop, frame: &Frame) -> bool {
    hop.mac.is(parse::src_mac(packet))
        && hop.vlan == frame.vlan
        && hop.inner_vlan == frame.inner_vlan
        && hop.interface == frame.ingress()
}

/// Points `delivery` where the entry says.
#[inline(always)]
pub(super) fn aim<A: Family>(entry: &FlowEntry<A>, delivery: &mut Delivery<A>) {
    delivery.to = entry.other.reversed();
    delivery.hop.assign(&entry.hop);
    delivery.backend = entry.backend;
    delivery.reply = u16::from(entry.flags.0 & FlowFlags::REPLY.0);
    delivery.direct = entry.flags;
    if A::MAY_CROSS {
        delivery.crosses = u16::from(entry.flags.0 & FlowFlags::CROSSES.0);
    }
}

/// Sends an aimed packet of a settled flow along it, if the flow's HA group may be served; `now` as in
/// [`fence::is_fenced`].
#[inline(always)]
fn follow_settled<A: Family, T: Tables>(
    tables: &T,
    delivery: &mut Delivery<A>,
    now: u64,
) -> Reason {
    // For both directions at one place: the same question behind each costs every packet 8 ns.
    let backend = tables.backend(delivery.backend);
    if backend.is_some_and(|backend| fence::is_fenced(tables, backend.group, now)) {
        return Reason::LeaseLapsed;
    }
    if delivery.reply != 0 {
        return Reason::ForwardedToClient;
    }
    match backend {
        Some(backend) => reach(backend, delivery, Reason::ForwardedToBackend),
        None => Reason::BackendUnset,
    }
}

/// Sends an aimed packet along its flow.
#[inline(always)]
pub(super) fn follow<A: Family, T: Tables>(tables: &T, delivery: &mut Delivery<A>) -> Reason {
    if delivery.reply == 0 {
        towards_backend(tables, delivery, Reason::ForwardedToBackend)
    } else {
        Reason::ForwardedToClient
    }
}

/// Fills in the next hop of `delivery.backend`.
#[inline(always)]
pub(super) fn towards_backend<A: Family, T: Tables>(
    tables: &T,
    delivery: &mut Delivery<A>,
    reason: Reason,
) -> Reason {
    match tables.backend(delivery.backend) {
        Some(backend) => reach(backend, delivery, reason),
        None => Reason::BackendUnset,
    }
}

/// The next hop towards a backend, or why there is none.
#[inline(always)]
fn reach<A>(backend: &BackendEntry, delivery: &mut Delivery<A>, reason: Reason) -> Reason {
    if !backend.flags.is_usable() {
        return if backend.flags.is_down() {
            Reason::BackendDown
        } else {
            Reason::NextHopUnresolved
        };
    }
    delivery.hop.assign(&backend.hop);
    reason
}

/// Judges a packet that did not parse, or is of no protocol that adc balances: dropped if it concerns a
/// VIP or a flow of ours, else left to the kernel, so that the box stays manageable.
#[inline(never)]
pub(super) fn refuse<A, T>(tables: &T, scratch: &mut Scratch<A>, reason: Reason) -> Reason
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    if reason == Reason::OtherProtocol || reason == Reason::TruncatedIp {
        return reason;
    }
    if is_vip(tables, scratch) || tables.with_flow(&scratch.seen.key, |_| ()).is_some() {
        return reason;
    }
    if reason == Reason::Fragment {
        Reason::FragmentNotOurs
    } else {
        Reason::MalformedNotOurs
    }
}

/// Whether the packet is addressed to a VIP.
#[inline(always)]
pub(super) fn is_vip<A: Family, T: Tables>(tables: &T, scratch: &mut Scratch<A>) -> bool {
    scratch
        .index
        .set_vip_marker(scratch.seen.key.tuple.dst.into());
    tables.service_id(&scratch.index).is_some()
}

/// Whether a packet is for a VIP or of a flow.
#[inline(always)]
pub(super) fn is_ours<A, T>(tables: &T, scratch: &mut Scratch<A>) -> bool
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    is_vip(tables, scratch)
        || tables.with_flow(&scratch.seen.key, |_| ()).is_some()
        || tables.with_half_open(&scratch.seen.key, |_| ()).is_some()
}

/// Whether a packet may be an answer.
#[inline(always)]
pub(super) fn is_from_backend<A: Family, T: Tables>(tables: &T, scratch: &mut Scratch<A>) -> bool {
    scratch.index.vip = scratch.seen.key.tuple.src.into();
    tables.is_backend(&scratch.index.vip)
}
