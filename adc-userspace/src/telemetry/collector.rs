//! A snapshot as OpenMetrics text.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text},
    registry::Registry,
};

use super::{MetricsSnapshot, announce, families::Families, ha, heartbeat, snat, sync};
use crate::{
    api::proto::{BackendView, ReasonKind, ServiceView, Traffic},
    model::{AdminState, AttachMode, Health},
};

/// Renders `snapshot` as OpenMetrics 1.0 text.
pub(super) fn render(snapshot: MetricsSnapshot) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(SnapshotCollector(Arc::new(snapshot))));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct SnapshotCollector(Arc<MetricsSnapshot>);

impl Collector for SnapshotCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Families(encoder);
        let snapshot = &*self.0;
        node(&mut out, snapshot)?;
        services(&mut out, &snapshot.services)?;
        backends(&mut out, &snapshot.backends)?;
        backend_traffic(&mut out, &snapshot.services)?;
        snat::render(&mut out, &snapshot.snat)?;
        checks(&mut out, &snapshot.backends)?;
        packets(&mut out, snapshot)?;
        flow_tables(&mut out, snapshot)?;
        self_checks(&mut out, snapshot)?;
        held_fragments(&mut out, snapshot)?;
        ha::render(&mut out, &snapshot.ha)?;
        heartbeat::render(&mut out, snapshot.ha.heartbeat.as_ref())?;
        sync::render(&mut out, snapshot.ha.sync.as_ref())?;
        announce::render(&mut out, &snapshot.announcements)
    }
}

fn node(out: &mut Families<'_>, snapshot: &MetricsSnapshot) -> fmt::Result {
    out.info(
        "adc_build",
        "The agent: constant 1, facts in the labels.",
        vec![
            ("version", snapshot.version.clone()),
            ("node", snapshot.node.clone()),
        ],
    )?;
    out.single(
        "adc_start_time_seconds",
        "When the agent started, Unix time.",
        unix_seconds(snapshot.started.0),
    )?;
    let modes = snapshot.interfaces.iter().flat_map(|interface| {
        [AttachMode::Native, AttachMode::Skb].map(|mode| {
            let name = match mode {
                AttachMode::Native => "native",
                AttachMode::Skb => "skb",
            };
            let labels = [("interface", interface.name.as_str()), ("mode", name)];
            (labels, u32::from(interface.mode == mode))
        })
    });
    out.gauge(
        "adc_xdp_attach_mode",
        "How the program is attached: 1 for the mode in use.",
        modes,
    )?;
    out.single(
        "adc_config_generation",
        "Changes of the running configuration since the agent started.",
        snapshot.config_generation,
    )?;
    out.single(
        "adc_config_edits",
        "Runtime edits on top of the configuration file.",
        snapshot.config_edits,
    )?;
    out.single(
        "adc_config_last_reload_successful",
        "Whether the last reload was accepted.",
        u32::from(snapshot.last_reload_successful),
    )?;
    out.single(
        "adc_config_last_reload_success_timestamp_seconds",
        "When a reload was last accepted, Unix time.",
        unix_seconds(snapshot.last_reload_success.0),
    )
}

fn services(out: &mut Families<'_>, services: &[ServiceView]) -> fmt::Result {
    let label = |service: &ServiceView| [("service", service.name.to_string())];
    out.gauge(
        "adc_service_up",
        "Whether a backend of the service gets new flows.",
        services
            .iter()
            .map(|s| (label(s), u32::from(s.available() > 0))),
    )?;
    let counts = services.iter().flat_map(|service| {
        let available = service.available();
        let unavailable = service.backends.len() - available;
        [("available", available), ("unavailable", unavailable)].map(|(state, count)| {
            let labels = [("service", service.name.as_str()), ("state", state)];
            (labels, count)
        })
    });
    out.gauge(
        "adc_service_backends",
        "Backends of the service, by whether they get new flows.",
        counts,
    )?;
    out.gauge(
        "adc_service_flows",
        "Live flows of the service.",
        services.iter().map(|s| (label(s), s.flows)),
    )?;
    let rows: Vec<_> = services.iter().map(|s| (label(s), s.traffic)).collect();
    traffic(out, "adc_service", "the service", &rows)
}

/// The six traffic counters of services and of backends, labelled alike.
fn traffic<const N: usize>(
    out: &mut Families<'_>,
    prefix: &str,
    whose: &str,
    rows: &[([(&'static str, String); N], Traffic)],
) -> fmt::Result {
    let scheduled = rows.iter().map(|(l, t)| (&l[..], t.flows_scheduled));
    out.counter(
        &format!("{prefix}_flows_scheduled"),
        &format!("New flows scheduled to {whose}."),
        scheduled,
    )?;
    let established = rows.iter().map(|(l, t)| (&l[..], t.flows_established));
    out.counter(
        &format!("{prefix}_flows_established"),
        &format!("Flows of {whose} whose handshake or first reply was seen."),
        established,
    )?;
    let directed = |forward: fn(&Traffic) -> u64, reply: fn(&Traffic) -> u64| {
        rows.iter().flat_map(move |(labels, t)| {
            [("forward", forward(t)), ("reply", reply(t))].map(|(direction, value)| {
                let mut labels = labels.to_vec();
                labels.push(("direction", direction.to_owned()));
                (labels, value)
            })
        })
    };
    out.counter(
        &format!("{prefix}_packets"),
        &format!("Packets of {whose}, forward (to backends) and reply (to clients)."),
        directed(|t| t.forward_packets, |t| t.reply_packets),
    )?;
    out.counter(
        &format!("{prefix}_bytes"),
        &format!("Bytes of {whose} with Ethernet headers, forward and reply."),
        directed(|t| t.forward_bytes, |t| t.reply_bytes),
    )?;
    out.counter(
        &format!("{prefix}_zero_windows"),
        &format!("TCP segments of {whose} that close their sender's window: a client's (forward), a backend's (reply)."),
        directed(|t| t.forward_zero_windows, |t| t.reply_zero_windows),
    )
}

fn backend_traffic(out: &mut Families<'_>, services: &[ServiceView]) -> fmt::Result {
    let each = || {
        services.iter().flat_map(|service| {
            service.backends.iter().map(move |backend| {
                let labels = [
                    ("service", service.name.to_string()),
                    ("pool", backend.pool.to_string()),
                    ("backend", backend.name.to_string()),
                ];
                (labels, backend)
            })
        })
    };
    out.gauge(
        "adc_backend_flows",
        "Live flows bound to the backend.",
        each().map(|(labels, backend)| (labels, backend.flows)),
    )?;
    let rows: Vec<_> = each().map(|(labels, b)| (labels, b.traffic)).collect();
    traffic(out, "adc_backend", "the backend", &rows)
}

fn backends(out: &mut Families<'_>, backends: &[BackendView]) -> fmt::Result {
    fn labels(backend: &BackendView) -> [(&'static str, &str); 2] {
        [
            ("pool", backend.pool.as_str()),
            ("backend", backend.name.as_str()),
        ]
    }
    let with_state = |backend, state| {
        let [pool, name] = labels(backend);
        [pool, name, ("state", state)]
    };
    let health = backends.iter().flat_map(|backend| {
        [Health::Unknown, Health::Up, Health::Down].map(|state| {
            let labels = with_state(backend, state.name());
            (labels, u32::from(backend.health.state == state))
        })
    });
    out.gauge(
        "adc_backend_health",
        "What checks say: 1 for the state it is in.",
        health,
    )?;
    let admin = backends.iter().flat_map(|backend| {
        let states = [
            AdminState::Enabled,
            AdminState::Draining,
            AdminState::Maintenance,
        ];
        states.map(|state| {
            let labels = with_state(backend, state.name());
            (labels, u32::from(backend.admin == state))
        })
    });
    out.gauge(
        "adc_backend_admin_state",
        "What people decided: 1 for the state it is in.",
        admin,
    )?;
    out.gauge(
        "adc_backend_weight",
        "Weight as set by the file or at run time.",
        backends.iter().map(|backend| {
            let set = backend.weight.runtime.unwrap_or(backend.weight.configured);
            (labels(backend), u32::from(set.0))
        }),
    )?;
    out.gauge(
        "adc_backend_effective_weight",
        "Weight in the ring; 0 gets no new flows.",
        backends
            .iter()
            .map(|b| (labels(b), u32::from(b.weight.effective.0))),
    )
}

fn checks(out: &mut Families<'_>, backends: &[BackendView]) -> fmt::Result {
    let each = || {
        backends.iter().flat_map(|backend| {
            backend.monitors.iter().map(move |monitor| {
                let labels = [
                    ("pool", backend.pool.as_str()),
                    ("backend", backend.name.as_str()),
                    ("monitor", monitor.monitor.as_str()),
                ];
                (labels, monitor)
            })
        })
    };
    out.gauge(
        "adc_check_up",
        "Whether the monitor says that the backend is up.",
        each().map(|(labels, m)| (labels, u32::from(m.health.state == Health::Up))),
    )?;
    let results = each().flat_map(|([pool, backend, monitor], view)| {
        [("success", view.succeeded), ("failure", view.failed)]
            .map(|(result, count)| ([pool, backend, monitor, ("result", result)], count))
    });
    out.counter("adc_check_results", "Checks made, by result.", results)?;
    let durations = each().filter_map(|(labels, monitor)| {
        let last = Duration::from_micros(monitor.last_micros?);
        Some((labels, last.as_secs_f64()))
    });
    out.gauge(
        "adc_check_last_duration_seconds",
        "How long the last check took.",
        durations,
    )
}

fn packets(out: &mut Families<'_>, snapshot: &MetricsSnapshot) -> fmt::Result {
    let labelled = |value: fn(&crate::api::proto::ReasonRow) -> u64| {
        snapshot.reasons.iter().map(move |row| {
            let labels = [("reason", row.reason.as_str()), ("class", row.class.name())];
            (labels, value(row))
        })
    };
    out.counter(
        "adc_packets",
        "Packets seen by the program, by what became of them and why.",
        labelled(|row| row.packets),
    )?;
    out.counter(
        "adc_bytes",
        "Bytes seen by the program with Ethernet headers, likewise.",
        labelled(|row| row.bytes),
    )?;
    let dropped = snapshot.reasons.iter().filter_map(|row| match row.class {
        ReasonKind::Dropped => Some(([("reason", row.reason.as_str())], row.packets)),
        ReasonKind::Forwarded | ReasonKind::Passed => None,
    });
    out.counter("adc_drops", "Packets dropped, by reason.", dropped)
}

fn flow_tables(out: &mut Families<'_>, snapshot: &MetricsSnapshot) -> fmt::Result {
    let tables = &snapshot.flows.tables;
    out.gauge(
        "adc_flow_table_entries",
        "Flows in the table; both directions of a flow count as one.",
        tables
            .iter()
            .map(|t| ([("table", t.table.as_str())], t.flows)),
    )?;
    out.gauge(
        "adc_flow_table_capacity",
        "Flows the table can hold.",
        tables
            .iter()
            .map(|t| ([("table", t.table.as_str())], t.capacity)),
    )?;
    let phases = snapshot.flows.phases.iter();
    out.gauge(
        "adc_flows",
        "Flows by phase.",
        phases.map(|(phase, count)| ([("phase", phase.as_str())], *count)),
    )?;
    let done = [
        ("inserted", snapshot.tables.inserted),
        ("removed", snapshot.tables.removed),
        ("refused_full", snapshot.tables.full),
        ("orphan_ignored", snapshot.tables.orphans),
    ];
    out.counter(
        "adc_flow_table_operations",
        "What the packet walk did to the flow tables.",
        done.map(|(operation, count)| ([("operation", operation)], count)),
    )
}

fn self_checks(out: &mut Families<'_>, snapshot: &MetricsSnapshot) -> fmt::Result {
    let checks = snapshot.self_checks;
    let found = [
        ("sound", checks.sound),
        ("failed", checks.failed),
        ("arrived_broken", checks.arrived_broken),
        ("not_checked", checks.not_checked),
    ];
    out.counter(
        "adc_self_check_packets",
        "Packets whose checksums were verified on their way through, by what was found.",
        found.map(|(result, count)| ([("result", result)], count)),
    )
}

fn held_fragments(out: &mut Families<'_>, snapshot: &MetricsSnapshot) -> fmt::Result {
    let held = snapshot.held_fragments;
    let ended = [
        ("resumed", held.resumed),
        ("expired", held.expired),
        ("refused", held.refused),
        ("failed", held.failed),
    ];
    out.counter(
        "adc_held_fragments",
        "Fragments that came before their first, by what became of them in the agent.",
        ended.map(|(outcome, count)| ([("outcome", outcome)], count)),
    )
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}
