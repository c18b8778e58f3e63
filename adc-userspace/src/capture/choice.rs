//! Which records are wanted.

use std::{
    collections::{BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
};

use adc_common::abi::{Addr16, CaptureBits, CaptureSetup, MAX_SNAPLEN, Port, Protocol};

use super::labels::Sighting;
use crate::{
    api::proto::{CaptureFilter, CaptureRequest, FilterTerm, ReasonKind},
    model::TransportProtocol,
};

/// Chosen packets of which the rewritten frame may still be to come: it follows within the same run of the program, so only
/// other CPUs' records come between.
const EXPECTED: usize = 256;

/// Decides record by record.
#[derive(Debug)]
pub struct Choice {
    filter: CaptureFilter,
    /// When chosen packets came in, by interface.
    chosen: VecDeque<(u64, u32)>,
}

impl Choice {
    /// By this filter.
    pub fn new(filter: CaptureFilter) -> Self {
        Self {
            filter,
            chosen: VecDeque::new(),
        }
    }

    /// Whether a record is wanted. A frame that left is if the packet that came in was: its addresses are others.
    pub fn wants(&mut self, seen: &Sighting<'_>, vips: &BTreeSet<IpAddr>) -> bool {
        let packet = (seen.record.time, seen.record.ifindex);
        if seen.record.shows.contains(CaptureBits::LEFT) {
            return self.chosen.contains(&packet);
        }
        let wanted = self.filter.0.iter().all(|term| holds(term, seen, vips));
        if wanted {
            if self.chosen.len() == EXPECTED {
                self.chosen.pop_front();
            }
            self.chosen.push_back(packet);
        }
        wanted
    }
}

fn holds(term: &FilterTerm, seen: &Sighting<'_>, vips: &BTreeSet<IpAddr>) -> bool {
    let either = |test: &dyn Fn(SocketAddr) -> bool| {
        seen.tuple
            .is_some_and(|(from, to, _)| test(from) || test(to))
    };
    match term {
        FilterTerm::Host(address) => either(&|end| end.ip() == *address),
        FilterTerm::Net(range) => either(&|end| range.0.contains(&end.ip())),
        FilterTerm::Port(port) => {
            let has_ports = seen.tuple.is_some_and(|(_, _, protocol)| {
                TransportProtocol::of(Protocol(protocol)).is_some()
            });
            has_ports && either(&|end| end.port() == *port)
        }
        FilterTerm::Protocol(wanted) => seen
            .tuple
            .is_some_and(|(_, _, protocol)| protocol == *wanted),
        FilterTerm::Vip => either(&|end| vips.contains(&end.ip())),
        FilterTerm::Service(name) => seen.service == Some(name),
        FilterTerm::Backend(name) => {
            let backend = seen.backend.and_then(|backend| backend.name.as_ref());
            backend == Some(name)
        }
        FilterTerm::Reason(reason) => seen.reason == Some(*reason),
        FilterTerm::Class(kind) => seen
            .reason
            .is_some_and(|reason| ReasonKind::from(reason.class()) == *kind),
    }
}

/// What the program can already leave out: the first host, port and protocol that are asked for.
pub fn setup(request: &CaptureRequest) -> CaptureSetup {
    let mut setup = CaptureSetup {
        snaplen: request.snaplen.min(MAX_SNAPLEN),
        ..CaptureSetup::default()
    };
    if request.after {
        setup.wants = setup.wants.with(CaptureBits::LEFT);
    }
    for term in &request.filter.0 {
        let bit = match term {
            FilterTerm::Host(address) if !setup.wants.contains(CaptureBits::HOST) => {
                setup.host = Addr16::from(*address);
                CaptureBits::HOST
            }
            FilterTerm::Port(port) if !setup.wants.contains(CaptureBits::PORT) => {
                setup.port = Port::new(*port);
                CaptureBits::PORT
            }
            FilterTerm::Protocol(number) if !setup.wants.contains(CaptureBits::PROTOCOL) => {
                setup.protocol = Protocol(*number);
                CaptureBits::PROTOCOL
            }
            FilterTerm::Host(_)
            | FilterTerm::Net(_)
            | FilterTerm::Port(_)
            | FilterTerm::Protocol(_)
            | FilterTerm::Vip
            | FilterTerm::Service(_)
            | FilterTerm::Backend(_)
            | FilterTerm::Reason(_)
            | FilterTerm::Class(_) => continue,
        };
        setup.wants = setup.wants.with(bit);
    }
    setup
}
