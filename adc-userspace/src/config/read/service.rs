//! `[service.NAME]`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use super::{
    super::{bounds, error::Fault},
    section::Section,
    wire,
};
use crate::model::{
    Hash, Mode, PORTS, PoolName, Ports, Scheduler, Service, ServiceName, Timeouts,
    TransportProtocol,
};

const VIP: &str = "an IPv4 or IPv6 address without port or prefix, such as \"203.0.113.10\"";

const SNAT: &str = "an array of local addresses, such as [\"10.2.0.100\", \"fd00:2::100\"]";

pub(super) fn services(root: &Section<'_>) -> BTreeMap<ServiceName, Service> {
    let mut services = BTreeMap::new();
    for (name, section) in root.named("service") {
        let name = section.name::<ServiceName>(name);
        let service = service(&section);
        section.finish();
        services.extend(name.zip(service));
    }
    services
}

fn service(section: &Section<'_>) -> Option<Service> {
    section.require("vip", VIP);
    section.require("port", PORTS);
    section.require("pool", "the name of a pool");
    // Everything is read before anything is given up, so that no error hides another.
    let vip = vip(section);
    let port = ports(section);
    let pool = section.text("pool");
    let pool = pool.and_then(|name| section.name_at::<PoolName>(&section.key("pool"), name));
    let protocol = section.word("protocol").unwrap_or(TransportProtocol::Tcp);
    let mode = section.word("mode").unwrap_or(Mode::Nat);
    let snat = snat(section);
    let tunnel = wire::tunnel(section);
    let mss_clamp = wire::mss_clamp(section);
    let proxy_protocol = section.word("proxy_protocol");
    let scheduler = section.word("scheduler").unwrap_or(Scheduler::Maglev);
    let hash = section.word("hash").unwrap_or(Hash::FiveTuple);
    let ping = section.boolean("ping").unwrap_or(true);
    let timeouts = timeouts(section.table("timeouts"));
    Some(Service {
        vip: vip?,
        port: port?,
        protocol,
        pool: pool?,
        mode,
        snat,
        tunnel,
        mss_clamp,
        proxy_protocol,
        scheduler,
        hash,
        ping,
        timeouts,
    })
}

fn vip(section: &Section<'_>) -> Option<IpAddr> {
    let text = section.text("vip")?;
    let vip = text.parse().ok();
    if vip.is_none() {
        let fault = Fault::new("not an IP address").value(text);
        section.fault("vip", fault.allowed(VIP));
    }
    vip
}

/// A number, or text that says which.
fn ports(section: &Section<'_>) -> Option<Ports> {
    if !section.is_text("port") {
        return section.integer("port", bounds::PORT).map(Ports::One);
    }
    let text = section.text("port")?;
    let fault = match text.parse::<Ports>() {
        Ok(Ports::One(_)) => Fault::new("is of type string").value(format!("\"{text}\"")),
        Ok(ports) => return Some(ports),
        Err(problem) => Fault::new(problem.to_string()).value(text),
    };
    section.fault("port", fault.allowed(PORTS));
    None
}

fn snat(section: &Section<'_>) -> BTreeSet<IpAddr> {
    let mut addresses = BTreeSet::new();
    for (path, text) in section.texts("snat", SNAT) {
        match text.parse::<IpAddr>() {
            Err(_) => {
                let fault = Fault::new("not an IP address").value(text);
                section.fault_at(&path, fault.allowed(VIP));
            }
            Ok(address) if !addresses.insert(address) => {
                section.fault_at(&path, Fault::new("listed twice").value(text));
            }
            Ok(_) => {}
        }
    }
    addresses
}

fn timeouts(section: Section<'_>) -> Timeouts {
    let default = Timeouts::default();
    let timeouts = Timeouts {
        handshake: seconds(&section, "handshake", default.handshake),
        established: seconds(&section, "established", default.established),
        half_closed: seconds(&section, "half_closed", default.half_closed),
        closed: seconds(&section, "closed", default.closed),
        reset: seconds(&section, "reset", default.reset),
        udp_unreplied: seconds(&section, "udp_unreplied", default.udp_unreplied),
        udp_replied: seconds(&section, "udp_replied", default.udp_replied),
    };
    section.finish();
    timeouts
}

fn seconds(section: &Section<'_>, key: &'static str, default: u32) -> u32 {
    let of = |secs: &u32| Duration::from_secs(u64::from(*secs));
    let bounds = bounds::FLOW_TIMEOUT_SECS;
    let Some(given) = section.duration(key, of(bounds.start())..=of(bounds.end())) else {
        return default;
    };
    if given.subsec_nanos() != 0 {
        let shown = humantime::format_duration(given).to_string();
        let fault = Fault::new("not a whole number of seconds").value(shown);
        section.fault(key, fault.allowed("whole seconds, such as \"30s\""));
    }
    u32::try_from(given.as_secs()).unwrap_or(default)
}
