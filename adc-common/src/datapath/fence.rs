//! HA groups that this node may not serve: it is a backup, or whoever renews its lease has stopped.
//!
//! Nothing of such a group leaves this node, in either direction, and the kernel is not left with anything that it might
//! answer: it may still have the group's addresses, because the agent that would take them off stands still.

use core::mem::MaybeUninit;

use super::{
    decide,
    family::Family,
    ports::{PacketBuf, Tables},
    scratch::{Delivery, Scratch},
    self_test,
    wire::{ArpRequest, NeighbourSolicitation},
};
use crate::abi::{Addr4, Addr16, BackendId, GroupSlot, Protocol, Reason, ReasonClass};

/// Whether the group of `slot` may not be served. `now` is the walk's clock, which may be late; while the lease has long
/// to go that does not matter.
#[inline(always)]
pub(super) fn is_fenced<T: Tables>(tables: &T, slot: GroupSlot, now: u64) -> bool {
    slot != GroupSlot(0)
        && tables.lease(slot).is_none_or(|lease| now >= lease.sure)
        && has_lapsed(tables, slot)
}

/// The same, as a call: the verifier forgets what it learned on the way.
#[inline(never)]
pub(super) fn is_fenced_slot<T: Tables>(tables: &T, slot: GroupSlot, now: u64) -> bool {
    is_fenced(tables, slot, now)
}

/// The same of the group of a backend; one that is gone has none.
#[inline(never)]
pub(super) fn is_fenced_off<T: Tables>(tables: &T, backend: BackendId, now: u64) -> bool {
    tables
        .backend(backend)
        .is_some_and(|backend| is_fenced(tables, backend.group, now))
}

/// Asks exactly.
#[inline(never)]
fn has_lapsed<T: Tables>(tables: &T, slot: GroupSlot) -> bool {
    tables
        .lease(slot)
        .is_none_or(|lease| tables.nanos() >= lease.until)
}

/// Whether an address belongs to a group that may not be served.
#[inline(always)]
fn is_withheld<T: Tables>(tables: &T, address: &Addr16) -> bool {
    match tables.group_of(address) {
        Some(slot) if slot != GroupSlot(0) => has_lapsed(tables, slot),
        Some(_) | None => false,
    }
}

/// Sends an aimed packet along its flow, if the flow's group may be served.
#[inline(always)]
pub(super) fn follow<A: Family, T: Tables>(
    tables: &T,
    delivery: &mut Delivery<A>,
    now: u64,
) -> Reason {
    if is_fenced_off(tables, delivery.backend, now) {
        Reason::LeaseLapsed
    } else {
        decide::follow(tables, delivery)
    }
}

/// Takes back the reason of a packet that would be left to the kernel, if its answer is not to be given. By way of
/// `scratch.reason`: the verifier would follow each reason on its own.
#[inline(never)]
pub(super) fn withhold<A, P, T>(packet: &P, tables: &T, scratch: &mut Scratch<A>)
where
    A: Family,
    P: PacketBuf,
    T: Tables,
{
    let passed = matches!(scratch.reason.class(), ReasonClass::Passed);
    // The kernel ignores what is for other hosts, and what may be an IPv6 client's is looked at again.
    let ignored = scratch.reason == Reason::OtherHost
        || !A::MAY_CROSS && scratch.reason == Reason::SnatNoFlow;
    if !passed || ignored {
        return;
    }
    scratch.index.vip = wanted(packet, scratch);
    if is_withheld(tables, &scratch.index.vip) {
        scratch.reason = Reason::LeaseLapsed;
    }
}

/// Whose answer a packet wants: a neighbour solicitation is sent to a group of nodes and names one of them (RFC 4861 §4.3).
#[inline(always)]
fn wanted<A: Family, P: PacketBuf>(packet: &P, scratch: &Scratch<A>) -> Addr16 {
    let seen = &scratch.seen;
    let mut message = MaybeUninit::<NeighbourSolicitation>::uninit();
    if A::MAY_CROSS
        && seen.key.protocol == Protocol::ICMP6
        && let Some(message) = packet.header(seen.frame.transport(), &mut message)
        && message.kind == NeighbourSolicitation::KIND
    {
        return Addr16(message.target);
    }
    seen.key.tuple.dst.into()
}

/// What becomes of an ARP message, which starts at `offset`. A request for a withheld address is not left to the kernel, nor
/// one that announces it (the new active node's): the kernel would defend what it takes for its own.
#[inline(never)]
pub(super) fn arp<P: PacketBuf, T: Tables>(packet: &P, tables: &T, offset: usize) -> Reason {
    let mut message = MaybeUninit::<ArpRequest>::uninit();
    let Some(message) = packet.header(offset, &mut message) else {
        return Reason::NotIp;
    };
    if message.kind != ArpRequest::IPV4 {
        return self_test::answer(packet, tables, offset);
    }
    let target = Addr4(message.target);
    let withheld = tables.with_scratch(|scratch: &mut Scratch<Addr4>| {
        scratch.index.vip = target.into();
        is_withheld(tables, &scratch.index.vip)
    });
    if withheld == Some(true) {
        Reason::LeaseLapsed
    } else {
        Reason::NotIp
    }
}
