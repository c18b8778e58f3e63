//! The walk from frame to verdict.

use core::hint::black_box;

use super::{
    arrival::admit,
    crossing::{self, CROSSES, LATER},
    decide::{decide, refuse},
    deliver::{Rewrite, deliver, settle},
    family::Family,
    fence, fragment, icmp,
    icmp_error::{self, Answer, IcmpError},
    parse::{self, Frame, Link, Parse},
    piece::Fragments,
    ports::{Clock, FlowTables, PacketBuf, Tables},
    reset,
    scratch::Scratch,
    sctp,
    verdict::{Action, Verdict},
    wire::ETHERTYPE_ARP,
};
use crate::abi::{Addr4, Addr6, Port, Protocol, Reason, ReasonClass};

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
    let is_ipv4 = parse::is_ipv4(ethertype);
    if !is_ipv4 && !parse::is_ipv6(ethertype) {
        if ethertype != ETHERTYPE_ARP {
            return Verdict::stay(Reason::NotIp);
        }
        return Verdict::stay(fence::arp(packet, tables, frame.network()));
    }
    if is_ipv4 {
        let verdict = walk_v4(packet, tables, clock, frame);
        // Sent to an address that `full-nat` sends from, and of no IPv4 flow: it may be an answer to an IPv6 client.
        if verdict.reason != Reason::SnatNoFlow {
            return verdict;
        }
    }
    walk_v6(packet, tables, clock, frame, is_ipv4)
}

#[inline(always)]
fn walk_v4<P, T, C>(packet: &mut P, tables: &T, clock: &C, frame: Frame) -> Verdict
where
    P: PacketBuf,
    T: Tables,
    C: Clock,
{
    let verdict = tables.with_scratch(|scratch: &mut Scratch<Addr4>| {
        if let Err(reason) = look(packet, clock, frame, scratch)
            && let Some(reason) = beyond(packet, tables, scratch, reason)
        {
            return end(packet, tables, scratch, reason);
        }
        // Through memory that the verifier does not follow: it would otherwise follow each way to a reason on its own, from
        // here to the end.
        scratch.reason = decide(packet, tables, scratch);
        act(packet, tables, scratch)
    });
    verdict.unwrap_or(NO_SCRATCH)
}

/// Walks an IPv6 packet, or the IPv4 packet that [`walk_v4`] has just parsed, if it may be an `answer` to an IPv6 client.
#[inline(always)]
fn walk_v6<P, T, C>(packet: &mut P, tables: &T, clock: &C, frame: Frame, answer: bool) -> Verdict
where
    P: PacketBuf,
    T: Tables,
    C: Clock,
{
    let verdict = tables.with_scratch(|scratch: &mut Scratch<Addr6>| {
        let settled = if answer {
            let parsed = tables.with_scratch(|v4: &mut Scratch<Addr4>| {
                scratch.seen.embed(&v4.seen);
                scratch.clock = v4.clock;
            });
            if parsed.is_none() {
                return NO_SCRATCH;
            }
            let part = scratch.seen.frame.fragment == LATER;
            (part || scratch.seen.key.protocol == Protocol::ICMP).then_some(CROSSES)
        } else if let Err(reason) = look(packet, clock, frame, scratch) {
            beyond(packet, tables, scratch, reason)
        } else {
            None
        };
        if let Some(mut reason) = settled {
            if reason == CROSSES {
                scratch.reason = crossing::walk(packet, tables, scratch);
                reason = *black_box(&scratch.reason);
            }
            return end(packet, tables, scratch, reason);
        }
        scratch.reason = decide(packet, tables, scratch);
        act(packet, tables, scratch)
    });
    verdict.unwrap_or(NO_SCRATCH)
}

/// A per-CPU array always has its one element; the verifier wants the question asked.
const NO_SCRATCH: Verdict = Verdict::stay(Reason::FlowTableError);

/// Reads the clock and parses.
#[inline(always)]
fn look<A, P, C>(
    packet: &P,
    clock: &C,
    frame: Frame,
    scratch: &mut Scratch<A>,
) -> Result<(), Reason>
where
    A: Parse,
    P: PacketBuf,
    C: Clock,
{
    let now = clock.now(&mut scratch.clock);
    let seen = &mut scratch.seen;
    seen.frame = frame;
    seen.now = now;
    seen.key.tuple.sport = Port::default();
    seen.key.tuple.dport = Port::default();
    A::parse(packet, &mut seen.frame, &mut seen.key)
}

/// The verdict of a packet that was rewritten where it was judged, or goes no further.
#[inline(always)]
fn end<A, P, T>(packet: &P, tables: &T, scratch: &mut Scratch<A>, reason: Reason) -> Verdict
where
    A: Family,
    P: PacketBuf,
    T: Tables,
{
    scratch.reason = reason;
    fence::withhold(packet, tables, scratch);
    let reason = *black_box(&scratch.reason);
    settle(packet, tables, &scratch.delivery, reason)
}

/// Does what was decided.
#[inline(always)]
fn act<A, P, T>(packet: &mut P, tables: &T, scratch: &mut Scratch<A>) -> Verdict
where
    A: Rewrite + IcmpError,
    P: PacketBuf,
    T: Tables,
{
    let reason = *black_box(&scratch.reason);
    let outcome = match reason.class() {
        ReasonClass::Forwarded => deliver(packet, tables, scratch, reason),
        ReasonClass::Passed | ReasonClass::Dropped => Err(reason),
    };
    let refusal = match outcome {
        Ok(verdict) => return verdict,
        Err(refusal) => refusal,
    };
    scratch.reason = refusal;
    let reason = *black_box(&scratch.reason);
    if reason == Reason::BackendDownReset && reset::answer(packet, tables, scratch) {
        return Verdict {
            reason,
            action: Action::Transmit,
        };
    }
    if reason != Reason::TtlExceeded && reason != Reason::PacketTooBig {
        fence::withhold(packet, tables, scratch);
        return Verdict::stay(*black_box(&scratch.reason));
    }
    // Its sender is told.
    match icmp_error::answer(packet, tables, scratch, reason) {
        Answer::Sent => Verdict {
            reason,
            action: Action::Transmit,
        },
        Answer::Limited => Verdict::stay(Reason::IcmpLimited),
        Answer::None => Verdict::stay(reason),
    }
}

/// A packet that is no whole TCP segment or UDP datagram. What goes on is rewritten here, and the caller sends it;
/// `None` for a first fragment and for SCTP, which have all that the walk needs.
#[inline(always)]
fn beyond<A, P, T>(
    packet: &mut P,
    tables: &T,
    scratch: &mut Scratch<A>,
    reason: Reason,
) -> Option<Reason>
where
    A: Fragments,
    P: PacketBuf,
    T: Tables + FlowTables<A>,
{
    // Through memory that the verifier does not follow, see `walk_v4`.
    scratch.reason = reason;
    if let Err(stray) = admit(packet, tables, &mut scratch.seen.frame) {
        return Some(stray);
    }
    let reason = *black_box(&scratch.reason);
    if reason == Reason::OtherProtocol && scratch.seen.key.protocol == A::ICMP {
        Some(icmp::walk(packet, tables, scratch))
    } else if reason == Reason::Fragment {
        fragment::walk(packet, tables, scratch)
    } else if reason == Reason::OtherProtocol && scratch.seen.key.protocol == Protocol::SCTP {
        sctp::walk(packet, tables, scratch)
    } else {
        Some(refuse(tables, scratch, reason))
    }
}
