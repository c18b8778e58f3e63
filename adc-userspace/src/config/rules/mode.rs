//! What each forwarding mode can do, and what it can not: each refusal says why, and what to do instead.

use std::net::IpAddr;

use super::{
    super::error::Fault,
    address::address_fault,
    place::{Breach, Place},
};
use crate::model::{Backend, BackendName, MAX_SNAT_ADDRESSES, Mode, Pool, Service, ServiceName};

/// Checks a service against the pool that it names.
pub(super) fn check(
    name: &ServiceName,
    service: &Service,
    pool: Option<&Pool>,
    breaches: &mut Vec<Breach>,
) {
    let at = |field| Place::Service(name.clone(), field);
    for fault in snat_faults(service) {
        breaches.push(Breach::new(at("snat"), fault));
    }
    let Some(pool) = pool else { return };
    check_families(name, service, pool, breaches);
    if service.mode == Mode::FullNat && !service.snat.is_empty() {
        check_snat_families(name, service, pool, breaches);
    }
    if service.mode.is_dsr() {
        check_ports(name, service, pool, breaches);
    }
}

/// What is wrong with the local addresses, whatever the backends.
fn snat_faults(service: &Service) -> Vec<Fault> {
    let mut faults = Vec::new();
    if service.mode == Mode::FullNat {
        if service.snat.is_empty() {
            let problem = "mode full-nat sends to backends from local addresses, and there are none; list some that belong to this node alone, such as snat = [\"10.2.0.100\"], or use mode nat";
            faults.push(Fault::new(problem));
        }
    } else if !service.snat.is_empty() {
        let problem = format!(
            "mode {} keeps the client's address, so it sends from no local address; remove `snat`, or set mode = \"full-nat\"",
            service.mode.name()
        );
        faults.push(Fault::new(problem).value(list(service.snat.iter())));
    }
    if service.snat.len() > MAX_SNAT_ADDRESSES {
        let fault = Fault::new("more local addresses than a service can have")
            .value(service.snat.len().to_string());
        faults.push(fault.allowed(format!("1 to {MAX_SNAT_ADDRESSES} addresses")));
    }
    let addresses = service.snat.iter();
    faults.extend(addresses.filter_map(|ip| address_fault((*ip, 0).into(), "SNAT address")));
    faults
}

fn list<'a>(addresses: impl Iterator<Item = &'a IpAddr>) -> String {
    let addresses: Vec<_> = addresses.map(ToString::to_string).collect();
    addresses.join(" ")
}

/// Why a packet for this VIP can not become one for this backend, and what to do instead; `None` if it can.
fn family_problem(mode: Mode, vip: IpAddr, backend: IpAddr) -> Option<&'static str> {
    if vip.is_ipv4() == backend.is_ipv4() {
        return None;
    }
    match mode {
        Mode::Nat => Some(
            "mode nat does not translate between families: the backend would see a client address that is not of its family",
        ),
        Mode::FullNat if vip.is_ipv4() => Some(
            "mode full-nat translates from IPv6 clients to IPv4 backends (NAT64), not the other way",
        ),
        Mode::DsrL2 => Some(
            "mode dsr-l2 sends the packet unchanged, so the backend must be reached by the family of the VIP",
        ),
        // The header is written anew, or another one stands before it.
        Mode::FullNat | Mode::DsrIpip | Mode::DsrGue => None,
    }
}

fn check_families(name: &ServiceName, service: &Service, pool: &Pool, breaches: &mut Vec<Breach>) {
    let problem = |b: &Backend| family_problem(service.mode, service.vip, b.address.ip());
    let mut bad = pool
        .backends
        .iter()
        .filter_map(|(name, b)| Some((name, b, problem(b)?)));
    let Some((backend_name, backend, problem)) = bad.next() else {
        return;
    };
    let (vip, theirs) = (family(service.vip), family(backend.address.ip()));
    let fault = Fault::new(format!(
        "{problem}: this VIP is {vip}, but {address}{more} of pool {pool} is {theirs}; give {theirs} backends a pool of their own and a service with an {theirs} VIP{or_else}; first one:",
        address = backend.address,
        more = and_more(bad.count()),
        pool = service.pool,
        or_else = if theirs == "IPv4" {
            ", or use mode full-nat"
        } else {
            ""
        },
    ));
    let at = Place::Service(name.clone(), "vip");
    let breach = Breach::new(at, fault.value(service.vip.to_string()));
    breaches.push(breach.with(backend_place(service, backend_name)));
}

/// A backend is sent to from an address of its own family.
fn check_snat_families(
    name: &ServiceName,
    service: &Service,
    pool: &Pool,
    breaches: &mut Vec<Breach>,
) {
    for v4 in [true, false] {
        if service.snat.iter().any(|ip| ip.is_ipv4() == v4) {
            continue;
        }
        let theirs = |b: &&Backend| b.address.ip().is_ipv4() == v4;
        let mut backends = pool.backends.iter().filter(|(_, b)| theirs(b));
        let Some((backend_name, backend)) = backends.next() else {
            continue;
        };
        let theirs = family(backend.address.ip());
        let fault = Fault::new(format!(
            "no local address is {theirs}, but {}{} of pool {} is; add an {theirs} address; first one:",
            backend.address,
            and_more(backends.count()),
            service.pool,
        ));
        let at = Place::Service(name.clone(), "snat");
        let breach = Breach::new(at, fault.value(list(service.snat.iter())));
        breaches.push(breach.with(backend_place(service, backend_name)));
    }
}

/// The backend answers from the very port that it was asked on, straight to the client.
fn check_ports(name: &ServiceName, service: &Service, pool: &Pool, breaches: &mut Vec<Breach>) {
    let wanted = service.port.one().unwrap_or(0);
    let differs = |b: &&Backend| b.address.port() != wanted && b.address.port() != 0;
    let mut bad = pool.backends.iter().filter(|(_, b)| differs(b));
    let Some((backend_name, backend)) = bad.next() else {
        return;
    };
    let (problem, remedy) = if let Some(port) = service.port.one() {
        (
            "has another port",
            format!("let the backends listen on port {port}"),
        )
    } else {
        ("has a port", "give address and pool no port".to_owned())
    };
    let fault = Fault::new(format!(
        "mode {} does not translate ports, because backends answer clients directly: {}{} of pool {} {problem}; {remedy}, or use mode nat or full-nat; first one:",
        service.mode.name(),
        backend.address,
        and_more(bad.count()),
        service.pool,
    ));
    let at = Place::Service(name.clone(), "port");
    let breach = Breach::new(at, fault.value(service.port.to_string()));
    breaches.push(breach.with(backend_place(service, backend_name)));
}

fn backend_place(service: &Service, backend: &BackendName) -> Place {
    Place::Backend(service.pool.clone(), backend.clone(), "address")
}

fn and_more(others: usize) -> String {
    if others == 0 {
        String::new()
    } else {
        format!(" (and {others} more)")
    }
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}
