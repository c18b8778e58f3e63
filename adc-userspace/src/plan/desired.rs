//! What the tables should hold.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    net::{IpAddr, SocketAddr},
};

use adc_common::abi::{
    Addr16, BackendFlags, ForwardingMode, GroupSlot, HashOn, Hop, MAX_SNAT_ADDRESSES, Phase, Port,
    ServiceEntry, ServiceKey, Tick,
};

use super::groups::groups_of;
use crate::model::{
    BackendAddress, Config, GroupName, Hash, Mode, MssClamp, OnDown, Pool, PoolName, Ports,
    ProxyProtocol, Service, ServiceName, Timeouts, Tunnel, Weight,
};

/// Effective weight of each backend of each pool: what is left of the configured one after admin state and
/// health. A backend that is missing gets no new flows.
pub type EffectiveWeights = BTreeMap<(PoolName, BackendAddress), Weight>;

/// Next hop towards each backend address. An address that is missing is not resolved.
pub type Hops = BTreeMap<IpAddr, Hop>;

/// Backends that are down by what their monitors say.
pub type Down = BTreeSet<(PoolName, BackendAddress)>;

/// Everything that should be in the tables, without ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Services by VIP, port and protocol.
    pub services: BTreeMap<ServiceKey, DesiredService>,
    /// Next hops of these backends and of those that drain out.
    pub hops: Hops,
    /// Local addresses that the routes to backends prefer, by backend address: outer sources of tunnels.
    pub sources: BTreeMap<IpAddr, IpAddr>,
    /// Flags of backends that are down and whose flows are to leave them, by service.
    pub down: BTreeMap<(ServiceKey, SocketAddr), BackendFlags>,
    /// Addresses of each HA group.
    pub groups: BTreeMap<GroupName, BTreeSet<Addr16>>,
}

/// One service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredService {
    /// For people to read.
    pub name: ServiceName,
    /// Content of its slot, but for its HA group's.
    pub entry: ServiceEntry,
    /// Whether its VIP may answer echo requests.
    pub ping: bool,
    /// How packets are wrapped; `None` in the modes that do not.
    pub tunnel: Option<Tunnel>,
    /// Effective weight by address and port.
    pub backends: BTreeMap<SocketAddr, Weight>,
}

/// Makes table contents of a configuration.
///
/// `hops` should also have the addresses of [`super::Observed::addresses`].
pub fn desired(config: &Config, weights: &EffectiveWeights, hops: &Hops) -> Desired {
    let mut services = BTreeMap::new();
    for (name, service) in &config.services {
        // Two services with one key are refused by validation; here, the first name would win.
        if let Entry::Vacant(place) = services.entry(key_of(service)) {
            let pool = config.pools.get(&service.pool);
            place.insert(DesiredService {
                name: name.clone(),
                entry: entry_of(service),
                ping: service.ping,
                tunnel: service.mode.is_tunnel().then(|| service.tunnel.clone()),
                backends: pool.map_or_else(BTreeMap::new, |pool| {
                    backends_of(&service.pool, pool, weights)
                }),
            });
        }
    }
    Desired {
        services,
        hops: hops
            .iter()
            .map(|(address, hop)| (address.to_canonical(), *hop))
            .collect(),
        sources: BTreeMap::new(),
        down: BTreeMap::new(),
        groups: groups_of(config),
    }
}

impl Desired {
    /// Takes the flows of these backends from them, where their pool says so.
    #[must_use]
    pub fn with_down(mut self, config: &Config, down: &Down) -> Self {
        for service in config.services.values() {
            let on_down = config.pools.get(&service.pool).map(|pool| pool.on_down);
            let flag = match on_down {
                Some(OnDown::Reset) => BackendFlags::DOWN_RESET,
                Some(OnDown::Reselect) => BackendFlags::DOWN_RESELECT,
                Some(OnDown::Keep) | None => continue,
            };
            let of_pool = down.iter().filter(|(pool, _)| *pool == service.pool);
            self.down
                .extend(of_pool.map(|(_, address)| ((key_of(service), identity(*address)), flag)));
        }
        self
    }
}

/// The tables hold address and port only: no scope, and a v4-mapped address is IPv4.
fn identity(address: BackendAddress) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn backends_of(
    name: &PoolName,
    pool: &Pool,
    weights: &EffectiveWeights,
) -> BTreeMap<SocketAddr, Weight> {
    let mut key = None;
    let mut weight_of = |address: BackendAddress| {
        let key = key.get_or_insert_with(|| (name.clone(), address));
        key.1 = address;
        weights.get(key).copied().unwrap_or(Weight(0))
    };
    pool.backends
        .values()
        .map(|backend| {
            let address = backend.address;
            (identity(address), weight_of(address))
        })
        .collect()
}

/// What a service is known by in the tables.
pub fn key_of(service: &Service) -> ServiceKey {
    let protocol = service.protocol.number();
    let vip = service.vip.into();
    match service.port {
        Ports::One(port) => ServiceKey::new(vip, Port::new(port), protocol),
        Ports::Range { first, last } => {
            ServiceKey::range(vip, Port::new(first), Port::new(last), protocol)
        }
        Ports::Any => ServiceKey::range(vip, Port::new(0), Port::new(u16::MAX), protocol),
    }
}

fn entry_of(service: &Service) -> ServiceEntry {
    let key = key_of(service);
    let mut entry = ServiceEntry {
        key,
        mode: match service.mode {
            Mode::Nat => ForwardingMode::NAT,
            Mode::FullNat => ForwardingMode::FULL_NAT,
            Mode::DsrL2 => ForwardingMode::DSR_L2,
            Mode::DsrIpip => ForwardingMode::DSR_IPIP,
            Mode::DsrGue => ForwardingMode::DSR_GUE,
        },
        hash_on: match service.hash {
            Hash::FiveTuple => HashOn::FIVE_TUPLE,
            Hash::Source => HashOn::SOURCE,
        },
        snat_v4: 0,
        snat_v6: 0,
        hash_seed: hash_seed(key),
        timeouts: ticks(&service.timeouts),
        snat: [Addr16::UNSET; MAX_SNAT_ADDRESSES],
        mss_clamp: match service.mss_clamp {
            MssClamp::Off => 0,
            MssClamp::Auto => ServiceEntry::MSS_OF_MTU,
            MssClamp::Bytes(bytes) => bytes,
        },
        proxy_protocol: match service.proxy_protocol {
            None => 0,
            Some(ProxyProtocol::V2) => 1,
        },
        group: GroupSlot(0),
        _pad: [0; 4],
    };
    // In order, IPv4 first: so two nodes with one configuration number them alike.
    for (slot, address) in entry.snat.iter_mut().zip(&service.snat) {
        *slot = Addr16::from(*address);
        let count = match address {
            IpAddr::V4(_) => &mut entry.snat_v4,
            IpAddr::V6(_) => &mut entry.snat_v6,
        };
        *count = count.saturating_add(1);
    }
    entry
}

/// The seed depends on the VIP alone: the same on every node, and the same for all services of a
/// VIP, so that with `hash = "source"` a client finds the same backend of a pool on every port.
/// FNV-1a, 32 bits.
fn hash_seed(key: ServiceKey) -> u32 {
    key.vip.0.iter().fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

fn ticks(timeouts: &Timeouts) -> [Tick; Phase::CAPACITY] {
    let mut ticks = [Tick(0); Phase::CAPACITY];
    for (phase, seconds) in [
        (Phase::SYN_SENT, timeouts.handshake),
        (Phase::SYN_RECEIVED, timeouts.handshake),
        (Phase::ESTABLISHED, timeouts.established),
        (Phase::HALF_CLOSED, timeouts.half_closed),
        (Phase::CLOSED, timeouts.closed),
        (Phase::RESET, timeouts.reset),
        (Phase::UNREPLIED, timeouts.udp_unreplied),
        (Phase::REPLIED, timeouts.udp_replied),
        // Not answered yet, so no more trusted than a handshake.
        (Phase::PICKED_UP, timeouts.handshake),
        // The client is as good as that of an established flow.
        (Phase::PREFACED, timeouts.established),
    ] {
        if let Some(tick) = ticks.get_mut(usize::from(phase.0)) {
            *tick = Tick::from_secs(seconds);
        }
    }
    ticks
}
