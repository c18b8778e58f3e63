//! `[[bfd]]`, and monitors of type `bfd`.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use super::{
    super::{bounds, error::Fault},
    ha::interface,
    section::Section,
};
use crate::model::{BfdCheck, BfdName, BfdSession, BfdTiming, InitialState, Monitor, MonitorKind};

const PEER: &str =
    "the address of a host one hop away, such as \"192.0.2.1\", or \"fe80::1\" with an `interface`";

const LOCAL: &str = "an address of this node, of the peer's family";

/// What a monitor that probes has, and one that follows a session has not.
const PROBE_KEYS: [&str; 7] = [
    "timeout",
    "rise",
    "fall",
    "jitter",
    "initial",
    "port",
    "send_proxy",
];

pub(super) fn sessions(
    root: &Section<'_>,
    paths: &mut HashMap<BfdName, String>,
) -> BTreeMap<BfdName, BfdSession> {
    let mut sessions = BTreeMap::new();
    for table in root.tables("bfd") {
        table.require("name", "a name for the session");
        let name = table.text("name");
        let name = name.and_then(|name| table.name_at::<BfdName>(&table.key("name"), name));
        let session = session(&table);
        if let Some(name) = &name {
            if let Some(first) = paths.get(name) {
                let fault = Fault::new(format!("{first} has this name already"));
                table.fault("name", fault.value(name.as_str()));
            } else {
                paths.insert(name.clone(), table.path().to_owned());
            }
        }
        sessions.extend(name.zip(session));
        table.finish();
    }
    sessions
}

fn session(table: &Section<'_>) -> Option<BfdSession> {
    table.require("peer", PEER);
    // Everything is read before anything is given up, so that no error hides another.
    let peer = address(table, "peer", PEER);
    let local = address(table, "local", LOCAL);
    let interface = interface(table, "interface");
    let timing = timing(table);
    let passive = table.boolean("passive").unwrap_or(false);
    let peer = peer?;
    if let Some(local) = local.filter(|local| local.is_ipv4() != peer.is_ipv4()) {
        let fault = Fault::new("is not of the peer's family").value(local.to_string());
        table.fault("local", fault.allowed(LOCAL));
    }
    if is_link_local(peer) && !table.has("interface") {
        let fault = Fault::new("is link-local, so it says nothing without an interface");
        let fault = fault.value(peer.to_string());
        table.fault(
            "peer",
            fault.allowed("a global address, or an `interface` too"),
        );
    }
    Some(BfdSession {
        peer,
        interface,
        local,
        timing,
        passive,
    })
}

fn timing(table: &Section<'_>) -> BfdTiming {
    let BfdTiming {
        interval,
        multiplier,
    } = BfdTiming::DEFAULT;
    let given = table.duration("interval", bounds::BFD_INTERVAL);
    let times = table.integer("multiplier", bounds::BFD_MULTIPLIER);
    BfdTiming {
        interval: given.unwrap_or(interval),
        multiplier: times.unwrap_or(multiplier),
    }
}

/// A monitor of type `bfd`: its session's verdict counts at once.
pub(super) fn monitor(section: &Section<'_>) -> Monitor {
    for key in PROBE_KEYS {
        if section.takes_and_has(key) {
            let problem = "a bfd monitor probes nothing: its session is up or down at once; remove it, or set `interval` and `multiplier`";
            section.fault(key, Fault::new(problem));
        }
    }
    let BfdTiming {
        interval,
        multiplier,
    } = timing(section);
    Monitor {
        kind: MonitorKind::Bfd(BfdCheck { multiplier }),
        interval,
        timeout: interval,
        rise: 1,
        fall: 1,
        jitter_percent: 0,
        initial: InitialState::Down,
        port: None,
        send_proxy: false,
    }
}

/// The address of one other host, or of this one.
fn address(table: &Section<'_>, key: &'static str, allowed: &str) -> Option<IpAddr> {
    let text = table.text(key)?;
    let fault = match text.parse::<IpAddr>() {
        Err(_) => Fault::new("not an IP address"),
        Ok(address) if address.is_loopback() => {
            Fault::new("is a loopback address, which no other host reaches")
        }
        Ok(address) if address.is_multicast() || address.is_unspecified() => {
            Fault::new("not the address of one host")
        }
        Ok(address) => return Some(address.to_canonical()),
    };
    table.fault(key, fault.value(text).allowed(allowed));
    None
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
