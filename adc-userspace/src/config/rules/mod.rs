//! What must hold between the parts of a configuration, whether they come from the file or from
//! runtime edits. Pure; every broken rule is reported, not only the first.

mod address;
mod bfd;
mod ha;
mod ha_sync;
mod mode;
mod monitors;
mod place;
mod ports;
mod uniqueness;
mod virtual_mac;
mod wire;

#[cfg(test)]
mod port_tests;
#[cfg(test)]
mod tests;

pub(super) use self::place::{Breach, Place};

use std::collections::BTreeSet;

use self::address::address_fault;
use super::{bounds, error::Fault, words::closest};
use crate::model::{Backend, Config, MonitorName, Pool, PoolName, Service, ServiceName};

/// Every rule that `config` breaks; empty = valid.
pub(super) fn check(config: &Config) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (name, pool) in &config.pools {
        check_pool(name, pool, config, &mut breaches);
    }
    for (name, service) in &config.services {
        check_service(name, service, config, &mut breaches);
    }
    ports::check(config, &mut breaches);
    uniqueness::check(config, &mut breaches);
    ha::check(config, &mut breaches);
    ha_sync::check(config, &mut breaches);
    virtual_mac::check(config, &mut breaches);
    bfd::check(config, &mut breaches);
    check_totals(config, &mut breaches);
    breaches
}

fn check_pool(name: &PoolName, pool: &Pool, config: &Config, breaches: &mut Vec<Breach>) {
    for monitor in &pool.monitors {
        if !config.monitors.contains_key(monitor) {
            let fault = Fault::new("there is no monitor of this name")
                .value(monitor.as_str())
                .did_you_mean(closest(
                    monitor.as_str(),
                    config.monitors.keys().map(MonitorName::as_str),
                ));
            breaches.push(Breach::new(Place::Pool(name.clone(), "monitors"), fault));
        }
    }
    for (index, monitor) in pool.monitors.iter().enumerate() {
        if pool.monitors[..index].contains(monitor) {
            let fault = Fault::new("listed twice").value(monitor.as_str());
            breaches.push(Breach::new(Place::Pool(name.clone(), "monitors"), fault));
        }
    }
    for (backend_name, backend) in &pool.backends {
        let at = |field| Place::Backend(name.clone(), backend_name.clone(), field);
        for (field, fault) in backend_faults(backend) {
            breaches.push(Breach::new(at(field), fault));
        }
    }
}

fn backend_faults(backend: &Backend) -> Vec<(&'static str, Fault)> {
    let mut faults = Vec::new();
    if let Some(fault) = address_fault(backend.address.0, "backend") {
        faults.push(("address", fault));
    }
    if !bounds::WEIGHT.contains(&backend.weight.0) {
        let fault = Fault::new("out of range").value(backend.weight.0.to_string());
        faults.push(("weight", fault.allowed("0 to 1000")));
    }
    faults
}

fn check_service(
    name: &ServiceName,
    service: &Service,
    config: &Config,
    breaches: &mut Vec<Breach>,
) {
    let at = |field| Place::Service(name.clone(), field);
    if let Some(fault) = address_fault((service.vip, 0).into(), "VIP") {
        breaches.push(Breach::new(at("vip"), fault));
    }
    for (field, seconds) in timeouts(service) {
        if !bounds::FLOW_TIMEOUT_SECS.contains(&seconds) {
            let fault = Fault::new("out of range").value(format!("{seconds}s"));
            let place = at("timeouts");
            let fault = fault.allowed(format!("{field}: 1s to 7days"));
            breaches.push(Breach::new(place, fault));
        }
    }
    let pool = config.pools.get(&service.pool);
    mode::check(name, service, pool, breaches);
    wire::check(name, service, breaches);
    monitors::check(name, service, pool, config, breaches);
    if pool.is_some() {
        return;
    }
    let pools = config.pools.keys().map(PoolName::as_str);
    let fault = Fault::new("there is no pool of this name")
        .value(service.pool.as_str())
        .did_you_mean(closest(service.pool.as_str(), pools));
    // The pool is named so that an edit which removed it is known to be the cause.
    let cause = Place::Pool(service.pool.clone(), "");
    breaches.push(Breach::new(at("pool"), fault).caused_by(cause));
}

fn timeouts(service: &Service) -> [(&'static str, u32); 7] {
    let timeouts = &service.timeouts;
    [
        ("handshake", timeouts.handshake),
        ("established", timeouts.established),
        ("half_closed", timeouts.half_closed),
        ("closed", timeouts.closed),
        ("reset", timeouts.reset),
        ("udp_unreplied", timeouts.udp_unreplied),
        ("udp_replied", timeouts.udp_replied),
    ]
}

/// The tables must hold what the configuration asks for.
fn check_totals(config: &Config, breaches: &mut Vec<Breach>) {
    let pool_size = |s: &Service| {
        config
            .pools
            .get(&s.pool)
            .map_or(0, |pool| pool.backends.len())
    };
    let services = config.services.len();
    let backends: usize = config.services.values().map(pool_size).sum();
    let limits = &config.dataplane.limits;
    let snat: BTreeSet<_> = config.services.values().flat_map(|s| &s.snat).collect();
    let totals = [
        ("services", services, limits.services, "services"),
        (
            "services",
            snat.len().div_ceil(2),
            limits.services,
            "pairs of SNAT addresses, and there is room for one per service of the limit",
        ),
        (
            "backends",
            backends,
            limits.backends,
            "backends (a pool counts once per service that uses it)",
        ),
    ];
    for (field, count, limit, what) in totals {
        if count > limit as usize {
            let fault = Fault::new(format!("too few: the configuration has {count} {what}"));
            let fault = fault
                .value(limit.to_string())
                .allowed(format!("{count} to 65535 here, or fewer {field}"));
            breaches.push(Breach::new(Place::Limit(field), fault));
        }
    }
}
