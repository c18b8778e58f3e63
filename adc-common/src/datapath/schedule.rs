//! New flows: which service, which backend, and the entries that remember it.

use core::mem::MaybeUninit;

use super::{
    claim::claim,
    decide::towards_backend,
    direct,
    family::Family,
    fence,
    hash::flow_hash,
    parse::{Frame, src_mac},
    ports::{FlowTables, PacketBuf, Tables},
    preface, range,
    scratch::{Choice, Scratch, Seen},
    sctp, snat,
    wire::tcp_flags::{ACK, FIN, RST, SYN},
};
use crate::abi::{
    BackendId, FlowFlags, ForwardingMode, Hop, IndexFlags, InterfaceId, Phase, Port, Protocol,
    Reason, ReasonClass, Ring, ServiceEntry, ServiceId,
};
use network_types::tcp::TcpHdr;

/// Where the packet came from, as a next hop.
#[inline(always)]
pub(super) fn last_hop<P: PacketBuf>(packet: &P, frame: &Frame) -> Hop {
    Hop {
        mac: src_mac(packet),
        vlan: frame.vlan,
        inner_vlan: frame.inner_vlan,
        interface: frame.ingress(),
    }
}

/// A packet of no known flow: schedules it, if it is for a service. Step by step, because the BPF stack (512 bytes for a
/// chain of calls) would not hold one within the other.
#[inline(always)]
pub(super) fn new_flow<A, P, T>(packet: &P, tables: &T, scratch: &mut Scratch<A>) -> Reason
where
    A: Family,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    let reason = choose(tables, scratch);
    match reason.class() {
        ReasonClass::Forwarded => {
            let reserved = if scratch.delivery.direct.contains(FlowFlags::DIRECT) {
                direct::open(packet, tables, scratch)
            } else {
                reserve(packet, tables, scratch)
            };
            match reserved {
                Ok(()) => reason,
                Err(refusal) => refusal,
            }
        }
        ReasonClass::Passed | ReasonClass::Dropped => reason,
    }
}

/// The service and the backend of a new flow, in `choice` and `delivery`, and the reason if it comes about.
#[inline(never)]
fn choose<A, T>(tables: &T, scratch: &mut Scratch<A>) -> Reason
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    // Such addresses stand for IPv4 inside the flow tables (NAT64) and mean nothing in a packet (RFC 4291 §2.5.5.2).
    if scratch.seen.key.tuple.src.is_embedded() || scratch.seen.key.tuple.dst.is_embedded() {
        return Reason::SnatNoFlow;
    }
    let service = match service_of(tables, scratch) {
        Ok(service) => service,
        Err(reason) => return reason,
    };
    let Scratch {
        seen,
        delivery,
        choice,
        clock,
        ..
    } = scratch;
    delivery.reply = 0;
    let Some(entry) = tables.service(service) else {
        return Reason::BackendUnset;
    };
    if fence::is_fenced_slot(tables, entry.group, clock.nanos) {
        return Reason::LeaseLapsed;
    }
    let Some(phase) = first_phase(seen) else {
        return Reason::HandshakeMismatch;
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
    delivery.direct = preface::flags_of(entry, phase);
    let reason = if phase == Phase::PICKED_UP {
        Reason::PickedUpFlow
    } else {
        Reason::ScheduledNewFlow
    };
    *choice = Choice {
        hash,
        service,
        phase,
        mode: entry.mode,
    };
    towards_backend(tables, delivery, reason)
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
    scratch: &mut Scratch<A>,
) -> Result<ServiceId, Reason> {
    let Scratch {
        seen, index, range, ..
    } = scratch;
    let key = &seen.key;
    let vip = key.tuple.dst.into();
    index.set(vip, key.tuple.dport, key.protocol);
    if let Some(id) = tables.service_id(index).filter(|id| *id != ServiceId(0)) {
        return Ok(id);
    }
    index.set_vip_marker(vip);
    if let Some(flags) = tables.vip_flags(index) {
        let service = if flags.contains(IndexFlags::RANGES) {
            range::service_of(tables, key, range)
        } else {
            ServiceId(0)
        };
        return if service == ServiceId(0) {
            Err(Reason::VipOtherPort)
        } else {
            Ok(service)
        };
    }
    index.set_snat_marker(vip);
    Err(if tables.service_id(index).is_some() {
        Reason::SnatNoFlow
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

/// Creates both half-open entries of what was chosen; sets `delivery.to`.
#[inline(always)]
fn reserve<A, P, T>(packet: &P, tables: &T, scratch: &mut Scratch<A>) -> Result<(), Reason>
where
    A: Family,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    prepare(packet, tables, scratch)?;
    // The last word about a connection that is over: passed on, not remembered.
    if scratch.seen.frame.flags & RST != 0 {
        return Ok(());
    }
    if scratch.choice.mode == ForwardingMode::FULL_NAT {
        snat::claim(tables, scratch)?;
    } else {
        claim(tables, scratch)?;
    }
    record(packet, tables, scratch)
}

/// What the backend will see, but for a port or address that is taken, and the entry for its answers.
#[inline(never)]
fn prepare<A, P, T>(packet: &P, tables: &T, scratch: &mut Scratch<A>) -> Result<(), Reason>
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
    let backend = tables
        .backend(delivery.backend)
        .ok_or(Reason::BackendUnset)?;
    let full_nat = choice.mode == ForwardingMode::FULL_NAT;
    let address = if full_nat {
        A::embed(backend.address)
    } else {
        A::from_addr16(backend.address)
    };
    delivery.to.src = seen.key.tuple.src;
    delivery.to.dst = address.ok_or(Reason::BackendUnset)?;
    delivery.to.sport = seen.key.tuple.sport;
    delivery.to.dport = if backend.port == Port([0, 0]) {
        seen.key.tuple.dport
    } else {
        backend.port
    };
    delivery.crosses = u16::from(delivery.to.dst.is_embedded());
    if full_nat && seen.frame.flags & RST != 0 {
        // Without an address and port of its own it would end another client's connection.
        return Err(Reason::RstWithoutFlow);
    }
    half.flow.other = seen.key.tuple;
    half.flow.hop = last_hop(packet, &seen.frame);
    half.flow.last_seen = seen.now;
    half.flow.backend = delivery.backend;
    half.flow.phase = choice.phase;
    half.flow.flags = FlowFlags::REPLY.with(FlowFlags::of_crossing(delivery.crosses != 0));
    half.initial_seq = 0;
    half.preface = u8::from(delivery.direct.contains(FlowFlags::PREFACE));
    if half.flow.hop.interface == InterfaceId(0) && seen.frame.flags & RST == 0 {
        return Err(Reason::InterfaceUnset);
    }
    Ok(())
}

/// Creates the client's entry next to the one that was claimed.
#[inline(never)]
fn record<A, P, T>(packet: &P, tables: &T, scratch: &mut Scratch<A>) -> Result<(), Reason>
where
    A: Family,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    let Scratch {
        seen,
        delivery,
        half,
        other,
        ..
    } = scratch;
    half.flow.other = other.tuple;
    let crosses = FlowFlags::of_crossing(delivery.crosses != 0);
    half.flow.flags = if seen.frame.flags & FIN == 0 {
        crosses
    } else {
        FlowFlags::FIN_SEEN.with(crosses)
    };
    let mut tcp = MaybeUninit::<TcpHdr>::uninit();
    if seen.key.protocol == Protocol::TCP
        && let Some(header) = packet.header(seen.frame.transport(), &mut tcp)
    {
        half.initial_seq = u32::from_be_bytes(header.seq);
    }
    if seen.key.protocol == Protocol::SCTP {
        half.initial_seq = (sctp::tags(packet, &seen.frame) >> 32) as u32;
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
