//! What nodes tell each other, and what becomes of it.

mod bytes;
mod nonsense;
mod placing;
mod selecting;

use std::{collections::HashMap, sync::Arc};

use adc_common::abi::{
    Addr4, Addr6, Addr16, BackendId, FlowEntry, FlowFlags, FlowKey, ForwardingMode, Hop,
    InterfaceId, Mac, Phase, Port, Protocol, ServiceKey, Tick, Tuple, VlanId,
};

use super::{
    names::{BackendFacts, BackendName, Directory, ServiceFacts},
    place::Store,
    record::{Family, FlowRecord},
};
use crate::dataplane::{DataplaneError, Inserted};

const CLIENT: Addr4 = Addr4([192, 0, 2, 7]);
const VIP: Addr4 = Addr4([203, 0, 113, 10]);
const LOCAL: Addr4 = Addr4([10, 0, 0, 200]);
const SERVER: Addr4 = Addr4([10, 0, 0, 11]);
const NOW: Tick = Tick::from_secs(10_000);
const TIMEOUT: Tick = Tick::from_secs(300);
const BACKEND: BackendId = BackendId(7);

/// Of an IPv6 service.
const BACKEND6: BackendId = BackendId(70);

/// A table in memory.
#[derive(Default)]
struct Table<A> {
    entries: HashMap<FlowKey<A>, FlowEntry<A>>,
    room: Option<usize>,
}

impl<A: Family> Store<A> for Table<A> {
    fn get(&self, key: &FlowKey<A>) -> Result<Option<FlowEntry<A>>, DataplaneError> {
        Ok(self.entries.get(key).copied())
    }

    fn insert(
        &mut self,
        key: &FlowKey<A>,
        entry: &FlowEntry<A>,
    ) -> Result<Inserted, DataplaneError> {
        if self.entries.contains_key(key) {
            return Ok(Inserted::Exists);
        }
        if self.room.is_some_and(|room| self.entries.len() >= room) {
            return Ok(Inserted::Full);
        }
        self.entries.insert(*key, *entry);
        Ok(Inserted::Yes)
    }

    fn update(&mut self, key: &FlowKey<A>, entry: &FlowEntry<A>) -> Result<bool, DataplaneError> {
        let known = self.entries.contains_key(key);
        if known {
            self.entries.insert(*key, *entry);
        }
        Ok(known)
    }

    fn remove(&mut self, key: &FlowKey<A>) -> Result<(), DataplaneError> {
        self.entries.remove(key);
        Ok(())
    }
}

impl<A: Family> Table<A> {
    /// Every entry's other one is there and points back.
    fn assert_whole(&self) {
        for (key, entry) in &self.entries {
            let other = FlowKey::new(entry.other, key.protocol);
            let other = self.entries.get(&other).expect("half a flow");
            assert_eq!(other.other, key.tuple);
        }
    }
}

fn tuple(src: Addr4, sport: u16, dst: Addr4, dport: u16) -> Tuple<Addr4> {
    Tuple {
        src,
        dst,
        sport: Port::new(sport),
        dport: Port::new(dport),
    }
}

/// A `full-nat` flow from `port` of the client, by `local` of the local address.
fn flow(port: u16, local: u16, idle: u32) -> FlowRecord<Addr4> {
    FlowRecord {
        client: tuple(CLIENT, port, VIP, 80),
        server: tuple(SERVER, 8080, LOCAL, local),
        protocol: Protocol::TCP,
        phase: Phase::ESTABLISHED,
        flags: FlowFlags(0),
        forward_fin: false,
        reply_fin: false,
        hop: Hop {
            mac: Mac([2, 0, 0, 0, 0, 9]),
            vlan: VlanId(5),
            inner_vlan: VlanId(0),
            interface: InterfaceId(3),
        },
        backend: BACKEND,
        idle: Tick::from_secs(idle),
    }
}

/// The IPv6 address that stands for an IPv4 address.
fn six(address: Addr4) -> Addr6 {
    let [a, b, c, d] = address.0;
    Addr6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d])
}

/// The same flow over IPv6.
fn flow6(port: u16, local: u16, idle: u32) -> FlowRecord<Addr6> {
    let flow = flow(port, local, idle);
    let six = |tuple: Tuple<Addr4>| Tuple {
        src: six(tuple.src),
        dst: six(tuple.dst),
        sport: tuple.sport,
        dport: tuple.dport,
    };
    FlowRecord {
        client: six(flow.client),
        server: six(flow.server),
        protocol: flow.protocol,
        phase: flow.phase,
        flags: flow.flags,
        forward_fin: flow.forward_fin,
        reply_fin: flow.reply_fin,
        hop: flow.hop,
        backend: BACKEND6,
        idle: flow.idle,
    }
}

fn backend6_name() -> BackendName {
    let wide = |address| Addr16(six(address).0);
    BackendName {
        service: ServiceKey::new(wide(VIP), Port::new(80), Protocol::TCP),
        address: wide(SERVER),
        port: Port::new(8080),
    }
}

fn backend_name() -> BackendName {
    BackendName {
        service: ServiceKey::new(VIP.into(), Port::new(80), Protocol::TCP),
        address: SERVER.into(),
        port: Port::new(8080),
    }
}

fn facts(mode: ForwardingMode, carried: bool) -> BackendFacts {
    let service = ServiceFacts {
        mode,
        snat: vec![Addr16::from(LOCAL)],
        timeouts: [TIMEOUT; Phase::CAPACITY],
        carried,
    };
    BackendFacts {
        name: backend_name(),
        service: Arc::new(service),
    }
}

fn directory(carried: bool) -> Directory {
    let facts = facts(ForwardingMode::FULL_NAT, carried);
    let facts6 = BackendFacts {
        name: backend6_name(),
        service: Arc::new(ServiceFacts {
            snat: vec![Addr16(six(LOCAL).0)],
            ..(*facts.service).clone()
        }),
    };
    Directory::new(
        [(BACKEND, facts), (BACKEND6, facts6)].into(),
        [(InterfaceId(3), "eth0".into())].into(),
    )
}
