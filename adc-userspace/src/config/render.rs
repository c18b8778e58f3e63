//! A configuration as TOML, with every value spelt out.

use std::{path::Path, time::Duration};

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use super::words::{MonitorType, Words};
use crate::model::{
    Backend, BackendName, BodyMatch, Config, Dataplane, HttpCheck, Monitor, MonitorKind,
    MonitorName, MssClamp, Pool, Ports, Service, StatusRange, Timeouts, Tunnel,
};

/// Writes `config` as TOML that reads back as the same configuration.
pub fn render(config: &Config) -> String {
    let mut document = DocumentMut::new();
    document["node"] = table([
        ("name", value(&config.node.name)),
        ("state_dir", path(&config.node.state_dir)),
        ("run_dir", path(&config.node.run_dir)),
    ]);
    document["dataplane"] = dataplane(&config.dataplane);
    let listen = config.telemetry.listen;
    let listen = listen.map_or_else(|| "off".to_owned(), |listen| listen.to_string());
    document["metrics"] = table([("listen", value(listen))]);
    document["monitor"] = named(
        config
            .monitors
            .iter()
            .map(|(n, m)| (n.as_str(), monitor(m))),
    );
    document["pool"] = named(config.pools.iter().map(|(n, p)| (n.as_str(), pool(p))));
    document["service"] = named(
        config
            .services
            .iter()
            .map(|(n, s)| (n.as_str(), service(s))),
    );
    if !config.ha.is_empty() {
        document["ha"] = super::render_ha::ha(&config.ha);
    }
    if let Some(announce) = &config.announce {
        document["announce"] = super::render_announce::announce(announce);
    }
    if !config.bfd.is_empty() {
        document["bfd"] = super::render_bfd::sessions(&config.bfd);
    }
    document.to_string()
}

fn dataplane(dataplane: &Dataplane) -> Item {
    let limits = &dataplane.limits;
    let vip_interface = dataplane.vip_interface.as_deref();
    table([
        ("interfaces", strings(&dataplane.interfaces)),
        ("attach", value(dataplane.attach.word())),
        ("pin_path", path(&dataplane.pin_path)),
        ("vip_interface", value(vip_interface.unwrap_or("none"))),
        ("self_check", number(dataplane.self_check)),
        (
            "limits",
            table([
                ("flows_v4", number(limits.flows_v4)),
                ("flows_v6", number(limits.flows_v6)),
                ("half_open_v4", number(limits.half_open_v4)),
                ("half_open_v6", number(limits.half_open_v6)),
                ("services", number(limits.services)),
                ("backends", number(limits.backends)),
            ]),
        ),
    ])
}

fn monitor(monitor: &Monitor) -> Item {
    let kind = match &monitor.kind {
        MonitorKind::Tcp => MonitorType::Tcp,
        MonitorKind::Icmp => MonitorType::Icmp,
        MonitorKind::Http(check) if check.tls.is_some() => MonitorType::Https,
        MonitorKind::Http(_) => MonitorType::Http,
        MonitorKind::Bfd(check) => {
            return table([
                ("type", value(MonitorType::Bfd.word())),
                ("interval", duration(monitor.interval)),
                ("multiplier", number(check.multiplier)),
            ]);
        }
    };
    let mut entries = vec![
        ("type", value(kind.word())),
        ("interval", duration(monitor.interval)),
        ("timeout", duration(monitor.timeout)),
        ("rise", number(monitor.rise)),
        ("fall", number(monitor.fall)),
        ("jitter", value(format!("{}%", monitor.jitter_percent))),
        ("initial", value(monitor.initial.word())),
    ];
    entries.extend(monitor.port.map(|port| ("port", number(port))));
    if monitor.send_proxy {
        entries.push(("send_proxy", value(true)));
    }
    match &monitor.kind {
        MonitorKind::Tcp | MonitorKind::Icmp | MonitorKind::Bfd(_) => {}
        MonitorKind::Http(check) => entries.extend(http_check(check)),
    }
    table(entries)
}

fn http_check(check: &HttpCheck) -> Vec<(&'static str, Item)> {
    let mut entries = vec![
        ("method", value(&check.method)),
        ("path", value(&check.path)),
        (
            "status",
            value(check.status.iter().copied().map(status).collect::<Array>()),
        ),
    ];
    entries.extend(check.host.as_ref().map(|host| ("host", value(host))));
    entries.extend(check.body.as_ref().map(|body| match body {
        BodyMatch::Text(text) => ("body", value(text)),
        BodyMatch::Regex(pattern) => ("body_regex", value(pattern)),
    }));
    if let Some(tls) = &check.tls {
        entries.push(("tls_verify", value(tls.verify)));
        entries.extend(tls.sni.as_ref().map(|sni| ("sni", value(sni))));
        entries.extend(tls.ca_file.as_ref().map(|file| ("ca_file", path(file))));
    }
    entries
}

fn status(range: StatusRange) -> Value {
    if range.first == range.last {
        i64::from(range.first).into()
    } else {
        format!("{}-{}", range.first, range.last).into()
    }
}

fn pool(pool: &Pool) -> Item {
    let backends: ArrayOfTables = pool.backends.iter().map(backend).collect();
    let monitors = pool.monitors.iter().map(MonitorName::as_str);
    let mut entries = vec![
        ("monitors", value(monitors.collect::<Array>())),
        ("on_down", value(pool.on_down.word())),
    ];
    if !backends.is_empty() {
        entries.push(("backends", backends.into()));
    }
    table(entries)
}

fn backend((name, backend): (&BackendName, &Backend)) -> Table {
    Table::from_iter([
        ("name", value(name.as_str())),
        ("address", value(backend.address.to_string())),
        ("weight", number(backend.weight.0)),
        ("admin", value(backend.admin.word())),
    ])
}

fn service(service: &Service) -> Item {
    let mut entries = vec![
        ("vip", value(service.vip.to_string())),
        ("port", ports(service.port)),
        ("protocol", value(service.protocol.word())),
        ("pool", value(service.pool.as_str())),
        ("mode", value(service.mode.word())),
        ("scheduler", value(service.scheduler.word())),
        ("hash", value(service.hash.word())),
        ("ping", value(service.ping)),
        ("timeouts", timeouts(&service.timeouts)),
    ];
    if !service.snat.is_empty() {
        let addresses = service.snat.iter().map(ToString::to_string);
        entries.push(("snat", value(addresses.collect::<Array>())));
    }
    if service.tunnel.port != Tunnel::DEFAULT_PORT {
        entries.push(("tunnel_port", number(service.tunnel.port)));
    }
    if !service.tunnel.source.is_empty() {
        let addresses = service.tunnel.source.iter().map(ToString::to_string);
        entries.push(("tunnel_source", value(addresses.collect::<Array>())));
    }
    match service.mss_clamp {
        MssClamp::Off => {}
        MssClamp::Auto => entries.push(("mss_clamp", value("auto"))),
        MssClamp::Bytes(bytes) => entries.push(("mss_clamp", number(bytes))),
    }
    if let Some(version) = service.proxy_protocol {
        entries.push(("proxy_protocol", value(version.name())));
    }
    table(entries)
}

fn ports(ports: Ports) -> Item {
    match ports {
        Ports::One(port) => number(port),
        Ports::Range { .. } | Ports::Any => value(ports.to_string()),
    }
}

fn timeouts(timeouts: &Timeouts) -> Item {
    let seconds = |seconds: u32| duration(Duration::from_secs(seconds.into()));
    table([
        ("handshake", seconds(timeouts.handshake)),
        ("established", seconds(timeouts.established)),
        ("half_closed", seconds(timeouts.half_closed)),
        ("closed", seconds(timeouts.closed)),
        ("reset", seconds(timeouts.reset)),
        ("udp_unreplied", seconds(timeouts.udp_unreplied)),
        ("udp_replied", seconds(timeouts.udp_replied)),
    ])
}

pub(super) fn table(entries: impl IntoIterator<Item = (&'static str, Item)>) -> Item {
    Item::Table(Table::from_iter(entries))
}

/// Tables `[kind.NAME]` without a `[kind]` of their own.
fn named<'a>(entries: impl Iterator<Item = (&'a str, Item)>) -> Item {
    let mut table: Table = entries.collect();
    table.set_implicit(true);
    Item::Table(table)
}

pub(super) fn strings(strings: &[String]) -> Item {
    value(strings.iter().map(String::as_str).collect::<Array>())
}

pub(super) fn path(path: &Path) -> Item {
    value(path.to_string_lossy().into_owned())
}

pub(super) fn duration(duration: Duration) -> Item {
    value(humantime::format_duration(duration).to_string())
}

pub(super) fn number(number: impl Into<i64>) -> Item {
    value(number.into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::{super::samples, render};
    use crate::config::parse;

    proptest! {
        #[test]
        fn what_is_rendered_reads_back_as_the_same_configuration(config in samples::config()) {
            let text = render(&config);
            match parse(&text, Path::new("rendered")) {
                Ok(again) => prop_assert_eq!(again, config),
                Err(errors) => prop_assert!(false, "{}\n{}", errors, text),
            }
        }
    }
}
