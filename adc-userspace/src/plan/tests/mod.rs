//! Plans, checked change by change.

mod down;
mod full_nat;
mod groups;
mod identity;
mod lifecycle;
mod order;
mod ranges;
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use adc_common::abi::{BackendId, Hop, InterfaceId, Mac, ServiceId, ServiceKey, VlanId};

use super::{Desired, EffectiveWeights, Hops, Observed, Plan, desired, diff};
use crate::model::{
    AdminState, AttachMode, Backend, BackendAddress, Config, Dataplane, Ha, Hash, Limits, Mode,
    MssClamp, Node, OnDown, Pool, PoolName, Scheduler, Service, Telemetry, Timeouts,
    TransportProtocol, Tunnel, Weight,
};

fn limits() -> Limits {
    Limits::default()
}

/// A configuration with nothing to balance.
fn empty_config() -> Config {
    Config {
        node: Node {
            name: "lb1".into(),
            state_dir: "/var/lib/adc".into(),
            run_dir: "/run/adc".into(),
        },
        dataplane: Dataplane {
            interfaces: vec!["eth0".into()],
            attach: AttachMode::Native,
            pin_path: "/sys/fs/bpf/adc".into(),
            vip_interface: None,
            self_check: 0,
            limits: limits(),
        },
        telemetry: Telemetry { listen: None },
        ha: Ha::default(),
        announce: None,
        bfd: BTreeMap::new(),
        monitors: BTreeMap::new(),
        pools: BTreeMap::new(),
        services: BTreeMap::new(),
    }
}

/// A TCP service with default parameters.
fn service(place: &str, pool: &str) -> Service {
    let (vip, ports) = place.rsplit_once(':').expect("an address and ports");
    let vip = vip.trim_start_matches('[').trim_end_matches(']');
    Service {
        vip: vip.parse().expect("an address"),
        port: ports.parse().expect("ports"),
        protocol: TransportProtocol::Tcp,
        pool: name(pool),
        mode: Mode::Nat,
        snat: BTreeSet::new(),
        tunnel: Tunnel::default(),
        mss_clamp: MssClamp::Off,
        proxy_protocol: None,
        scheduler: Scheduler::Maglev,
        hash: Hash::FiveTuple,
        ping: true,
        timeouts: Timeouts::default(),
    }
}

fn pool(backends: &[(&str, u16)]) -> Pool {
    let backends = backends.iter().map(|(address, weight)| {
        let backend = Backend {
            address: BackendAddress(address.parse().expect("an address and port")),
            weight: Weight(*weight),
            admin: AdminState::Enabled,
        };
        (address.parse().expect("a name"), backend)
    });
    Pool {
        monitors: Vec::new(),
        on_down: OnDown::default(),
        backends: backends.collect(),
    }
}

fn name(name: &str) -> PoolName {
    name.parse().expect("a name")
}

/// A configuration of these services (name, place, pool) and pools.
fn config(services: &[(&str, &str, &str)], pools: &[(&str, &[(&str, u16)])]) -> Config {
    Config {
        services: services
            .iter()
            .map(|(name, place, pool)| (name.parse().expect("a name"), service(place, pool)))
            .collect(),
        pools: pools
            .iter()
            .map(|(pool_name, backends)| (name(pool_name), pool(backends)))
            .collect(),
        ..empty_config()
    }
}

/// Configured weights, as if every backend were up.
fn all_up(config: &Config) -> EffectiveWeights {
    let backends = config.pools.iter().flat_map(|(name, pool)| {
        let backends = pool.backends.values();
        backends.map(|backend| ((name.clone(), backend.address), backend.weight))
    });
    backends.collect()
}

fn hop(last_byte: u8) -> Hop {
    Hop {
        mac: Mac([2, 0, 0, 0, 0, last_byte]),
        vlan: VlanId::NONE,
        inner_vlan: VlanId::NONE,
        interface: InterfaceId(1),
    }
}

/// A next hop for every backend of `config`.
fn all_resolved(config: &Config) -> Hops {
    let backends = config
        .pools
        .values()
        .flat_map(|pool| pool.backends.values());
    backends
        .map(|backend| (backend.address.ip(), hop(1)))
        .collect()
}

/// What `config` asks for with every backend up and resolved.
fn wanted(config: &Config) -> Desired {
    desired(config, &all_up(config), &all_resolved(config))
}

fn plan(desired: &Desired, observed: &Observed) -> Plan {
    diff(desired, observed, &limits()).expect("enough ids")
}

fn apply(plan: &Plan, tables: &mut Observed) {
    for change in &plan.changes {
        tables.record(change);
    }
}

/// Tables that hold `desired`, nothing else, and no flow.
fn tables_of(desired: &Desired) -> Observed {
    let mut tables = Observed {
        backends_with_flows: Some(BTreeSet::new()),
        ..Observed::default()
    };
    apply(&plan(desired, &tables), &mut tables);
    tables
}

fn id_of(tables: &Observed, key: ServiceKey) -> ServiceId {
    tables.index[&key]
}

fn backend_id(tables: &Observed, service: ServiceId, address: &str) -> BackendId {
    let address: SocketAddr = address.parse().expect("an address and port");
    *tables
        .backends
        .iter()
        .find(|(_, entry)| entry.service == service && super::observed::identity(entry) == address)
        .expect("a backend with this address")
        .0
}

/// The key of a TCP service.
fn key(place: &str) -> ServiceKey {
    let place: SocketAddr = place.parse().expect("an address and port");
    let port = adc_common::abi::Port::new(place.port());
    ServiceKey::new(place.ip().into(), port, adc_common::abi::Protocol::TCP)
}

fn ip(address: &str) -> IpAddr {
    address.parse().expect("an address")
}
