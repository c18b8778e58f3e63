//! Ports of services, and of the backends behind them.

use std::collections::{BTreeMap, HashMap};

use super::{
    super::error::Fault,
    place::{Breach, Place},
};
use crate::model::{
    Config, Monitor, MonitorKind, PORTS, Pool, PoolName, Ports, Service, ServiceName,
};

pub(super) fn check(config: &Config, breaches: &mut Vec<Breach>) {
    for (name, service) in &config.services {
        if let Err(problem) = service.port.check() {
            let fault = Fault::new(problem.to_string()).value(service.port.to_string());
            let at = Place::Service(name.clone(), "port");
            breaches.push(Breach::new(at, fault.allowed(PORTS)));
        } else if let Some(pool) = config.pools.get(&service.pool) {
            one_port_needs_backends_with_one(name, service, pool, breaches);
        }
    }
    for (name, pool) in &config.pools {
        monitors_know_a_port(name, pool, config, breaches);
    }
    services_do_not_overlap(config, breaches);
}

/// A packet for one port of a VIP has to be told which port of the backend that is.
fn one_port_needs_backends_with_one(
    name: &ServiceName,
    service: &Service,
    pool: &Pool,
    breaches: &mut Vec<Breach>,
) {
    if service.port.one().is_none() {
        return;
    }
    let without = pool
        .backends
        .iter()
        .filter(|(_, b)| b.address.keeps_ports());
    for (backend_name, backend) in without {
        let fault = Fault::new("has no port, and neither has the pool, but one is needed by a service with a single port: give it one; needed by")
            .value(backend.address.to_string());
        let at = Place::Backend(service.pool.clone(), backend_name.clone(), "address");
        breaches.push(Breach::new(at, fault).with(Place::Service(name.clone(), "port")));
    }
}

/// A probe goes to some port.
fn monitors_know_a_port(name: &PoolName, pool: &Pool, config: &Config, breaches: &mut Vec<Breach>) {
    let mut without = pool
        .backends
        .iter()
        .filter(|(_, b)| b.address.keeps_ports());
    let Some((backend_name, backend)) = without.next() else {
        return;
    };
    let asks = |monitor: &Monitor| match monitor.kind {
        MonitorKind::Icmp | MonitorKind::Bfd(_) => false,
        MonitorKind::Tcp | MonitorKind::Http(_) => monitor.port.is_none(),
    };
    for monitor_name in &pool.monitors {
        if !config.monitors.get(monitor_name).is_some_and(asks) {
            continue;
        }
        let fault = Fault::new(format!(
            "probes the backend's own port, and {} has none; give the monitor a `port`, or use one of type icmp or bfd; first backend without:",
            backend.address
        ));
        let at = Place::Pool(name.clone(), "monitors");
        let other = Place::Backend(name.clone(), backend_name.clone(), "address");
        breaches.push(Breach::new(at, fault.value(monitor_name.as_str())).with(other));
    }
}

/// Services of one VIP and protocol. A single port may lie in a range, and both beside a service with any port: the
/// narrower counts.
fn services_do_not_overlap(config: &Config, breaches: &mut Vec<Breach>) {
    let mut same = HashMap::new();
    let mut ranges = BTreeMap::new();
    for (name, service) in &config.services {
        let (vip, ports, protocol) = (service.vip, service.port, service.protocol);
        if let Some(first) = same.insert((vip, ports, protocol), name) {
            let problem = "the same VIP, port and protocol as";
            breaches.push(clash(name, service, problem, first));
        } else if let Ports::Range { first, .. } = ports {
            ranges.insert((vip, protocol, first, name), service);
        }
    }
    // By first port: who begins before the range that reaches furthest so far has ended has ports in common with it.
    let mut furthest: Option<(&ServiceName, &Service)> = None;
    for ((vip, protocol, first, name), service) in ranges {
        let rival = furthest.filter(|(_, rival)| {
            rival.vip == vip && rival.protocol == protocol && rival.port.ends().1 >= first
        });
        if let Some((rival, _)) = rival {
            let problem = "has ports in common with the range of another service; let ranges end before others begin. The other is";
            breaches.push(clash(name, service, problem, rival));
        }
        if rival.is_none_or(|(_, rival)| rival.port.ends().1 < service.port.ends().1) {
            furthest = Some((name, service));
        }
    }
}

fn clash(name: &ServiceName, service: &Service, problem: &str, other: &ServiceName) -> Breach {
    let (vip, ports) = (service.vip, service.port);
    let place = if vip.is_ipv4() {
        format!("{vip}:{ports}")
    } else {
        format!("[{vip}]:{ports}")
    };
    let fault = Fault::new(problem).value(format!("{place} {}", service.protocol.name()));
    let key = if problem.starts_with("the same") {
        "vip"
    } else {
        "port"
    };
    let at = Place::Service(name.clone(), key);
    Breach::new(at, fault).with(Place::Service(other.clone(), key))
}
