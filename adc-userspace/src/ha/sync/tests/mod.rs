//! What nodes tell each other, and what becomes of it.

mod bytes;
mod placing;
mod selecting;

use std::{collections::HashMap, sync::Arc};

use adc_common::abi::{
    Addr4, Addr16, BackendId, FlowEntry, FlowFlags, FlowKey, ForwardingMode, Hop, InterfaceId, Mac,
    Phase, Port, Protocol, ServiceKey, Tick, Tuple, VlanId,
};

use super::{
    names::{BackendFacts, BackendName, Directory, ServiceFacts},
    place::Store,
    record::FlowRecord,
};
use crate::dataplane::{DataplaneError, Inserted};

const CLIENT: Addr4 = Addr4([192, 0, 2, 7]);
const VIP: Addr4 = Addr4([203, 0, 113, 10]);
const LOCAL: Addr4 = Addr4([10, 0, 0, 200]);
const SERVER: Addr4 = Addr4([10, 0, 0, 11]);
const NOW: Tick = Tick::from_secs(10_000);
const TIMEOUT: Tick = Tick::from_secs(300);
const BACKEND: BackendId = BackendId(7);

/// A table in memory.
#[derive(Default)]
struct Table {
    entries: HashMap<FlowKey<Addr4>, FlowEntry<Addr4>>,
    room: Option<usize>,
}

impl Store<Addr4> for Table {
    fn get(&self, key: &FlowKey<Addr4>) -> Result<Option<FlowEntry<Addr4>>, DataplaneError> {
        Ok(self.entries.get(key).copied())
    }

    fn insert(
        &mut self,
        key: &FlowKey<Addr4>,
        entry: &FlowEntry<Addr4>,
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

    fn update(
        &mut self,
        key: &FlowKey<Addr4>,
        entry: &FlowEntry<Addr4>,
    ) -> Result<bool, DataplaneError> {
        let known = self.entries.contains_key(key);
        if known {
            self.entries.insert(*key, *entry);
        }
        Ok(known)
    }

    fn remove(&mut self, key: &FlowKey<Addr4>) -> Result<(), DataplaneError> {
        self.entries.remove(key);
        Ok(())
    }
}

impl Table {
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
    Directory::new(
        [(BACKEND, facts)].into(),
        [(InterfaceId(3), "eth0".into())].into(),
    )
}
