//! What the agent would write into the tables.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use adc_common::abi::{
    Addr16, BackendEntry, BackendFlags, BackendId, ForwardingMode, GroupSlot, HashOn, Hop,
    IndexFlags, InterfaceEntry, InterfaceId, LeaseEntry, Mac, Phase, Port, Protocol, RING_SLOTS,
    ServiceEntry, ServiceId, ServiceKey, Tick, VlanId,
};

use crate::packets::{MacAddress, Tag};

/// How a neighbour is reached: the two ends of a wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Our interface.
    pub interface: InterfaceId,
    /// Its MAC.
    pub near: MacAddress,
    /// The neighbour's MAC.
    pub far: MacAddress,
    /// VLAN tags of frames on it, outer first.
    pub tags: Vec<Tag>,
}

/// Table contents, by the id that the agent would give out.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// `INTERFACES` and `INTERFACE_INDEX`.
    pub interfaces: BTreeMap<InterfaceId, InterfaceEntry>,
    /// `SERVICE_INDEX`, and `SERVICE_RANGES` by the service's own key.
    pub index: BTreeMap<ServiceKey, ServiceId>,
    /// `SERVICES`.
    pub services: BTreeMap<ServiceId, ServiceEntry>,
    /// `RINGS`: backends take the slots in turn.
    pub rings: BTreeMap<ServiceId, Vec<BackendId>>,
    /// `BACKENDS`.
    pub backends: BTreeMap<BackendId, BackendEntry>,
    /// `LEASES`.
    pub leases: BTreeMap<GroupSlot, LeaseEntry>,
    /// `GROUP_VIPS`.
    pub group_vips: BTreeMap<Addr16, GroupSlot>,
}

impl Contents {
    /// Adds an interface, attached and up.
    pub fn interface(&mut self, id: InterfaceId, mac: MacAddress) {
        // Never 1, which is loopback, through which test runs arrive.
        let entry = InterfaceEntry::new(u32::from(id.0) + 100, 1500, Mac(mac.0));
        self.interfaces.insert(id, entry);
    }

    /// Adds a service without backends, and its VIP.
    pub fn service(&mut self, vip: SocketAddr, protocol: Protocol) -> ServiceId {
        let id = ServiceId(u16::try_from(self.services.len()).expect("few services") + 1);
        let address = Addr16::from(vip.ip());
        let key = ServiceKey::new(address, Port::new(vip.port()), protocol);
        self.index
            .insert(ServiceKey::vip_marker(address), ServiceId(0));
        self.index.insert(key, id);
        let entry = ServiceEntry {
            key,
            mode: ForwardingMode::NAT,
            hash_on: HashOn::FIVE_TUPLE,
            hash_seed: 7,
            timeouts: timeouts(),
            ..ServiceEntry::default()
        };
        self.services.insert(id, entry);
        self.rings.insert(id, Vec::new());
        id
    }

    /// Adds a service with many ports, without backends, and its VIP; 0 to 65 535 = any port.
    pub fn range(&mut self, vip: IpAddr, ports: (u16, u16), protocol: Protocol) -> ServiceId {
        let id = self.service(SocketAddr::new(vip, ports.0), protocol);
        let entry = self.services.get_mut(&id).expect("service");
        self.index.remove(&entry.key);
        entry.key.last_port = Port::new(ports.1);
        self.index.insert(entry.key, id);
        id
    }

    /// The flags of an entry of `SERVICE_INDEX`.
    pub fn index_flags(&self, key: &ServiceKey) -> IndexFlags {
        let ranged = |other: &ServiceKey| other.vip == key.vip && other.ports().is_some();
        if *key == ServiceKey::vip_marker(key.vip) && self.index.keys().any(ranged) {
            IndexFlags::RANGES
        } else {
            IndexFlags::default()
        }
    }

    /// Makes a service send from these addresses, IPv4 first.
    ///
    /// # Panics
    /// If there is no such service, or it can not have so many.
    pub fn full_nat(&mut self, service: ServiceId, addresses: &[IpAddr]) {
        let entry = self.services.get_mut(&service).expect("service");
        entry.mode = ForwardingMode::FULL_NAT;
        let count = |v4: bool| addresses.iter().filter(|a| a.is_ipv4() == v4).count();
        entry.snat_v4 = u8::try_from(count(true)).expect("few addresses");
        entry.snat_v6 = u8::try_from(count(false)).expect("few addresses");
        for (slot, address) in entry.snat.iter_mut().zip(addresses) {
            *slot = Addr16::from(*address);
            self.index
                .insert(ServiceKey::snat_marker(*slot), ServiceId(0));
        }
    }

    /// Adds a backend that is up, behind `link`.
    pub fn backend(&mut self, service: ServiceId, address: SocketAddr, link: &Link) -> BackendId {
        let id = BackendId(u16::try_from(self.backends.len()).expect("few backends") + 1);
        let entry = BackendEntry {
            address: Addr16::from(address.ip()),
            port: Port::new(address.port()),
            service,
            hop: link.hop(),
            flags: BackendFlags::HOP_RESOLVED,
            ..BackendEntry::default()
        };
        self.backends.insert(id, entry);
        self.rings.get_mut(&service).expect("service").push(id);
        id
    }

    /// All slots of a service's ring.
    pub fn slots(&self, service: ServiceId) -> Vec<BackendId> {
        match self.rings.get(&service).map(Vec::as_slice) {
            None | Some([]) => vec![BackendId(0); RING_SLOTS],
            Some(turns) => turns.iter().copied().cycle().take(RING_SLOTS).collect(),
        }
    }
}

impl Link {
    /// As the agent writes it.
    pub fn hop(&self) -> Hop {
        let vlan = |n: usize| {
            self.tags.get(n).map_or(VlanId::NONE, |tag| {
                VlanId::of(tag.vlan, VlanId::kind_of(tag.tpid).expect("a TPID"))
            })
        };
        Hop {
            mac: Mac(self.far.0),
            vlan: vlan(0),
            inner_vlan: vlan(1),
            interface: self.interface,
        }
    }
}

/// Idle timeouts, in seconds: all over the 8 s below which the walk does not look, and all different.
pub const TIMEOUTS: [(Phase, u32); Phase::COUNT] = [
    (Phase::SYN_SENT, 20),
    (Phase::SYN_RECEIVED, 25),
    (Phase::ESTABLISHED, 7200),
    (Phase::HALF_CLOSED, 3600),
    (Phase::CLOSED, 15),
    (Phase::RESET, 10),
    (Phase::UNREPLIED, 30),
    (Phase::REPLIED, 120),
    (Phase::PICKED_UP, 40),
    (Phase::PREFACED, 7200),
];

fn timeouts() -> [Tick; Phase::CAPACITY] {
    let mut timeouts = [Tick(0); Phase::CAPACITY];
    for (phase, seconds) in TIMEOUTS {
        timeouts[phase.index()] = Tick::from_secs(seconds);
    }
    timeouts
}
