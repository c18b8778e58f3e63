//! The walk on the host.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

use adc_common::{
    abi::{BackendId, FlowEntry, FlowFlags, HalfOpenEntry, InterfaceId, RangeKey, ServiceId, Tick},
    datapath::{Action, process_checked},
    host::{FlowMaps, HostClock, HostPacket, HostTables},
};

use super::{Arrival, Contents, Counters, Exit, Flows, Walk};

/// `process()` over hash maps.
pub struct HostWalk {
    tables: HostTables,
    clock: HostClock,
    /// Interfaces that a redirect went to, to be checked against the MAC that was written.
    redirected: Option<InterfaceId>,
    /// Room before frames that come in, if it is not what XDP guarantees.
    headroom: Option<usize>,
    /// What the rings were made of.
    turns: BTreeMap<ServiceId, Vec<BackendId>>,
}

impl Default for HostWalk {
    fn default() -> Self {
        Self {
            tables: HostTables::default(),
            // Any time will do; close to the wrap, so that it is crossed.
            clock: HostClock::at(Tick(u32::MAX - 1_000_000)),
            redirected: None,
            headroom: None,
            turns: BTreeMap::new(),
        }
    }
}

impl HostWalk {
    /// The interface of the last redirect.
    pub fn redirected(&self) -> Option<InterfaceId> {
        self.redirected
    }

    /// From now on drivers leave so many bytes before a frame.
    pub fn leave_headroom(&mut self, bytes: usize) {
        self.headroom = Some(bytes);
    }

    /// From now on the half-open tables take so many entries more, and none is evicted for the next; until flows are
    /// poured away.
    pub fn take_half_open(&mut self, more: usize) {
        let (v4, v6) = (&mut self.tables.v4, &mut self.tables.v6);
        v4.half_open_capacity = v4.half_open.get_mut().len() + more;
        v6.half_open_capacity = v6.half_open.get_mut().len() + more;
    }
}

impl Walk for HostWalk {
    fn name(&self) -> &'static str {
        "host"
    }

    fn pour(&mut self, contents: &Contents) {
        self.tables.v4 = FlowMaps::default();
        self.tables.v6 = FlowMaps::default();
        self.tables.snat_cursors = RefCell::default();
        self.reload(contents);
    }

    fn reload(&mut self, contents: &Contents) {
        let tables = &mut self.tables;
        let index = contents.index.iter().map(|(key, id)| (*key, *id));
        let (ranges, index): (HashMap<_, _>, HashMap<_, _>) =
            index.partition(|(key, _)| key.ports().is_some());
        tables.ranges = (ranges.iter())
            .flat_map(|(key, id)| RangeKey::of_service(key).map(|range| (range, *id)))
            .collect();
        tables.index = index;
        tables.services = contents.services.iter().map(|(k, v)| (*k, *v)).collect();
        tables.backends = contents.backends.iter().map(|(k, v)| (*k, *v)).collect();
        tables.interfaces = contents.interfaces.iter().map(|(k, v)| (*k, *v)).collect();
        tables.leases = contents.leases.iter().map(|(k, v)| (*k, *v)).collect();
        tables.group_vips = contents.group_vips.iter().map(|(k, v)| (*k, *v)).collect();
        // Rings are long and rarely change.
        tables.rings.retain(|id, _| contents.rings.contains_key(id));
        for (id, turns) in &contents.rings {
            if self.turns.get(id) != Some(turns) {
                tables.rings.insert(*id, contents.slots(*id));
            }
        }
        self.turns.clone_from(&contents.rings);
    }

    fn arrive(&mut self, frame: &[u8], interface: InterfaceId) -> Option<Arrival> {
        let ifindex = self
            .tables
            .interfaces
            .get(&interface)
            .map_or(u32::MAX, |entry| entry.ifindex);
        let mut packet = HostPacket::new(frame.to_vec(), ifindex);
        if let Some(headroom) = self.headroom {
            packet = packet.with_headroom(headroom);
        }
        let verdict = process_checked(&mut packet, &self.tables, &self.clock, 1);
        let failed = self.tables.self_checks.borrow().failed;
        assert_eq!(
            failed,
            0,
            "a checksum became wrong on the way: {frame:02x?} left as {:02x?}",
            packet.bytes()
        );
        self.redirected = None;
        let exit = match verdict.action {
            Action::Pass => Exit::Pass,
            Action::Drop => Exit::Drop,
            Action::Transmit => Exit::Transmit,
            Action::Redirect(to) => {
                self.redirected = Some(to);
                Exit::Redirect
            }
        };
        Some(Arrival {
            exit,
            frame: packet.bytes().to_vec(),
        })
    }

    fn counters(&mut self) -> Counters {
        let mut counters = Counters {
            table: *self.tables.table_counters.borrow(),
            ..Counters::default()
        };
        for (reason, counted) in self.tables.reason_counters.borrow().iter() {
            counters.add_reason(*reason, *counted);
        }
        for (id, counted) in self.tables.backend_counters.borrow().iter() {
            counters.add_backend(*id, counted);
        }
        counters
    }

    fn flows(&mut self) -> Flows {
        Flows {
            main4: timeless(&self.tables.v4.flows.borrow(), without_time),
            main6: timeless(&self.tables.v6.flows.borrow(), without_time),
            half4: timeless(&self.tables.v4.half_open.borrow(), half_without_time),
            half6: timeless(&self.tables.v6.half_open.borrow(), half_without_time),
        }
    }

    fn age(&mut self, seconds: u32) {
        self.clock.advance_secs(seconds);
    }

    fn evict(&mut self, answers: bool) {
        let (v4, v6) = (&self.tables.v4.half_open, &self.tables.v6.half_open);
        let is_answer = |flags: FlowFlags| flags.contains(FlowFlags::REPLY);
        v4.borrow_mut()
            .retain(|_, half| is_answer(half.flow.flags) != answers);
        v6.borrow_mut()
            .retain(|_, half| is_answer(half.flow.flags) != answers);
    }

    fn fill(&mut self, spare: usize) {
        self.tables.v4.capacity = self.tables.v4.flows.borrow().len() + spare;
        self.tables.v6.capacity = self.tables.v6.flows.borrow().len() + spare;
    }
}

fn timeless<K: Copy + Eq + Hash, V: Copy>(map: &HashMap<K, V>, strip: fn(V) -> V) -> HashMap<K, V> {
    map.iter().map(|(k, v)| (*k, strip(*v))).collect()
}

/// An entry, last seen at time zero.
pub(crate) fn without_time<A>(mut entry: FlowEntry<A>) -> FlowEntry<A> {
    entry.last_seen = Tick(0);
    entry
}

/// A half-open entry, last seen at time zero.
pub(crate) fn half_without_time<A>(mut entry: HalfOpenEntry<A>) -> HalfOpenEntry<A> {
    entry.flow.last_seen = Tick(0);
    entry
}
