//! Services.

use super::{
    backend,
    layout::{Column, bytes, fields, span, table},
};
use crate::{
    api::proto::{Origin, ServiceSummary, ServiceView},
    model::{Hash, Scheduler},
};

pub(in crate::cli) fn services(services: &[ServiceView]) -> String {
    if services.is_empty() {
        return "no services\n".into();
    }
    let summaries: Vec<_> = services.iter().map(ServiceSummary::from).collect();
    summary_table(&summaries)
}

pub(super) fn summary_table(services: &[ServiceSummary]) -> String {
    let columns = [
        Column::Text("SERVICE"),
        Column::Text("VIP"),
        Column::Number("PORT"),
        Column::Text("PROTOCOL"),
        Column::Text("POOL"),
        Column::Number("AVAILABLE"),
        Column::Number("FLOWS"),
        Column::Number("SCHEDULED"),
        Column::Number("FORWARD"),
        Column::Number("REPLY"),
    ];
    let row = |s: &ServiceSummary| {
        vec![
            s.name.to_string(),
            s.vip.to_string(),
            s.port.to_string(),
            s.protocol.name().to_owned(),
            s.pool.to_string(),
            format!("{}/{}", s.backends_available, s.backends_total),
            s.flows.to_string(),
            s.traffic.flows_scheduled.to_string(),
            bytes(s.traffic.forward_bytes),
            bytes(s.traffic.reply_bytes),
        ]
    };
    table(&columns, services.iter().map(row))
}

pub(in crate::cli) fn service(service: &ServiceView) -> String {
    let scheduler = match service.scheduler {
        Scheduler::Maglev => "maglev",
    };
    let hash = match service.hash {
        Hash::FiveTuple => "five-tuple",
        Hash::Source => "source",
    };
    let timeouts = service.timeouts;
    let traffic = service.traffic;
    let mut text = fields(&[
        ("service", service.name.to_string()),
        ("origin", origin(service.origin).into()),
        ("vip", service.vip.to_string()),
        (
            "port",
            format!("{} {}", service.port, service.protocol.name()),
        ),
        ("mode", mode(service)),
        ("scheduler", format!("{scheduler}, hash on {hash}")),
        (
            "ping",
            if service.ping { "answered" } else { "refused" }.into(),
        ),
        (
            "timeouts",
            format!(
                "handshake {}, established {}, half-closed {}, closed {}, reset {}, udp {} / {}",
                span(timeouts.handshake.into()),
                span(timeouts.established.into()),
                span(timeouts.half_closed.into()),
                span(timeouts.closed.into()),
                span(timeouts.reset.into()),
                span(timeouts.udp_unreplied.into()),
                span(timeouts.udp_replied.into()),
            ),
        ),
        ("pool", service.pool.to_string()),
        (
            "flows",
            format!(
                "{} live, {} scheduled, {} established",
                service.flows, traffic.flows_scheduled, traffic.flows_established
            ),
        ),
        ("traffic", backend::traffic(traffic)),
    ]);
    text.push('\n');
    text + &backend::backends(&service.backends)
}

fn mode(service: &ServiceView) -> String {
    let mut words = vec![service.mode.name().to_owned()];
    if !service.snat.is_empty() {
        let addresses: Vec<_> = service.snat.iter().map(ToString::to_string).collect();
        words.push(format!("from {}", addresses.join(", ")));
    }
    if let Some(version) = service.proxy_protocol {
        words.push(format!("with PROXY protocol {}", version.name()));
    }
    words.join(" ")
}

pub(super) const fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::File => "file",
        Origin::Runtime => "runtime edit, not in the file",
    }
}
