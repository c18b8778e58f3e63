//! What the agent shows of services and backends.

use std::{collections::BTreeMap, net::SocketAddr};

use adc_common::abi::{BackendId, ServiceId};
use anyhow::Result;

use super::state::Agent;
use crate::{
    api::proto::{
        ApiError, BackendFilter, BackendView, HealthView, MonitorView, Origin, ServiceView,
        Timestamp, Traffic, WeightView,
    },
    health::{Snapshot, TargetKey},
    model::{Backend, BackendName, Health, MonitorKind, Pool, PoolName, Service, ServiceName},
    plan::key_of,
};

/// Ids that the tables have for the backends of each service, removed ones that drain out included.
type Ids = BTreeMap<ServiceId, BTreeMap<SocketAddr, BackendId>>;

/// One moment's facts, gathered once for all views.
struct Moment {
    ids: Ids,
    health: Snapshot,
}

/// A backend and where it stands.
type Place<'a> = (&'a PoolName, &'a Pool, &'a BackendName, &'a Backend);

impl Agent {
    fn moment(&self) -> Moment {
        let mut ids = Ids::new();
        for (id, entry) in &self.dataplane.tables.observed().backends {
            let address = SocketAddr::new(entry.address.into(), entry.port.host());
            ids.entry(entry.service).or_default().insert(address, *id);
        }
        Moment {
            ids,
            health: self.checker.snapshot(),
        }
    }

    fn service_id(&self, service: &Service) -> Option<ServiceId> {
        let index = &self.dataplane.tables.observed().index;
        index.get(&key_of(service)).copied()
    }

    /// Every service with its backends, flows as last swept.
    pub(super) fn service_views(&self) -> Result<Vec<ServiceView>> {
        let moment = self.moment();
        let services = self.config.services.iter();
        services
            .map(|(name, service)| self.service_view(name, service, &moment))
            .collect()
    }

    fn service_view(
        &self,
        name: &ServiceName,
        service: &Service,
        moment: &Moment,
    ) -> Result<ServiceView> {
        let none = BTreeMap::new();
        let service_id = self.service_id(service);
        let ids = service_id.and_then(|id| moment.ids.get(&id));
        let ids = ids.unwrap_or(&none);
        let mut backends = Vec::new();
        if let Some(pool) = self.config.pools.get(&service.pool) {
            for (backend_name, backend) in &pool.backends {
                let id = ids.get(&identity(backend));
                let place = (&service.pool, pool, backend_name, backend);
                backends.push(self.backend_view(place, id, moment)?);
            }
        }
        // Those of backends that are gone stay in the service's totals.
        let departed = service_id.map(|id| self.dataplane.tables.departed(id));
        let mut traffic = Traffic::from(departed.unwrap_or_default());
        let mut flows = 0;
        for id in ids.values() {
            traffic += self.dataplane.counters.backend(*id)?.into();
            flows += self.sweep.flows_of(*id);
        }
        Ok(ServiceView {
            name: name.clone(),
            vip: service.vip,
            port: service.port,
            protocol: service.protocol,
            mode: service.mode,
            snat: service.snat.clone(),
            tunnel: service.tunnel.clone(),
            mss_clamp: service.mss_clamp,
            proxy_protocol: service.proxy_protocol,
            scheduler: service.scheduler,
            hash: service.hash,
            ping: service.ping,
            timeouts: service.timeouts,
            pool: service.pool.clone(),
            origin: origin(self.file.services.contains_key(name)),
            flows,
            traffic,
            backends,
        })
    }

    /// Backends by filter, each once; counters of all services that use the pool, or of the one named.
    pub(super) fn backend_views(
        &self,
        filter: &BackendFilter,
    ) -> Result<Vec<BackendView>, ApiError> {
        let wanted = |name: &ServiceName| filter.service.as_ref().is_none_or(|only| only == name);
        if let Some(service) = &filter.service
            && !self.config.services.contains_key(service)
        {
            return Err(ApiError::not_found(format!(
                "there is no service `{service}`; `adc service list` shows all"
            )));
        }
        if let Some(pool) = &filter.pool
            && !self.config.pools.contains_key(pool)
        {
            return Err(ApiError::not_found(format!(
                "there is no pool `{pool}`; `adc pool list` shows all"
            )));
        }
        let moment = self.moment();
        let mut ids: BTreeMap<&PoolName, BTreeMap<SocketAddr, Vec<BackendId>>> = BTreeMap::new();
        for (_, service) in self.config.services.iter().filter(|(name, _)| wanted(name)) {
            let pool = ids.entry(&service.pool).or_default();
            let own = self.service_id(service).and_then(|id| moment.ids.get(&id));
            for (address, id) in own.into_iter().flatten() {
                pool.entry(*address).or_default().push(*id);
            }
        }
        let mut views = Vec::new();
        for (pool_name, pool) in &self.config.pools {
            let in_pool = filter.pool.as_ref().is_none_or(|only| only == pool_name);
            let of_service = filter.service.is_none() || ids.contains_key(pool_name);
            if !in_pool || !of_service {
                continue;
            }
            for (name, backend) in &pool.backends {
                if filter.name.as_ref().is_some_and(|only| only != name) {
                    continue;
                }
                let own = ids.get(pool_name);
                let own = own.and_then(|pool| pool.get(&identity(backend)));
                let place = (pool_name, pool, name, backend);
                let view = self.backend_view(place, own.into_iter().flatten(), &moment);
                views.push(view.map_err(|error| super::configure::internal(&error))?);
            }
        }
        Ok(views)
    }

    fn backend_view<'a>(
        &self,
        (pool_name, pool, name, backend): Place<'_>,
        ids: impl IntoIterator<Item = &'a BackendId>,
        moment: &Moment,
    ) -> Result<BackendView> {
        let state = self.effective(pool_name, pool, backend);
        let in_file = self
            .file
            .pools
            .get(pool_name)
            .and_then(|pool| pool.backends.get(name));
        let configured = in_file.map_or(backend.weight, |file| file.weight);
        let admin_in_file = in_file
            .map(|file| file.admin)
            .filter(|admin| *admin != backend.admin);
        let key = TargetKey {
            pool: pool_name.clone(),
            backend: backend.address,
        };
        let target = moment.health.targets.get(&key);
        let mut traffic = Traffic::default();
        let mut flows = 0;
        for id in ids {
            traffic += self.dataplane.counters.backend(*id)?.into();
            flows += self.sweep.flows_of(*id);
        }
        Ok(BackendView {
            pool: pool_name.clone(),
            name: name.clone(),
            address: backend.address,
            origin: origin(in_file.is_some()),
            weight: WeightView {
                configured,
                runtime: (configured != backend.weight).then_some(backend.weight),
                effective: state.weight,
                reason: state.reason,
            },
            admin: backend.admin,
            admin_in_file,
            health: target.map_or_else(unmonitored, |target| HealthView {
                state: target.health,
                detail: target.detail.clone(),
                since: Some(Timestamp(target.since)),
            }),
            monitors: self.monitor_views(&key, &moment.health),
            flows,
            traffic,
        })
    }

    fn monitor_views(&self, key: &TargetKey, health: &Snapshot) -> Vec<MonitorView> {
        let Some(target) = health.targets.get(key) else {
            return Vec::new();
        };
        let view = |status: &crate::health::MonitorStatus| {
            let monitor = self.config.monitors.get(&status.name);
            MonitorView {
                monitor: status.name.clone(),
                kind: monitor
                    .map_or("unknown", |monitor| kind(&monitor.kind))
                    .into(),
                health: HealthView {
                    state: status.health,
                    detail: status.detail.clone(),
                    since: Some(Timestamp(status.since)),
                },
                succeeded: status.passed,
                failed: status.failed,
                last_micros: status
                    .last_probe
                    .map(|took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            }
        };
        target.monitors.iter().map(view).collect()
    }
}

/// What a backend is known by in the tables.
fn identity(backend: &Backend) -> SocketAddr {
    SocketAddr::new(backend.address.ip().to_canonical(), backend.address.port())
}

const fn origin(in_file: bool) -> Origin {
    if in_file {
        Origin::File
    } else {
        Origin::Runtime
    }
}

fn unmonitored() -> HealthView {
    HealthView {
        state: Health::Unknown,
        detail: "not monitored".into(),
        since: None,
    }
}

const fn kind(kind: &MonitorKind) -> &'static str {
    match kind {
        MonitorKind::Tcp => "tcp",
        MonitorKind::Icmp => "icmp",
        MonitorKind::Http(check) if check.tls.is_some() => "https",
        MonitorKind::Http(_) => "http",
        MonitorKind::Bfd(_) => "bfd",
    }
}
