//! `[node]`, `[dataplane]` and `[metrics]`.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use super::{
    super::{bounds, error::Fault},
    section::Section,
};
use crate::model::{AttachMode, Dataplane, Limits, Node, Telemetry};

/// Where metrics are served if the file says nothing.
const METRICS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9551);

pub(super) fn node(section: Section<'_>, default_name: &str) -> Node {
    let node = Node {
        name: node_name(&section).unwrap_or_else(|| default_name.to_owned()),
        state_dir: absolute_path(&section, "state_dir").unwrap_or("/var/lib/adc".into()),
        run_dir: absolute_path(&section, "run_dir").unwrap_or("/run/adc".into()),
    };
    section.finish();
    node
}

fn node_name(section: &Section<'_>) -> Option<String> {
    let name = section.text("name")?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(allowed) {
        return Some(name.to_owned());
    }
    let fault = Fault::new("not a node name").value(name);
    section.fault(
        "name",
        fault.allowed("1 to 64 letters, digits, `.`, `_`, `-`"),
    );
    None
}

pub(super) fn absolute_path(section: &Section<'_>, key: &'static str) -> Option<PathBuf> {
    let text = section.text(key)?;
    if text.starts_with('/') && !text.contains('\0') {
        return Some(text.into());
    }
    let fault = Fault::new("not an absolute path").value(text);
    section.fault(key, fault.allowed("a path that starts with /"));
    None
}

pub(super) fn dataplane(section: Section<'_>) -> Dataplane {
    let interfaces = interfaces(&section);
    let vip_interface = match section.text("vip_interface") {
        None => interfaces.first().cloned(),
        Some("none") => None,
        Some(name) => {
            if let Some(fault) = interface_fault(name) {
                section.fault("vip_interface", fault);
            }
            Some(name.to_owned())
        }
    };
    let dataplane = Dataplane {
        interfaces,
        attach: section.word("attach").unwrap_or(AttachMode::Native),
        pin_path: absolute_path(&section, "pin_path").unwrap_or("/sys/fs/bpf/adc".into()),
        vip_interface,
        self_check: section
            .integer("self_check", bounds::SELF_CHECK)
            .unwrap_or(0),
        limits: limits(section.table("limits")),
    };
    section.finish();
    dataplane
}

fn interfaces(section: &Section<'_>) -> Vec<String> {
    let expected = "an array with the names of 1 to 63 network interfaces, such as [\"eth0\"]";
    section.require("interfaces", expected);
    let given = section.texts("interfaces", expected);
    if section.is_empty_array("interfaces") {
        section.fault("interfaces", Fault::new("is empty").allowed(expected));
    }
    if given.len() > bounds::MAX_INTERFACES {
        let fault = Fault::new(format!("{} interfaces are too many", given.len()));
        section.fault("interfaces", fault.allowed(expected));
    }
    let mut seen = BTreeSet::new();
    for (path, name) in &given {
        if let Some(fault) = interface_fault(name) {
            section.fault_at(path, fault);
        } else if !seen.insert(*name) {
            section.fault_at(path, Fault::new("listed twice").value(name));
        }
    }
    given.into_iter().map(|(_, name)| name.to_owned()).collect()
}

/// What is wrong with an interface name, by the rules of the kernel's `dev_valid_name`.
pub(super) fn interface_fault(name: &str) -> Option<Fault> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || "/:".contains(c);
    let problem = if name.len() > bounds::MAX_INTERFACE_NAME {
        "too long for an interface name"
    } else if name.is_empty() || name == "." || name == ".." || name.contains(bad) {
        "not an interface name"
    } else {
        return None;
    };
    let allowed = "1 to 15 bytes without `/`, `:` or white space; `ip link` lists the names";
    Some(Fault::new(problem).value(name).allowed(allowed))
}

fn limits(section: Section<'_>) -> Limits {
    let default = Limits::default();
    let flows = |key, default| section.integer(key, bounds::FLOWS).unwrap_or(default);
    let ids = |key, default| section.integer(key, bounds::IDS).unwrap_or(default);
    let limits = Limits {
        flows_v4: flows("flows_v4", default.flows_v4),
        flows_v6: flows("flows_v6", default.flows_v6),
        half_open_v4: flows("half_open_v4", default.half_open_v4),
        half_open_v6: flows("half_open_v6", default.half_open_v6),
        services: ids("services", default.services),
        backends: ids("backends", default.backends),
    };
    section.finish();
    limits
}

pub(super) fn telemetry(section: Section<'_>) -> Telemetry {
    let listen = match section.text("listen") {
        None => Some(METRICS_LISTEN),
        Some("off") => None,
        Some(text) => {
            let listen = text.parse::<SocketAddr>();
            if let Some(problem) = listen_problem(listen.as_ref().ok()) {
                let allowed = "a loopback address with a port, such as \"127.0.0.1:9551\" or \"[::1]:9551\", or \"off\"";
                let fault = Fault::new(problem).value(text);
                section.fault("listen", fault.allowed(allowed));
            }
            listen.ok()
        }
    };
    section.finish();
    Telemetry { listen }
}

fn listen_problem(listen: Option<&SocketAddr>) -> Option<&'static str> {
    match listen {
        None => Some("not an IP address with a port"),
        Some(listen) if listen.port() == 0 => Some("port 0 is no port"),
        Some(listen) if !listen.ip().is_loopback() => Some(
            "metrics are served without TLS, so only to this machine; put a proxy with TLS in front of it to scrape from elsewhere",
        ),
        Some(_) => None,
    }
}
