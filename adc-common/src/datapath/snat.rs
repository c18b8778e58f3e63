//! Mode `full-nat`: which local address and port a new flow is sent from.
//!
//! A flow's answers are told apart by the local address and port that they are sent to, per backend: each local
//! address gives every backend a port space of its own. The client's port is kept where it is free. Otherwise a
//! cursor per backend walks the spare ports of all local addresses, so that the port that was given back longest
//! ago is tried first; the number of tries is bounded, and the cursor keeps what it has walked even if a packet
//! found nothing. The cursor is only a hint: who owns a port is decided by the insertion of the reply key, so CPUs
//! that move the cursor at once, or lose a move, cost each other a try and no more.

use core::num::NonZeroU32;

use super::{
    claim::{Taking, spare_port, take},
    family::Family,
    ports::{FlowTables, InsertError, Tables},
    scratch::Scratch,
};
use crate::abi::{FlowEntry, MAX_SNAT_ADDRESSES, Port, Reason, SNAT_PORTS, ServiceEntry};

/// Keys tried for one packet.
const ATTEMPTS: u32 = 32;

/// How many of them keep the client's port, each with another local address.
const OWN_PORT_ATTEMPTS: u32 = 4;

/// [`SNAT_PORTS`]; a division by a number that might be 0 would bring a call of `panic` into the program.
const PORTS_EACH: NonZeroU32 = match NonZeroU32::new(SNAT_PORTS) {
    Some(ports) => ports,
    None => NonZeroU32::MIN,
};

/// CPUs that work at the same time begin this many ports apart at most.
const STAGGER: u32 = 16;

/// Distance between ports that the cursor tries one after another: near the golden section of the range, and without a
/// common divisor with it (64 512 = 2¹⁰·3²·7), so all are reached. Clients take their own ports from a few
/// dense ranges (Linux: 32 768 to 60 999), and this way the cursor is in such a range only every other time.
const STRIDE: u32 = 39_871;

/// Takes a local address and port for a new flow to `delivery.backend`.
#[inline(never)]
pub(super) fn claim<A, T>(tables: &T, scratch: &mut Scratch<A>) -> Result<(), Reason>
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    let hash = scratch.choice.hash;
    let service = tables
        .service(scratch.choice.service)
        .ok_or(Reason::BackendUnset)?;
    let v4 = u32::from(service.snat_v4);
    let (first, count) = if scratch.delivery.to.dst.is_v4() {
        (0, v4)
    } else {
        (v4, u32::from(service.snat_v6))
    };
    let Some(count) = NonZeroU32::new(count) else {
        return exhausted(tables, scratch);
    };
    // Where a client comes back to: its own entry may be there, torn or dead, and is replaced.
    let own_port = scratch.seen.key.tuple.sport;
    send_from(service, first + hash % count, own_port, scratch);
    match try_one(tables, scratch) {
        Taking::Taken => Ok(()),
        Taking::Refused => Err(Reason::FlowTableError),
        Taking::InUse => search(tables, scratch, service, first, count),
    }
}

/// Finds another port, when the first one tried is in use.
#[inline(never)]
fn search<A, T>(
    tables: &T,
    scratch: &mut Scratch<A>,
    service: &ServiceEntry,
    first: u32,
    count: NonZeroU32,
) -> Result<(), Reason>
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    let backend = scratch.delivery.backend;
    let space = count.saturating_mul(PORTS_EACH);
    let start = tables.snat_cursor(backend, |cursor| *cursor).unwrap_or(0) % space;
    let search = Search {
        first,
        count,
        space,
        hash: scratch.choice.hash,
        own_port: scratch.seen.key.tuple.sport,
        own_attempts: count.get().min(OWN_PORT_ATTEMPTS),
        ahead: start + tables.cpu() % STAGGER,
    };
    let mut attempt = ATTEMPTS;
    let mut half_open = ATTEMPTS;
    tables.repeat(ATTEMPTS - 1, |n| {
        search.aim(n + 1, service, scratch);
        let found = owner(tables, scratch, service);
        match found {
            Owner::Nobody => attempt = n + 1,
            Owner::HalfOpen => half_open = half_open.min(n + 1),
            Owner::Validated => {}
        }
        found == Owner::Nobody
    });
    if attempt > search.own_attempts {
        // Also if nothing was found: the next packet goes on from here.
        let walked = attempt - search.own_attempts + 1;
        let _moved = tables.snat_cursor(backend, |cursor| *cursor = (start + walked) % space);
    }
    if attempt < ATTEMPTS {
        return match try_one(tables, scratch) {
            Taking::Taken => Ok(()),
            Taking::Refused => Err(Reason::FlowTableError),
            // Another CPU was faster.
            Taking::InUse => exhausted(tables, scratch),
        };
    }
    if half_open == ATTEMPTS {
        return exhausted(tables, scratch);
    }
    // A flood of handshakes that nobody finishes may hold every port, but not against the next one. Who loses its port
    // sees that the entry is not its own (`handshake::advance`), and gets another.
    search.aim(half_open, service, scratch);
    match tables.put_half_open(&scratch.other, &scratch.half) {
        Ok(()) => Ok(()),
        Err(InsertError::Exists | InsertError::Refused) => Err(Reason::FlowTableError),
    }
}

/// What the keys tried for one packet are made of.
struct Search {
    /// Where the addresses of the backend's family begin, and how many there are.
    first: u32,
    count: NonZeroU32,
    /// Their spare ports together.
    space: NonZeroU32,
    hash: u32,
    own_port: Port,
    own_attempts: u32,
    /// Where the cursor stands.
    ahead: u32,
}

impl Search {
    /// Aims at the address and port of an attempt.
    #[inline(always)]
    fn aim<A: Family>(&self, attempt: u32, service: &ServiceEntry, scratch: &mut Scratch<A>) {
        let (nth, port) = if attempt < self.own_attempts {
            (self.hash.wrapping_add(attempt) % self.count, self.own_port)
        } else {
            let slot = (self.ahead + attempt - self.own_attempts) % self.space;
            let number = (slot / self.count).wrapping_mul(STRIDE);
            (slot % self.count, spare_port(number))
        };
        send_from(service, self.first + nth, port, scratch);
    }
}

/// Makes `delivery` leave from one of the service's local addresses, and a port of it, and adapts `other`, the key of its
/// answers.
#[inline(always)]
fn send_from<A: Family>(service: &ServiceEntry, nth: u32, port: Port, scratch: &mut Scratch<A>) {
    let at = nth as usize & (MAX_SNAT_ADDRESSES - 1);
    if let Some(local) = service.snat.get(at).and_then(|a| A::embed(*a)) {
        scratch.delivery.to.src = local;
        scratch.other.tuple.dst = local;
    }
    scratch.delivery.to.sport = port;
    scratch.other.tuple.dport = port;
}

/// Who has a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Nobody, or somebody who is dead by the measure of this service: it is worth while to try.
    Nobody,
    /// A flow that is not validated.
    HalfOpen,
    /// A flow that is.
    Validated,
}

/// Who has the key in `other`.
#[inline(always)]
fn owner<A, T>(tables: &T, scratch: &Scratch<A>, service: &ServiceEntry) -> Owner
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    let now = scratch.seen.now;
    let live =
        |flow: &FlowEntry<A>| now.since(flow.last_seen) < service.timeouts[flow.phase.index()];
    if tables.with_flow(&scratch.other, |flow| live(flow)) == Some(true) {
        return Owner::Validated;
    }
    match tables.with_half_open(&scratch.other, |half| live(&half.flow)) {
        Some(true) => Owner::HalfOpen,
        Some(false) | None => Owner::Nobody,
    }
}

/// A function of its own, so that the loop around it stays small for the verifier.
#[inline(never)]
fn try_one<A, T>(tables: &T, scratch: &mut Scratch<A>) -> Taking
where
    A: Family,
    T: Tables + FlowTables<A>,
{
    take(tables, scratch)
}

#[inline(always)]
fn exhausted<A, T>(tables: &T, scratch: &Scratch<A>) -> Result<(), Reason>
where
    A: Family,
    T: Tables,
{
    tables.count_backend(scratch.delivery.backend, |backend| {
        backend.snat_exhausted = backend.snat_exhausted.wrapping_add(1);
    });
    Err(Reason::SnatExhausted)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_cursor_reaches_every_spare_port_once_a_lap() {
        let ports: BTreeSet<_> = (0..SNAT_PORTS)
            .map(|n| spare_port(n.wrapping_mul(STRIDE)).host())
            .collect();
        assert_eq!(ports.len(), SNAT_PORTS as usize);
        assert_eq!(ports.first(), Some(&1024));
        assert_eq!(ports.last(), Some(&u16::MAX));
    }
}
