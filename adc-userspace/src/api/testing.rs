//! A fake agent and views for tests.

mod announce;
mod bfd;
mod explained;
mod ha;
mod running;

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use adc_common::abi::{ReasonCounters, SelfCheckCounters, TableCounters};
use hyper::body::Bytes;
use serde_json::json;
use tokio::sync::{Notify, mpsc};

use super::{Control, proto::*};
use crate::{
    dataplane::OrphanTotals,
    model::{
        AdminState, AttachMode, BackendAddress, GroupName, Hash, Health, Mode, MssClamp, Ports,
        Scheduler, ServiceName, Timeouts, TransportProtocol, Tunnel, Weight,
    },
    telemetry::MetricsSnapshot,
};

pub(crate) use bfd::view as bfd_view;
pub(crate) use ha::view as ha_view;

/// 2026-11-21T10:00:00Z.
pub(crate) fn noon() -> Timestamp {
    Timestamp(SystemTime::UNIX_EPOCH + Duration::from_hours(498_682))
}

pub(crate) fn service_view(name: &str, pool: &str) -> ServiceView {
    ServiceView {
        name: name.parse().unwrap(),
        vip: "192.0.2.1".parse().unwrap(),
        port: Ports::One(80),
        protocol: TransportProtocol::Tcp,
        mode: Mode::Nat,
        snat: BTreeSet::new(),
        tunnel: Tunnel::default(),
        mss_clamp: MssClamp::Off,
        proxy_protocol: None,
        scheduler: Scheduler::Maglev,
        ping: true,
        hash: Hash::FiveTuple,
        timeouts: Timeouts::default(),
        pool: pool.parse().unwrap(),
        origin: Origin::File,
        flows: 3,
        traffic: traffic(),
        backends: vec![backend_view(pool, "web1", 100, "up")],
    }
}

pub(crate) fn traffic() -> Traffic {
    Traffic {
        forward_packets: 10,
        forward_bytes: 1_000,
        reply_packets: 20,
        reply_bytes: 20_000,
        flows_scheduled: 4,
        flows_established: 3,
        forward_zero_windows: 0,
        reply_zero_windows: 2,
    }
}

pub(crate) fn backend_view(pool: &str, name: &str, effective: u16, reason: &str) -> BackendView {
    let health = HealthView {
        state: if effective > 0 {
            Health::Up
        } else {
            Health::Down
        },
        detail: "http: status 200".into(),
        since: Some(noon()),
    };
    BackendView {
        pool: pool.parse().unwrap(),
        name: name.parse().unwrap(),
        address: BackendAddress("[2001:db8::11]:8080".parse().unwrap()),
        origin: Origin::File,
        weight: WeightView {
            configured: Weight(100),
            runtime: None,
            effective: Weight(effective),
            reason: reason.into(),
        },
        admin: AdminState::Enabled,
        admin_in_file: None,
        health: health.clone(),
        monitors: vec![MonitorView {
            monitor: "http".parse().unwrap(),
            kind: "http".into(),
            health,
            succeeded: 41,
            failed: 1,
            last_micros: Some(1_500),
        }],
        flows: 3,
        traffic: traffic(),
    }
}

pub(crate) fn flow_view(client: &str) -> FlowView {
    FlowView {
        protocol: TransportProtocol::Tcp,
        client: client.parse().unwrap(),
        vip: "192.0.2.1:80".parse().unwrap(),
        backend: "10.1.0.11:8080".parse().unwrap(),
        service: Some("www".parse().unwrap()),
        pool: Some("web".parse().unwrap()),
        backend_name: Some("web1".parse().unwrap()),
        phase: "established".into(),
        idle_seconds: 2,
    }
}

fn flow_count() -> FlowCount {
    FlowCount {
        total: 3,
        phases: [("established".to_owned(), 3)].into(),
        tables: vec![FlowTableView {
            table: "established-v4".into(),
            flows: 3,
            capacity: 262_144,
        }],
    }
}

#[derive(Debug, Default)]
pub(crate) struct Gate {
    pub(crate) begun: Notify,
    pub(crate) open: Notify,
}

/// Answers from memory and remembers what it was told to do.
#[derive(Debug, Default)]
pub(crate) struct FakeControl {
    pub(crate) down: bool,
    pub(crate) differences: Vec<Difference>,
    /// If set, `config_apply` says that it has begun, then waits to be let through.
    pub(crate) gate: Option<Gate>,
    pub(crate) edits: Mutex<Vec<(Edit, bool)>>,
    pub(crate) applied: Mutex<Vec<(ConfigApply, bool)>>,
    pub(crate) filters: Mutex<Vec<FlowFilter>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FakeControl {
    fn view(&self) -> ServiceView {
        let mut view = service_view("www", "web");
        if self.down {
            view.backends = vec![backend_view("web", "web1", 0, "down: refused")];
        }
        view
    }

    pub(crate) fn snapshot(&self) -> MetricsSnapshot {
        let service = self.view();
        MetricsSnapshot {
            node: "lb-a".into(),
            version: "0.1.0".into(),
            started: noon(),
            not_ready: if self.down {
                vec!["not attached".into()]
            } else {
                Vec::new()
            },
            interfaces: self.interfaces(),
            backends: service.backends.clone(),
            services: vec![service],
            snat: vec![SnatUse {
                service: "www".parse().unwrap(),
                backend: "10.0.0.1:80".parse().unwrap(),
                flows: 16_128,
                ports: 64_512,
                exhausted: 0,
                refusing: false,
            }],
            reasons: ReasonRow::all(&reasons()),
            flows: flow_count(),
            tables: TableCounters::default(),
            self_checks: SelfCheckCounters::default(),
            held_fragments: OrphanTotals::default(),
            ha: ha::view(),
            announcements: announce::views(),
            bfd: bfd_view(),
            config_generation: 7,
            config_edits: 0,
            last_reload_successful: true,
            last_reload_success: noon(),
        }
    }

    #[expect(clippy::unused_self, reason = "reads as a property of the fake node")]
    fn interfaces(&self) -> Vec<InterfaceView> {
        vec![InterfaceView {
            name: "eth0".into(),
            index: 2,
            mode: AttachMode::Native,
            adopted: false,
        }]
    }

    fn applied(dry_run: bool) -> Applied {
        Applied {
            applied: !dry_run,
            generation: 8,
            hash: "0123456789abcdef".into(),
            plan: PlanView {
                lines: vec!["ring www: rebuild".into()],
                steps: json!([{"step": "ring", "service": "www"}]),
            },
            before: json!({"weight": 100}),
            after: json!({"weight": 50}),
            notes: Vec::new(),
        }
    }
}

fn reasons() -> Vec<ReasonCounters> {
    let count = |packets| ReasonCounters {
        packets,
        bytes: packets * 60,
    };
    (0..)
        .map(count)
        .take(adc_common::abi::Reason::COUNT)
        .collect()
}

impl Control for FakeControl {
    async fn status(&self) -> Result<Status, ApiError> {
        let services = [self.view()];
        Ok(Status {
            warnings: warnings_about(&services),
            node: "lb-a".into(),
            version: "0.1.0".into(),
            started: noon(),
            uptime_seconds: 90,
            interfaces: self.interfaces(),
            config: running::config_summary(),
            differences: self.differences.clone(),
            flows: flow_count(),
            services: services.iter().map(Into::into).collect(),
        })
    }

    async fn services(&self) -> Result<Vec<ServiceView>, ApiError> {
        Ok(vec![self.view()])
    }

    async fn service(&self, name: ServiceName) -> Result<ServiceView, ApiError> {
        let view = self.view();
        if view.name == name {
            Ok(view)
        } else {
            Err(ApiError::not_found(format!("there is no service {name}")))
        }
    }

    async fn backends(&self, filter: BackendFilter) -> Result<Vec<BackendView>, ApiError> {
        let matches = |view: &BackendView| {
            filter.pool.as_ref().is_none_or(|pool| *pool == view.pool)
                && filter.name.as_ref().is_none_or(|name| *name == view.name)
        };
        Ok(self.view().backends.into_iter().filter(matches).collect())
    }

    async fn edit(&self, edit: Edit, dry_run: bool) -> Result<Applied, ApiError> {
        if matches!(&edit, Edit::ServiceRemove { name } if name.as_str() == "taken") {
            return Err(ApiError::new(
                ErrorCode::Conflict,
                "service taken exists already; choose another name",
            ));
        }
        lock(&self.edits).push((edit, dry_run));
        Ok(Self::applied(dry_run))
    }

    async fn config_show(&self) -> Result<ConfigView, ApiError> {
        Ok(ConfigView {
            summary: running::config_summary(),
            text: "[node]\nname = \"lb-a\"\n".into(),
            edits: vec![Edit::BackendAdmin {
                pool: "web".parse().unwrap(),
                name: "web1".parse().unwrap(),
                state: AdminState::Draining,
            }],
            config: running::config(),
        })
    }

    async fn config_diff(&self) -> Result<ConfigDiff, ApiError> {
        Ok(ConfigDiff {
            path: "/etc/adc/adc.toml".into(),
            edits: Vec::new(),
            differences: Vec::new(),
            plan: PlanView::default(),
        })
    }

    async fn config_check(&self, text: String) -> Result<ConfigChecked, ApiError> {
        if text.is_empty() {
            let problem = Problem {
                problem: "no services".into(),
                ..Problem::default()
            };
            return Err(ApiError::invalid_config("1 problem", vec![problem]));
        }
        Ok(ConfigChecked {
            services: 1,
            pools: 1,
            backends: 3,
            monitors: 1,
        })
    }

    async fn config_apply(&self, request: ConfigApply, dry: bool) -> Result<Applied, ApiError> {
        if let Some(gate) = &self.gate {
            gate.begun.notify_one();
            gate.open.notified().await;
        }
        lock(&self.applied).push((request, dry));
        Ok(Self::applied(dry))
    }

    async fn flows(&self, filter: FlowFilter) -> Result<FlowPage, ApiError> {
        let flows = [flow_view("192.0.2.7:40000"), flow_view("192.0.2.8:40001")];
        let matching: Vec<_> = flows.into_iter().filter(|f| filter.matches(f)).collect();
        let matched = matching.len() as u64;
        let limit = filter.limit as usize;
        lock(&self.filters).push(filter);
        Ok(FlowPage {
            flows: matching.into_iter().take(limit).collect(),
            matched,
        })
    }

    async fn flow_count(&self) -> Result<FlowCount, ApiError> {
        Ok(flow_count())
    }

    async fn drops(&self) -> Result<Vec<ReasonRow>, ApiError> {
        Ok(ReasonRow::all(&reasons()))
    }

    async fn ha(&self) -> Result<HaView, ApiError> {
        Ok(ha::view())
    }

    async fn bfd(&self) -> Result<BfdView, ApiError> {
        Ok(bfd_view())
    }

    async fn announcements(&self) -> Result<Vec<AnnouncementView>, ApiError> {
        Ok(announce::views())
    }

    async fn ha_order(&self, group: GroupName, order: HaOrder) -> Result<HaGroupView, ApiError> {
        let view = ha::group_view();
        if view.name != group {
            return Err(ApiError::not_found(format!("there is no HA group {group}")));
        }
        let held = order == HaOrder::Hold;
        Ok(HaGroupView { held, ..view })
    }

    async fn explain(&self, request: ExplainRequest) -> Result<Explanation, ApiError> {
        Ok(explained::explanation(&request))
    }

    async fn capture(&self, request: CaptureRequest) -> Result<mpsc::Receiver<Bytes>, ApiError> {
        let (pieces, file) = mpsc::channel(2);
        for piece in ["filter: ", &request.filter.to_string()] {
            pieces.try_send(Bytes::from(piece.to_owned())).unwrap();
        }
        Ok(file)
    }

    async fn stop(&self) -> Result<(), ApiError> {
        Ok(())
    }

    async fn metrics_snapshot(&self) -> Result<MetricsSnapshot, ApiError> {
        Ok(self.snapshot())
    }
}
