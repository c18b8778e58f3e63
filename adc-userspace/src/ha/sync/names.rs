//! What ids stand for. They are a node's own: backend 7 here may be backend 3 there. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use adc_common::abi::{
    Addr16, BackendId, ForwardingMode, InterfaceId, Phase, Port, Protocol, ServiceKey, Tick,
};

/// Bytes of a backend's name.
const BACKEND: usize = 2 + NAME;
/// Bytes of what is the same on both nodes.
const NAME: usize = 16 + 2 + 2 + 1 + 16 + 2;
/// Longest name of an interface (`IFNAMSIZ` less the terminating zero).
const MAX_INTERFACE: usize = 15;

/// What a backend is called on both nodes: service and address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BackendName {
    /// Its service.
    pub service: ServiceKey,
    /// Its address.
    pub address: Addr16,
    /// Its port; 0 = that of the packet.
    pub port: Port,
}

/// A service, as far as its flows go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFacts {
    /// How packets reach its backends.
    pub mode: ForwardingMode,
    /// `full-nat`: the local addresses.
    pub snat: Vec<Addr16>,
    /// Idle timeouts by phase.
    pub timeouts: [Tick; Phase::CAPACITY],
    /// Whether this node answers for the VIP: it is in no HA group, or in one that this node has.
    pub carried: bool,
}

/// A backend of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendFacts {
    /// Its name.
    pub name: BackendName,
    /// Its service.
    pub service: Arc<ServiceFacts>,
}

/// What ids of this node stand for, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    backends: BTreeMap<BackendId, BackendFacts>,
    by_name: HashMap<BackendName, BackendId>,
    interfaces: BTreeMap<InterfaceId, String>,
}

impl Directory {
    /// Of these backends and interfaces.
    pub fn new(
        backends: BTreeMap<BackendId, BackendFacts>,
        interfaces: BTreeMap<InterfaceId, String>,
    ) -> Self {
        let by_name = backends.iter().map(|(id, facts)| (facts.name, *id));
        Self {
            by_name: by_name.collect(),
            backends,
            interfaces,
        }
    }

    /// A backend by its id.
    pub fn backend(&self, id: BackendId) -> Option<&BackendFacts> {
        self.backends.get(&id)
    }

    /// A backend by its name.
    pub fn backend_named(&self, name: &BackendName) -> Option<BackendId> {
        self.by_name.get(name).copied()
    }

    /// Whether this node answers for a backend's VIP that it did not answer for `before`.
    pub fn carries_more_than(&self, before: &Self) -> bool {
        let mut backends = self.backends.iter();
        backends.any(|(id, facts)| {
            let was = before.backends.get(id);
            facts.service.carried && was.is_some_and(|was| !was.service.carried)
        })
    }

    /// Every interface.
    pub fn interfaces(&self) -> impl Iterator<Item = (InterfaceId, &str)> {
        let interfaces = self.interfaces.iter();
        interfaces.map(|(id, name)| (*id, name.as_str()))
    }

    /// An interface by its name.
    pub fn interface_named(&self, name: &str) -> Option<InterfaceId> {
        let mut interfaces = self.interfaces();
        interfaces.find(|(_, own)| *own == name).map(|(id, _)| id)
    }
}

/// What ids of the other node stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Backends.
    pub backends: HashMap<BackendId, BackendName>,
    /// Interfaces.
    pub interfaces: HashMap<InterfaceId, String>,
}

impl Names {
    /// Appends a backend: 0, id, VIP, first and last port, protocol, address, port.
    pub fn write_backend(id: BackendId, name: &BackendName, to: &mut Vec<u8>) {
        to.push(0);
        to.extend_from_slice(&id.0.to_be_bytes());
        to.extend_from_slice(&name.service.vip.0);
        to.extend_from_slice(&name.service.port.0);
        to.extend_from_slice(&name.service.last_port.0);
        to.push(name.service.protocol.0);
        to.extend_from_slice(&name.address.0);
        to.extend_from_slice(&name.port.0);
    }

    /// Appends an interface: 1, id, length of the name, name.
    pub fn write_interface(id: InterfaceId, name: &str, to: &mut Vec<u8>) {
        let name = name.as_bytes();
        let length = name.len().min(MAX_INTERFACE);
        to.push(1);
        to.extend_from_slice(&id.0.to_be_bytes());
        to.push(u8::try_from(length).unwrap_or(0));
        to.extend(name.iter().take(length));
    }

    /// Takes in what another node wrote; false if it is not that, and then some of it may have been taken in.
    pub fn read(&mut self, mut bytes: &[u8]) -> bool {
        while let Some((kind, rest)) = bytes.split_first() {
            let next = match kind {
                0 => self.read_backend(rest),
                1 => self.read_interface(rest),
                _ => None,
            };
            let Some(next) = next else { return false };
            bytes = next;
        }
        true
    }

    fn read_backend<'b>(&mut self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let (fixed, rest) = bytes.split_first_chunk::<BACKEND>()?;
        let (id, name) = fixed.split_first_chunk::<2>()?;
        let (vip, name) = name.split_first_chunk::<16>()?;
        let [p0, p1, l0, l1, protocol, address @ .., b0, b1] = name else {
            return None;
        };
        let address = address.try_into().ok()?;
        let service = ServiceKey::range(
            Addr16(*vip),
            Port([*p0, *p1]),
            Port([*l0, *l1]),
            Protocol(*protocol),
        );
        let name = BackendName {
            service,
            address: Addr16(address),
            port: Port([*b0, *b1]),
        };
        self.backends
            .insert(BackendId(u16::from_be_bytes(*id)), name);
        Some(rest)
    }

    fn read_interface<'b>(&mut self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let ([i0, i1, length], rest) = bytes.split_first_chunk::<3>()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        let name = std::str::from_utf8(name).ok()?;
        if name.is_empty() || name.len() > MAX_INTERFACE {
            return None;
        }
        let id = InterfaceId(u16::from_be_bytes([*i0, *i1]));
        self.interfaces.insert(id, name.to_owned());
        Some(rest)
    }
}
