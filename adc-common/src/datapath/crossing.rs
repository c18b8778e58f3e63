//! Packets of flows between an IPv6 client and an IPv4 backend (NAT64) that are no whole segments or datagrams: ICMP errors,
//! and fragments after the first of their datagram.

use super::{
    deliver::{count_delivery, prepare},
    family::Family,
    fence,
    icmp::find,
    icmp_cross,
    ports::{FlowTables, PacketBuf, Tables},
    scratch::{Scratch, embed},
    translate_piece,
};
use crate::abi::{Addr6, FlowKey, Reason, ReasonClass};

/// Stands for "of a flow that crosses, or perhaps one, if it is an IPv4 packet": [`walk`] knows. No such packet has this reason
/// otherwise.
pub(super) const CROSSES: Reason = Reason::SnatNoFlow;

/// What [`super::parse::Frame::fragment`] is for fragments after the first.
pub(super) const LATER: u8 = 2;

/// Sends a packet that [`CROSSES`] was said of.
#[inline(always)]
pub(super) fn walk<P, T>(packet: &mut P, tables: &T, scratch: &mut Scratch<Addr6>) -> Reason
where
    P: PacketBuf,
    T: Tables + FlowTables<Addr6>,
{
    if scratch.seen.frame.fragment == LATER {
        later(packet, tables, scratch)
    } else {
        icmp_cross::walk(packet, tables, scratch)
    }
}

/// Whether an IPv4 packet is of a flow of an IPv6 client.
#[inline(never)]
pub(super) fn is_answer<A: Family, T: Tables>(tables: &T, key: &FlowKey<A>) -> bool {
    let known = tables.with_scratch(|v6: &mut Scratch<Addr6>| {
        embed(&mut v6.other, key);
        tables.with_flow(&v6.other, |_| ()).is_some()
            || tables.with_half_open(&v6.other, |_| ()).is_some()
    });
    known == Some(true)
}

/// Sends a fragment after the first of its datagram.
#[inline(never)]
fn later<P, T>(packet: &mut P, tables: &T, scratch: &mut Scratch<Addr6>) -> Reason
where
    P: PacketBuf,
    T: Tables + FlowTables<Addr6>,
{
    let Scratch {
        seen,
        delivery,
        clock,
        ..
    } = scratch;
    if !find(tables, &seen.key, delivery) || delivery.crosses == 0 {
        return Reason::FragmentNotOurs;
    }
    let reason = fence::follow(tables, delivery, clock.nanos);
    if reason.class() != ReasonClass::Forwarded {
        return reason;
    }
    let egress = match prepare(tables, &seen.frame, delivery) {
        Ok(egress) => egress,
        Err(refusal) => return refusal,
    };
    let bytes = packet.length() as u64;
    if let Err(refusal) = translate_piece::rewrite(packet, seen, delivery, egress) {
        return refusal;
    }
    count_delivery(tables, delivery, bytes);
    reason
}
