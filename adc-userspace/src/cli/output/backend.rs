//! Backends and pools.

use std::{collections::BTreeMap, time::SystemTime};

use super::{
    layout::{Column, bytes, fields, span, table, weight},
    service::origin,
};
use crate::{
    api::proto::{BackendView, HealthView, Traffic},
    model::{Pool, PoolName},
};

pub(in crate::cli) fn backends(backends: &[BackendView]) -> String {
    if backends.is_empty() {
        return "no backends\n".into();
    }
    let columns = [
        Column::Text("POOL"),
        Column::Text("BACKEND"),
        Column::Text("ADDRESS"),
        Column::Text("ADMIN"),
        Column::Text("HEALTH"),
        Column::Number("WEIGHT"),
        Column::Number("EFFECTIVE"),
        Column::Number("FLOWS"),
        Column::Number("SCHEDULED"),
        Column::Number("FORWARD"),
        Column::Number("REPLY"),
        Column::Text("WHY"),
    ];
    let row = |b: &BackendView| {
        vec![
            b.pool.to_string(),
            b.name.to_string(),
            b.address.to_string(),
            b.admin.name().to_owned(),
            b.health.state.name().to_owned(),
            weight(b.weight.configured, b.weight.runtime),
            b.weight.effective.0.to_string(),
            b.flows.to_string(),
            b.traffic.flows_scheduled.to_string(),
            bytes(b.traffic.forward_bytes),
            bytes(b.traffic.reply_bytes),
            b.weight.reason.clone(),
        ]
    };
    let mut text = table(&columns, backends.iter().map(row));
    if backends.iter().any(BackendView::differs_from_file) {
        text.push_str("\nSome differ from the file: `adc config diff` shows how.\n");
    }
    text
}

pub(in crate::cli) fn backend(backend: &BackendView) -> String {
    let admin = match backend.admin_in_file {
        Some(file) => format!("{} (file: {})", backend.admin.name(), file.name()),
        None => backend.admin.name().into(),
    };
    let traffic_seen = backend.traffic;
    let mut text = fields(&[
        ("backend", backend.name.to_string()),
        ("pool", backend.pool.to_string()),
        ("origin", origin(backend.origin).into()),
        ("address", backend.address.to_string()),
        (
            "weight",
            weight(backend.weight.configured, backend.weight.runtime),
        ),
        (
            "effective",
            format!("{}: {}", backend.weight.effective.0, backend.weight.reason),
        ),
        ("admin", admin),
        ("health", health(&backend.health)),
        (
            "flows",
            format!(
                "{} live, {} scheduled, {} established",
                backend.flows, traffic_seen.flows_scheduled, traffic_seen.flows_established
            ),
        ),
        ("traffic", traffic(traffic_seen)),
    ]);
    if backend.monitors.is_empty() {
        text.push_str("\nNo monitor checks it.\n");
        return text;
    }
    let columns = [
        Column::Text("MONITOR"),
        Column::Text("KIND"),
        Column::Number("OK"),
        Column::Number("FAILED"),
        Column::Number("TOOK"),
        Column::Text("HEALTH"),
    ];
    let rows = backend.monitors.iter().map(|m| {
        let took = m.last_micros.map_or_else(
            || "-".into(),
            |micros| format!("{}.{:03} ms", micros / 1000, micros % 1000),
        );
        vec![
            m.monitor.to_string(),
            m.kind.clone(),
            m.succeeded.to_string(),
            m.failed.to_string(),
            took,
            health(&m.health),
        ]
    });
    text.push('\n');
    text + &table(&columns, rows)
}

pub(super) fn traffic(traffic: Traffic) -> String {
    let carried = format!(
        "forward {} packets, {}; reply {} packets, {}",
        traffic.forward_packets,
        bytes(traffic.forward_bytes),
        traffic.reply_packets,
        bytes(traffic.reply_bytes),
    );
    match (traffic.forward_zero_windows, traffic.reply_zero_windows) {
        (0, 0) => carried,
        (clients, backends) => {
            format!("{carried}; zero windows {clients} of clients, {backends} of backends")
        }
    }
}

fn health(health: &HealthView) -> String {
    let since = health.since.map_or_else(String::new, |since| {
        format!(" for {}", span(since.age(SystemTime::now()).as_secs()))
    });
    let detail = if health.detail.is_empty() {
        String::new()
    } else {
        format!(": {}", health.detail)
    };
    format!("{}{since}{detail}", health.state.name())
}

pub(in crate::cli) fn pools(pools: &BTreeMap<PoolName, Pool>) -> String {
    if pools.is_empty() {
        return "no pools\n".into();
    }
    let columns = [
        Column::Text("POOL"),
        Column::Number("BACKENDS"),
        Column::Text("MONITORS"),
        Column::Text("ON DOWN"),
    ];
    let rows = pools.iter().map(|(name, pool)| {
        let monitors: Vec<_> = pool.monitors.iter().map(ToString::to_string).collect();
        let monitors = if monitors.is_empty() {
            "none".into()
        } else {
            monitors.join(", ")
        };
        let (backends, on_down) = (pool.backends.len(), pool.on_down.name());
        vec![
            name.to_string(),
            backends.to_string(),
            monitors,
            on_down.to_owned(),
        ]
    });
    table(&columns, rows)
}
