//! What the agent shows of flows.

use std::{collections::BTreeMap, net::SocketAddr};

use adc_common::abi::{BackendId, Phase, Tick};
use anyhow::Result;

use super::state::Agent;
use crate::{
    api::proto::{FlowCount, FlowFilter, FlowPage, FlowTableView, FlowView},
    dataplane::{self, FlowRecord},
    model::{BackendAddress, BackendName, PoolName, ServiceName, TransportProtocol},
    plan::key_of,
};

/// Names behind a backend id.
#[derive(Clone, Default)]
pub(super) struct Names {
    pub(super) service: Option<ServiceName>,
    pub(super) pool: Option<PoolName>,
    pub(super) backend: Option<BackendName>,
    address: Option<BackendAddress>,
}

impl Agent {
    /// Flows that match, at most as many as asked for, and how many match.
    pub(super) fn flows(&self, filter: &FlowFilter) -> Result<FlowPage> {
        let names = self.names();
        let limit = filter.limit.min(FlowFilter::MAX_LIMIT) as usize;
        let matches_all = filter.is_empty();
        let mut page = FlowPage {
            flows: Vec::new(),
            matched: 0,
        };
        let (now, timeouts) = (dataplane::now(), self.timeouts());
        self.dataplane.flows.for_each(now, &timeouts, |record| {
            let full = page.flows.len() >= limit;
            // A million flows are counted without naming each.
            if matches_all && full {
                page.matched += 1;
                return;
            }
            let view = flow_view(&record, names.get(&record.backend_id));
            if filter.matches(&view) {
                page.matched += 1;
                if !full {
                    page.flows.push(view);
                }
            }
        })?;
        Ok(page)
    }

    /// How full the tables are, and how many flows are in which phase, as last swept.
    pub(super) fn flow_count(&self) -> FlowCount {
        let phases = (0_u8..).zip(self.sweep.phases);
        let phases = phases
            .filter(|(_, flows)| *flows > 0)
            .map(|(phase, flows)| (Phase(phase).name().to_owned(), flows));
        let names = [
            "established-v4",
            "established-v6",
            "half-open-v4",
            "half-open-v6",
        ];
        let rows = names.iter().zip(self.sweep.tables);
        let tables =
            rows.zip(self.dataplane.flows.capacities())
                .map(|((name, flows), capacity)| FlowTableView {
                    table: (*name).into(),
                    flows,
                    capacity: u64::from(capacity),
                });
        FlowCount {
            total: self.sweep.total(),
            phases: phases.collect(),
            tables: tables.collect(),
        }
    }

    /// What people call the backends in the tables.
    pub(super) fn names(&self) -> BTreeMap<BackendId, Names> {
        let observed = self.dataplane.tables.observed();
        let mut services = BTreeMap::new();
        for (name, service) in &self.config.services {
            if let Some(id) = observed.index.get(&key_of(service)) {
                services.insert(*id, (name, service));
            }
        }
        let mut names = BTreeMap::new();
        for (id, entry) in &observed.backends {
            let address = BackendAddress::of(entry);
            let mut known = Names {
                address: Some(address),
                ..Names::default()
            };
            if let Some((name, service)) = services.get(&entry.service) {
                known.service = Some((*name).clone());
                let pool = self.config.pools.get(&service.pool);
                let backends = pool.into_iter().flat_map(|pool| &pool.backends);
                for (backend_name, backend) in backends {
                    if backend.address == address {
                        known.pool = Some(service.pool.clone());
                        known.backend = Some(backend_name.clone());
                    }
                }
            }
            names.insert(*id, known);
        }
        names
    }
}

fn flow_view(record: &FlowRecord, names: Option<&Names>) -> FlowView {
    let names = names.cloned().unwrap_or_default();
    FlowView {
        // Flows of other protocols do not come about.
        protocol: TransportProtocol::of(record.protocol).unwrap_or(TransportProtocol::Tcp),
        client: record.client,
        vip: record.vip,
        // With direct return no packet has the backend's address on it, so the flow does not know it.
        backend: names.address.map_or(record.backend, |address| {
            if address.keeps_ports() {
                SocketAddr::new(address.ip(), record.backend.port())
            } else {
                address.0
            }
        }),
        service: names.service,
        pool: names.pool,
        backend_name: names.backend,
        phase: record.phase.name().into(),
        idle_seconds: seconds(record.idle),
    }
}

const fn seconds(span: Tick) -> u64 {
    span.nanos() / 1_000_000_000
}
