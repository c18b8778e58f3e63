//! What the agent shows: services, backends, status, metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::SystemTime,
};

use adc_common::abi::BackendId;
use anyhow::Result;

use super::{configure::hash, state::Agent};
use crate::{
    api::proto::{
        ApiError, BackendFilter, BackendView, ConfigSummary, HealthView, InterfaceView,
        MonitorView, Origin, ReasonRow, ServiceSummary, ServiceView, Severity, Status, Timestamp,
        Traffic, Warning, WeightView, warnings_about,
    },
    health::{Snapshot, TargetKey},
    model::{Backend, BackendName, Health, MonitorKind, Pool, PoolName, Service, ServiceName},
    plan::key_of,
    telemetry::MetricsSnapshot,
};

/// Share of a flow table above which it is a warning, percent.
const NEARLY_FULL: u64 = 90;

/// Ids of each backend address, by service.
type Ids = BTreeMap<SocketAddr, BackendId>;

impl Agent {
    /// Every service with its backends, flows as last swept.
    pub(super) fn service_views(&self) -> Result<Vec<ServiceView>> {
        let health = self.checker.snapshot();
        let services = self.config.services.iter();
        services
            .map(|(name, service)| self.service_view(name, service, &health))
            .collect()
    }

    fn service_view(
        &self,
        name: &ServiceName,
        service: &Service,
        health: &Snapshot,
    ) -> Result<ServiceView> {
        let ids = self.ids_of(service);
        let mut backends = Vec::new();
        if let Some(pool) = self.config.pools.get(&service.pool) {
            for (backend_name, backend) in &pool.backends {
                let id = ids.get(&identity(backend)).copied();
                let place = (&service.pool, pool, backend_name, backend);
                backends.push(self.backend_view(place, &id.into_iter().collect(), health)?);
            }
        }
        let mut traffic = Traffic::default();
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
            scheduler: service.scheduler,
            hash: service.hash,
            timeouts: service.timeouts,
            pool: service.pool.clone(),
            origin: origin(self.file.services.contains_key(name)),
            flows,
            traffic,
            backends,
        })
    }

    /// Ids that the tables have for a service's backends, removed ones that drain out included.
    fn ids_of(&self, service: &Service) -> Ids {
        let observed = self.dataplane.tables.observed();
        let Some(id) = observed.index.get(&key_of(service)) else {
            return Ids::new();
        };
        let own = observed
            .backends
            .iter()
            .filter(|(_, entry)| entry.service == *id);
        own.map(|(id, entry)| {
            (
                SocketAddr::new(entry.address.into(), entry.port.host()),
                *id,
            )
        })
        .collect()
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
        let mut ids: BTreeMap<&PoolName, BTreeMap<SocketAddr, Vec<BackendId>>> = BTreeMap::new();
        for (name, service) in self.config.services.iter().filter(|(name, _)| wanted(name)) {
            let _ = name;
            let pool = ids.entry(&service.pool).or_default();
            for (address, id) in self.ids_of(service) {
                pool.entry(address).or_default().push(id);
            }
        }
        let health = self.checker.snapshot();
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
                let own = ids
                    .get(pool_name)
                    .and_then(|pool| pool.get(&identity(backend)));
                let own = own.cloned().unwrap_or_default();
                let place = (pool_name, pool, name, backend);
                let view = self.backend_view(place, &own, &health);
                views.push(view.map_err(|error| super::configure::internal(&error))?);
            }
        }
        Ok(views)
    }

    fn backend_view(
        &self,
        (pool_name, pool, name, backend): (&PoolName, &Pool, &BackendName, &Backend),
        ids: &Vec<BackendId>,
        health: &Snapshot,
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
        let target = health.targets.get(&key);
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
            monitors: self.monitor_views(&key, health),
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

    /// The node at a glance.
    pub(super) fn status(&mut self) -> Result<Status> {
        self.sweep_now()?;
        let services = self.service_views()?;
        let flows = self.flow_count()?;
        let mut warnings = self.own_warnings();
        warnings.extend(warnings_about(&services));
        for table in &flows.tables {
            // Half-open tables are meant to be full under a flood: the oldest entries make room.
            if table.table.starts_with("established")
                && table.flows * 100 >= table.capacity * NEARLY_FULL
            {
                warnings.push(Warning {
                    severity: Severity::Warning,
                    subject: format!("flow table {}", table.table),
                    what: format!(
                        "{} of {} flows: new flows will stay half-open when it is full",
                        table.flows, table.capacity
                    ),
                    remedy: "raise dataplane.limits, stop adc cleanly and start it".into(),
                });
            }
        }
        warnings.sort_by_key(|warning| warning.severity);
        let Timestamp(started) = self.started;
        Ok(Status {
            warnings,
            node: self.config.node.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            started: self.started,
            uptime_seconds: SystemTime::now()
                .duration_since(started)
                .unwrap_or_default()
                .as_secs(),
            interfaces: self.interface_views(),
            config: self.config_summary(),
            differences: self.edits.differences(&self.file),
            flows,
            services: services.iter().map(ServiceSummary::from).collect(),
        })
    }

    fn own_warnings(&self) -> Vec<Warning> {
        let warning = |severity, subject: &str, what: String, remedy: &str| Warning {
            severity,
            subject: subject.into(),
            what,
            remedy: remedy.into(),
        };
        let mut warnings = Vec::new();
        for (name, interface) in &self.interfaces {
            let subject = format!("interface {name}");
            match &interface.facts {
                None => warnings.push(warning(
                    Severity::Critical,
                    &subject,
                    "it does not exist any more".into(),
                    "create it; adc attaches by itself",
                )),
                Some(facts) if !facts.up => warnings.push(warning(
                    Severity::Critical,
                    &subject,
                    "it is down or has no carrier".into(),
                    "",
                )),
                Some(_) => {}
            }
        }
        if let Some(error) = &self.last_plan_error {
            warnings.push(warning(
                Severity::Critical,
                "data plane",
                error.clone(),
                "the next change or sweep tries again; the log has the details",
            ));
        }
        if let Some(error) = &self.last_reload_error {
            warnings.push(warning(
                Severity::Warning,
                "configuration",
                format!("the last reload was refused: {error}"),
                "`adc config check` shows every error",
            ));
        }
        for problem in &self.edit_problems {
            warnings.push(warning(
                Severity::Warning,
                "configuration",
                problem.to_string(),
                "`adc config apply --reset-edits` forgets all runtime edits",
            ));
        }
        for line in &self.load_report.kept_capacities {
            warnings.push(warning(Severity::Warning, "data plane", line.clone(), ""));
        }
        warnings
    }

    fn interface_views(&self) -> Vec<InterfaceView> {
        let views = self
            .interfaces
            .iter()
            .map(|(name, interface)| InterfaceView {
                name: name.clone(),
                index: interface.facts.as_ref().map_or(0, |facts| facts.ifindex),
                mode: interface.mode,
                adopted: interface.adopted,
            });
        views.collect()
    }

    pub(super) fn config_summary(&self) -> ConfigSummary {
        ConfigSummary {
            path: self.config_path.clone(),
            generation: self.generation,
            hash: hash(&self.config),
            edits: self.edits.len(),
            applied: self.applied_at,
            last_reload_error: self.last_reload_error.clone(),
        }
    }

    /// Every reason with its counters.
    pub(super) fn reasons(&self) -> Result<Vec<ReasonRow>> {
        let counters = self.dataplane.counters.reasons()?;
        Ok(counters
            .into_iter()
            .map(|(reason, counters)| ReasonRow::new(reason, counters))
            .collect())
    }

    /// All that a scrape shows.
    pub(super) fn metrics_snapshot(&mut self) -> Result<MetricsSnapshot> {
        self.sweep_if_stale()?;
        let missing: BTreeSet<_> = self
            .interfaces
            .keys()
            .filter(|name| !self.dataplane.attachments.contains(name))
            .collect();
        let mut not_ready: Vec<String> = missing
            .into_iter()
            .map(|name| format!("not attached to {name}"))
            .collect();
        not_ready.extend(self.last_plan_error.clone());
        Ok(MetricsSnapshot {
            node: self.config.node.name.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            started: self.started,
            not_ready,
            interfaces: self.interface_views(),
            services: self.service_views()?,
            backends: self
                .backend_views(&BackendFilter::default())
                .map_err(|error| anyhow::anyhow!("{error}"))?,
            reasons: self.reasons()?,
            flows: self.flow_count()?,
            tables: self.dataplane.counters.tables()?,
            config_generation: self.generation,
            config_edits: self.edits.len(),
            last_reload_successful: self.last_reload_error.is_none(),
            last_reload_success: self.applied_at,
        })
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
    }
}
