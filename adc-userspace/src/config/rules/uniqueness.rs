//! What may be there only once.

use std::collections::HashMap;

use super::{
    super::error::Fault,
    place::{Breach, Place},
};
use crate::model::Config;

pub(super) fn check(config: &Config, breaches: &mut Vec<Breach>) {
    backends_are_listed_once(config, breaches);
    no_backend_is_a_vip(config, breaches);
    snat_addresses_are_nothing_else(config, breaches);
}

fn backends_are_listed_once(config: &Config, breaches: &mut Vec<Breach>) {
    for (pool_name, pool) in &config.pools {
        let mut seen = HashMap::new();
        for (name, backend) in &pool.backends {
            if let Some(first) = seen.insert(backend.address, name) {
                let at = |name| Place::Backend(pool_name.clone(), name, "address");
                let fault =
                    Fault::new("the same address and port as").value(backend.address.to_string());
                breaches.push(Breach::new(at(name.clone()), fault).with(at(first.clone())));
            }
        }
    }
}

/// A packet sent to a backend that is a VIP would come back to us.
fn no_backend_is_a_vip(config: &Config, breaches: &mut Vec<Breach>) {
    let vips: HashMap<_, _> = config
        .services
        .iter()
        .map(|(name, s)| (s.vip, name))
        .collect();
    for (pool_name, pool) in &config.pools {
        for (name, backend) in &pool.backends {
            if let Some(service) = vips.get(&backend.address.ip()) {
                let at = Place::Backend(pool_name.clone(), name.clone(), "address");
                let fault = Fault::new("its packets would come back to us: it is the VIP of")
                    .value(backend.address.to_string());
                let other = Place::Service((*service).clone(), "vip");
                breaches.push(Breach::new(at, fault).with(other));
            }
        }
    }
}

/// A local address is not a VIP, whose unknown ports are answered for differently, nor a backend, which is another host.
/// Services may share one: flows keep their ports apart.
fn snat_addresses_are_nothing_else(config: &Config, breaches: &mut Vec<Breach>) {
    let vips = config.services.iter();
    let vips: HashMap<_, _> = vips.map(|(name, s)| (s.vip, name)).collect();
    let backends = config.pools.iter().flat_map(|(pool_name, pool)| {
        let backends = pool.backends.iter();
        backends.map(move |(name, backend)| (backend.address.ip(), (pool_name, name)))
    });
    let backends: HashMap<_, _> = backends.collect();
    for (name, service) in &config.services {
        for address in &service.snat {
            let at = || Place::Service(name.clone(), "snat");
            if let Some(owner) = vips.get(address) {
                let problem = "packets can not be sent from here: give adc an address of its own, this one is the VIP of";
                let fault = Fault::new(problem).value(address.to_string());
                let other = Place::Service((*owner).clone(), "vip");
                breaches.push(Breach::new(at(), fault).with(other));
            }
            if let Some((pool, backend)) = backends.get(address) {
                let problem = "packets can not be sent from here: give adc an address of its own, this one is that of";
                let fault = Fault::new(problem).value(address.to_string());
                let other = Place::Backend((*pool).clone(), (*backend).clone(), "address");
                breaches.push(Breach::new(at(), fault).with(other));
            }
        }
    }
}
