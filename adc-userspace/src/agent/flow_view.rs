//! What the agent shows of flows.

use std::collections::BTreeMap;

use adc_common::abi::{BackendId, Protocol, Tick};
use anyhow::Result;

use super::state::Agent;
use crate::{
    api::proto::{FlowCount, FlowFilter, FlowPage, FlowTableView, FlowView},
    dataplane::{self, FlowRecord},
    model::{BackendName, PoolName, ServiceName, TransportProtocol},
    plan::key_of,
};

/// Names behind a backend id.
#[derive(Clone, Default)]
struct Names {
    service: Option<ServiceName>,
    pool: Option<PoolName>,
    backend: Option<BackendName>,
}

impl Agent {
    /// Flows that match, at most as many as asked for, and how many match.
    pub(super) fn flows(&self, filter: &FlowFilter) -> Result<FlowPage> {
        let names = self.names();
        let mut page = FlowPage {
            flows: Vec::new(),
            matched: 0,
        };
        self.dataplane.flows.for_each(dataplane::now(), |record| {
            let view = flow_view(&record, names.get(&record.backend_id));
            if filter.matches(&view) {
                page.matched += 1;
                if page.flows.len() < filter.limit.min(FlowFilter::MAX_LIMIT) as usize {
                    page.flows.push(view);
                }
            }
        })?;
        Ok(page)
    }

    /// How full the tables are, and how many flows are in which phase.
    pub(super) fn flow_count(&self) -> Result<FlowCount> {
        let mut phases: BTreeMap<String, u64> = BTreeMap::new();
        let mut tables = [0_u64; 4];
        self.dataplane.flows.for_each(dataplane::now(), |record| {
            *phases.entry(record.phase.name().into()).or_default() += 1;
            let half_open = record.state == dataplane::FlowState::HalfOpen;
            let table = usize::from(half_open) * 2 + usize::from(record.client.is_ipv6());
            if let Some(count) = tables.get_mut(table) {
                *count += 1;
            }
        })?;
        let names = [
            "established-v4",
            "established-v6",
            "half-open-v4",
            "half-open-v6",
        ];
        let capacities = self.dataplane.flows.capacities();
        let rows = names.iter().zip(tables).zip(capacities);
        Ok(FlowCount {
            total: tables.iter().sum(),
            phases,
            tables: rows
                .map(|((name, flows), capacity)| FlowTableView {
                    table: (*name).into(),
                    flows,
                    capacity: u64::from(capacity),
                })
                .collect(),
        })
    }

    fn names(&self) -> BTreeMap<BackendId, Names> {
        let observed = self.dataplane.tables.observed();
        let mut services = BTreeMap::new();
        for (name, service) in &self.config.services {
            if let Some(id) = observed.index.get(&key_of(service)) {
                services.insert(*id, (name, service));
            }
        }
        let mut names = BTreeMap::new();
        for (id, entry) in &observed.backends {
            let mut known = Names::default();
            if let Some((name, service)) = services.get(&entry.service) {
                known.service = Some((*name).clone());
                let pool = self.config.pools.get(&service.pool);
                let backends = pool.into_iter().flat_map(|pool| &pool.backends);
                let address = std::net::SocketAddr::new(entry.address.into(), entry.port.host());
                for (backend_name, backend) in backends {
                    if backend.address.0 == address {
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
    let protocol = if record.protocol == Protocol::UDP {
        TransportProtocol::Udp
    } else {
        TransportProtocol::Tcp
    };
    FlowView {
        protocol,
        client: record.client,
        vip: record.vip,
        backend: record.backend,
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
