//! How much of the port space of local addresses is in use, backend by backend.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use adc_common::abi::{
    BackendEntry, BackendId, ForwardingMode, Port, Protocol, SNAT_PORTS, ServiceEntry, ServiceId,
};
use anyhow::Result;

use super::state::Agent;
use crate::{
    api::proto::{Severity, SnatUse, Warning},
    model::{BackendAddress, Mode, ServiceName},
    plan::key_of,
};

/// Share of a backend's ports above which it is a warning, percent.
const NEARLY_EXHAUSTED: u64 = 90;

/// New flows that found no port, by backend.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    counted: BTreeMap<BackendId, u64>,
    /// Backends for which the count grew between the last two sweeps.
    growing: BTreeSet<BackendId>,
}

/// Who competes for the ports of a local address: flows to one backend of one protocol.
type Destination = (BackendAddress, Protocol);

impl Agent {
    /// Port use of every backend of every `full-nat` service, flows as last swept.
    pub(super) fn snat_uses(&self) -> Result<Vec<SnatUse>> {
        let names = self.full_nat_services();
        let rows = self.full_nat_backends();
        let mut by_destination: BTreeMap<Destination, Vec<(&ServiceEntry, u64)>> = BTreeMap::new();
        for (id, backend, service) in &rows {
            let place = (BackendAddress::of(backend), service.key.protocol);
            let flows = self.sweep.flows_of(*id);
            by_destination
                .entry(place)
                .or_default()
                .push((service, flows));
        }
        let mut uses = Vec::new();
        for (id, backend, service) in &rows {
            // What drains out has no name any more, but counts above.
            let Some(name) = names.get(&backend.service) else {
                continue;
            };
            let address = BackendAddress::of(backend);
            let own = local_addresses(service, address.ip());
            let rivals = by_destination.get(&(address, service.key.protocol));
            let shares =
                |other: &ServiceEntry| !local_addresses(other, address.ip()).is_disjoint(&own);
            let rivals = rivals.into_iter().flatten();
            uses.push(SnatUse {
                service: (*name).clone(),
                backend: address,
                flows: rivals
                    .filter(|(other, _)| shares(other))
                    .map(|(_, n)| n)
                    .sum(),
                ports: own.len() as u64 * u64::from(SNAT_PORTS) * backend_ports(backend, service),
                exhausted: self.dataplane.counters.backend(*id)?.snat_exhausted,
                refusing: self.refusals.growing.contains(id),
            });
        }
        Ok(uses)
    }

    /// Notes which backends had flows refused since the last call.
    pub(super) fn note_refusals(&mut self) -> Result<()> {
        let mut now = Refusals::default();
        for (id, _, _) in self.full_nat_backends() {
            let count = self.dataplane.counters.backend(id)?.snat_exhausted;
            let before = self.refusals.counted.get(&id).copied().unwrap_or(0);
            if count > before {
                now.growing.insert(id);
            }
            now.counted.insert(id, count);
        }
        self.refusals = now;
        Ok(())
    }

    fn full_nat_services(&self) -> BTreeMap<ServiceId, &ServiceName> {
        let index = &self.dataplane.tables.observed().index;
        let services = self.config.services.iter();
        let full_nat = services.filter(|(_, service)| service.mode == Mode::FullNat);
        full_nat
            .filter_map(|(name, service)| Some((*index.get(&key_of(service))?, name)))
            .collect()
    }

    fn full_nat_backends(&self) -> Vec<(BackendId, BackendEntry, ServiceEntry)> {
        let observed = self.dataplane.tables.observed();
        let rows = observed.backends.iter().filter_map(|(id, backend)| {
            let service = observed.services.get(&backend.service)?;
            (service.mode == ForwardingMode::FULL_NAT).then_some((*id, *backend, *service))
        });
        rows.collect()
    }
}

/// What there is to say about a backend's ports, if anything.
pub(super) fn warning(snat: &SnatUse) -> Option<Warning> {
    let nearly = snat.flows * 100 >= snat.ports * NEARLY_EXHAUSTED;
    let severity = match (snat.refusing, nearly) {
        (true, _) => Severity::Critical,
        (false, true) => Severity::Warning,
        (false, false) => return None,
    };
    let dropped = if snat.refusing {
        "; new flows are dropped (snat_exhausted)"
    } else {
        ""
    };
    Some(Warning {
        severity,
        subject: format!("service {}", snat.service),
        what: format!(
            "{} of {} local ports towards {} are in use{dropped}",
            snat.flows, snat.ports, snat.backend
        ),
        remedy: "add addresses to `snat`, or backends to the pool".into(),
    })
}

/// Ports of a backend that flows of a service go to. Each has the ports of the local addresses to itself.
fn backend_ports(backend: &BackendEntry, service: &ServiceEntry) -> u64 {
    match service.key.ports() {
        Some((first, last)) if backend.port == Port::default() => {
            u64::from(last) + 1 - u64::from(first.max(1))
        }
        Some(_) | None => 1,
    }
}

/// Addresses that a service sends to this backend from.
pub(super) fn local_addresses(service: &ServiceEntry, backend: IpAddr) -> BTreeSet<IpAddr> {
    let set = service.snat.iter().filter(|address| !address.is_unset());
    set.map(|address| IpAddr::from(*address))
        .filter(|address| address.is_ipv4() == backend.is_ipv4())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snat(flows: u64, refusing: bool) -> SnatUse {
        SnatUse {
            service: "www".parse().unwrap(),
            backend: "10.0.0.1:80".parse().unwrap(),
            flows,
            ports: 64_512,
            exhausted: 0,
            refusing,
        }
    }

    #[test]
    fn a_backend_that_keeps_ports_has_those_of_its_service() {
        let ports = |first, last, own| {
            let mut service = ServiceEntry::default();
            service.key.port = Port::new(first);
            service.key.last_port = Port::new(last);
            let backend = BackendEntry {
                port: Port::new(own),
                ..BackendEntry::default()
            };
            backend_ports(&backend, &service)
        };
        assert_eq!(ports(80, 0, 8080), 1);
        assert_eq!(ports(5000, 5100, 8080), 1);
        assert_eq!(ports(5000, 5100, 0), 101);
        assert_eq!(ports(0, u16::MAX, 0), 65_535);
    }

    #[test]
    fn ports_that_run_out_are_a_warning_and_refused_flows_a_critical_one() {
        let severity = |flows, refusing| warning(&snat(flows, refusing)).map(|w| w.severity);
        assert_eq!(severity(58_060, false), None);
        assert_eq!(severity(58_061, false), Some(Severity::Warning));
        assert_eq!(severity(10, true), Some(Severity::Critical));
        let text = warning(&snat(64_000, true)).unwrap().what;
        assert!(
            text.contains("64000 of 64512 local ports towards 10.0.0.1:80"),
            "{text}"
        );
    }
}
