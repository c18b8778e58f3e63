//! The walk from frame to verdict.

use super::{
    decide::{decide, refuse},
    deliver::deliver,
    parse::{self, Frame, Link, Parse},
    ports::{Clock, FlowTables, PacketBuf, Tables},
    reset,
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
    A: Parse,
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
        let reason = decide(packet, tables, scratch);
        match reason.class() {
            ReasonClass::Forwarded => {
                deliver(packet, tables, &scratch.seen, &scratch.delivery, reason)
            }
            // One way out for what is not answered: with a second one the verifier looks at twice as much.
            ReasonClass::Passed | ReasonClass::Dropped
                if reason == Reason::BackendDownReset
                    && reset::answer(packet, tables, &scratch.seen) =>
            {
                Verdict {
                    reason,
                    action: Action::Transmit,
                }
            }
            ReasonClass::Passed | ReasonClass::Dropped => Verdict::stay(reason),
        }
    });
    // A per-CPU array always has its one element; the verifier wants the question asked.
    verdict.unwrap_or(Verdict::stay(Reason::FlowTableError))
}
