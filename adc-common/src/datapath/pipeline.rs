//! The walk from frame to verdict.

use core::hint::black_box;

use super::{
    decide::{decide, refuse},
    deliver::deliver,
    icmp_error::{self, Answer, IcmpError},
    parse::{self, Frame, Link, Parse},
    ports::{Clock, FlowTables, PacketBuf, Tables},
    scratch::Scratch,
    verdict::{Action, Verdict},
};
use crate::abi::{Addr4, Addr6, Port, Reason, ReasonClass};

/// Takes one frame to its verdict: rewrites it if it is to be forwarded, and counts the reason.
#[inline(always)]
pub fn process<P: PacketBuf, T: Tables, C: Clock>(
    packet: &mut P,
    tables: &T,
    clock: &C,
) -> Verdict {
    let bytes = packet.length() as u64;
    let verdict = walk(packet, tables, clock);
    tables.count_reason(verdict.reason, bytes);
    verdict
}

#[inline(always)]
fn walk<P: PacketBuf, T: Tables, C: Clock>(packet: &mut P, tables: &T, clock: &C) -> Verdict {
    let mut link = Link::default();
    if let Err(reason) = parse::link(packet, &mut link) {
        return Verdict::stay(reason);
    }
    let Link { frame, ethertype } = link;
    if parse::is_ipv4(ethertype) {
        walk_family::<Addr4, P, T, C>(packet, tables, clock, frame)
    } else if parse::is_ipv6(ethertype) {
        walk_family::<Addr6, P, T, C>(packet, tables, clock, frame)
    } else {
        Verdict::stay(Reason::NotIp)
    }
}

#[inline(always)]
fn walk_family<A, P, T, C>(packet: &mut P, tables: &T, clock: &C, frame: Frame) -> Verdict
where
    A: Parse + IcmpError,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
    C: Clock,
{
    let verdict = tables.with_scratch(|scratch: &mut Scratch<A>| {
        let now = clock.now(&mut scratch.clock);
        let seen = &mut scratch.seen;
        seen.frame = frame;
        seen.now = now;
        seen.key.tuple.sport = Port::default();
        seen.key.tuple.dport = Port::default();
        if let Err(reason) = A::parse(packet, &mut seen.frame, &mut seen.key) {
            return Verdict::stay(refuse(tables, scratch, reason));
        }
        // Through memory that the verifier does not follow: it would otherwise follow each way to a reason on its own, from
        // here to the end.
        scratch.reason = decide(packet, tables, scratch);
        let reason = *black_box(&scratch.reason);
        let outcome = match reason.class() {
            ReasonClass::Forwarded => {
                let Scratch { seen, delivery, .. } = &mut *scratch;
                deliver(packet, tables, seen, delivery, reason)
            }
            ReasonClass::Passed | ReasonClass::Dropped => Err(reason),
        };
        match outcome {
            Ok(verdict) => verdict,
            Err(refusal) => refuse_politely(packet, tables, scratch, refusal),
        }
    });
    // A per-CPU array always has its one element; the verifier wants the question asked.
    verdict.unwrap_or(Verdict::stay(Reason::FlowTableError))
}

/// Drops or passes the packet; its sender is told, where ICMP has a word for the reason.
#[inline(always)]
fn refuse_politely<A, P, T>(
    packet: &mut P,
    tables: &T,
    scratch: &mut Scratch<A>,
    reason: Reason,
) -> Verdict
where
    A: IcmpError,
    P: PacketBuf,
    T: Tables,
{
    scratch.reason = reason;
    let reason = *black_box(&scratch.reason);
    if reason != Reason::TtlExceeded && reason != Reason::PacketTooBig {
        return Verdict::stay(reason);
    }
    match icmp_error::answer(packet, tables, scratch, reason) {
        Answer::Sent => Verdict {
            reason,
            action: Action::Transmit,
        },
        Answer::Limited => Verdict::stay(Reason::IcmpLimited),
        Answer::None => Verdict::stay(reason),
    }
}
