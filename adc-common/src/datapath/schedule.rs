//! New flows: which service, which backend, and the entries that remember it.

use core::mem::MaybeUninit;

use super::{
    decide::towards_backend,
    direct,
    family::Family,
    hash::{flow_hash, rehash},
    parse::{Frame, src_mac, vlan_id},
    ports::{FlowTables, InsertError, PacketBuf, Tables},
    scratch::{Scratch, Seen},
    track::{remove_both, timeout_of},
    wire::tcp_flags::{ACK, FIN, RST, SYN},
};
use crate::abi::{
    BackendId, FlowFlags, FlowKey, Hop, InterfaceId, Phase, Port, Protocol, Reason, Ring,
    ServiceEntry, ServiceId, ServiceKey,
};
use network_types::tcp::TcpHdr;

/// Client ports tried towards one backend before a new flow is given up. The first is the client's own;
/// it is taken only when the same client uses the same port to two VIPs that share a backend.
const PORT_ATTEMPTS: u32 = 4;

/// First port used in place of a taken one (RFC 6335 §6: 1024 and up are not system ports).
const FIRST_SPARE_PORT: u16 = 1024;

/// Where the packet came from, as a next hop.
#[inline(always)]
pub(super) fn last_hop<P: PacketBuf, T: Tables>(packet: &P, tables: &T, frame: &Frame) -> Hop {
    Hop {
        mac: src_mac(packet),
        vlan: vlan_id(frame.outer_tci),
        inner_vlan: vlan_id(frame.inner_tci),
        interface: tables.interface_id(packet.ingress_ifindex()),
    }
}

/// A packet of no known flow: schedules it, if it is for a service.
#[inline(never)]
pub(super) fn new_flow<A, P, T>(packet: &P, tables: &T, scratch: &mut Scratch<A>) -> Reason
where
    A: Family,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    let service = match service_of(tables, &scratch.seen.key, &mut scratch.index) {
        Ok(service) => service,
        Err(reason) => return reason,
    };
    let Scratch { seen, delivery, .. } = scratch;
    delivery.reply = 0;
    let Some(phase) = first_phase(seen) else {
        return Reason::HandshakeMismatch;
    };
    let Some(entry) = tables.service(service) else {
        return Reason::BackendUnset;
    };
    // Before anything is remembered of it: a traceroute opens no flow.
    if seen.frame.hop_limit <= 1 {
        return Reason::TtlExceeded;
    }
    let hash = hash_of(seen, entry);
    let backend = tables.ring_slot(service, Ring::slot_of(hash));
    if backend == BackendId(0) {
        return Reason::NoBackend;
    }
    delivery.backend = backend;
    delivery.direct = entry.mode.flow_flags();
    let reason = if phase == Phase::PICKED_UP {
        Reason::PickedUpFlow
    } else {
        Reason::ScheduledNewFlow
    };
    let found = towards_backend(tables, delivery, reason);
    if found != reason {
        return found;
    }
    let opened = if delivery.direct.contains(FlowFlags::DIRECT) {
        direct::open(packet, tables, scratch, phase)
    } else {
        reserve(packet, tables, scratch, phase, hash)
    };
    match opened {
        Ok(()) => reason,
        Err(refusal) => refusal,
    }
}

/// The flow hash that a service wants.
#[inline(always)]
fn hash_of<A: Family>(seen: &Seen<A>, service: &ServiceEntry) -> u32 {
    flow_hash(
        &seen.key.tuple,
        seen.key.protocol,
        service.hash_on,
        service.hash_seed,
    )
}

/// Whether a packet from the client would be scheduled to `backend` if its flow were new.
#[inline(always)]
pub(super) fn is_still_chosen<A, T>(tables: &T, seen: &Seen<A>, backend: BackendId) -> bool
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    let Some(entry) = tables.backend(backend) else {
        return false;
    };
    let Some(service) = tables.service(entry.service) else {
        return false;
    };
    let slot = Ring::slot_of(hash_of(seen, service));
    tables.ring_slot(entry.service, slot) == backend
}

/// The service that a packet is for, or why it is for none.
#[inline(always)]
fn service_of<A: Family, T: Tables>(
    tables: &T,
    key: &FlowKey<A>,
    index: &mut ServiceKey,
) -> Result<ServiceId, Reason> {
    let vip = key.tuple.dst.into();
    index.set(vip, key.tuple.dport, key.protocol);
    if let Some(id) = tables.service_id(index).filter(|id| *id != ServiceId(0)) {
        return Ok(id);
    }
    index.set_vip_marker(vip);
    Err(if tables.service_id(index).is_some() {
        Reason::VipOtherPort
    } else {
        Reason::NotOurs
    })
}

/// The phase that a first packet opens; `None` for a TCP answer to a question never asked.
#[inline(always)]
fn first_phase<A>(seen: &Seen<A>) -> Option<Phase> {
    if seen.key.protocol == Protocol::UDP {
        return Some(Phase::UNREPLIED);
    }
    match seen.frame.flags & (SYN | ACK) {
        SYN => Some(Phase::SYN_SENT),
        ACK => Some(Phase::PICKED_UP),
        _ if seen.frame.flags & RST != 0 => Some(Phase::PICKED_UP),
        _ => None,
    }
}

/// Creates both half-open entries; sets `delivery.to`.
#[inline(always)]
fn reserve<A, P, T>(
    packet: &P,
    tables: &T,
    scratch: &mut Scratch<A>,
    phase: Phase,
    hash: u32,
) -> Result<(), Reason>
where
    A: Family,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    let Scratch {
        seen,
        delivery,
        half,
        ..
    } = scratch;
    let backend = tables
        .backend(delivery.backend)
        .ok_or(Reason::BackendUnset)?;
    delivery.to.src = seen.key.tuple.src;
    delivery.to.dst = A::from_addr16(backend.address).ok_or(Reason::BackendUnset)?;
    delivery.to.sport = seen.key.tuple.sport;
    delivery.to.dport = backend.port;
    // The last word about a connection that is over: passed on, not remembered.
    if seen.frame.flags & RST != 0 {
        return Ok(());
    }
    half.flow.other = seen.key.tuple;
    half.flow.hop = last_hop(packet, tables, &seen.frame);
    half.flow.last_seen = seen.now;
    half.flow.backend = delivery.backend;
    half.flow.phase = phase;
    half.flow.flags = FlowFlags::REPLY;
    half.initial_seq = 0;
    if half.flow.hop.interface == InterfaceId(0) {
        return Err(Reason::InterfaceUnset);
    }
    claim(tables, scratch, hash)?;
    let Scratch {
        seen,
        delivery,
        half,
        other,
        ..
    } = scratch;
    half.flow.other = other.tuple;
    half.flow.flags = if seen.frame.flags & FIN == 0 {
        FlowFlags::default()
    } else {
        FlowFlags::FIN_SEEN
    };
    let mut tcp = MaybeUninit::<TcpHdr>::uninit();
    if seen.key.protocol == Protocol::TCP
        && let Some(header) = packet.header(seen.frame.transport(), &mut tcp)
    {
        half.initial_seq = u32::from_be_bytes(header.seq);
    }
    if tables.put_half_open(&seen.key, half).is_err() {
        tables.remove_half_open(other);
        return Err(Reason::FlowTableError);
    }
    tables.count_backend(delivery.backend, |backend| {
        backend.flows_scheduled = backend.flows_scheduled.wrapping_add(1);
    });
    Ok(())
}

/// Takes a reply key that no other flow uses, with another client port if need be, and leaves it in `other`.
#[inline(always)]
fn claim<A, T>(tables: &T, scratch: &mut Scratch<A>, hash: u32) -> Result<(), Reason>
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
    for attempt in 0..PORT_ATTEMPTS {
        if attempt > 0 {
            delivery.to.sport = spare_port(hash, attempt);
        }
        other.set(delivery.to.reversed(), seen.key.protocol);
        if in_use(tables, seen, other) {
            continue;
        }
        match tables.insert_half_open(other, half) {
            Ok(()) => return Ok(()),
            Err(InsertError::Refused) => return Err(Reason::FlowTableError),
            Err(InsertError::Exists) if may_replace(tables, seen, other) => {
                return tables
                    .put_half_open(other, half)
                    .map_err(|refused| match refused {
                        InsertError::Exists | InsertError::Refused => Reason::FlowTableError,
                    });
            }
            Err(InsertError::Exists) => {}
        }
    }
    Err(Reason::TupleConflict)
}

#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a remainder of 64 512 fits 16 bits"
)]
fn spare_port(hash: u32, attempt: u32) -> Port {
    let ports = u32::from(u16::MAX - FIRST_SPARE_PORT) + 1;
    Port::new(FIRST_SPARE_PORT + (rehash(hash, attempt) % ports) as u16)
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
