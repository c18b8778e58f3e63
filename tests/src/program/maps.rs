//! The program's maps, filled as the agent would fill them.

mod entries;
mod flows;

use std::collections::{BTreeMap, BTreeSet};

use adc_common::abi::{
    Addr16, BackendCounters, BackendEntry, BackendId, IndexFlags, InterfaceEntry, InterfaceId,
    LeaseEntry, RangeKey, Reason, ReasonCounters, Ring, SelfCheckCounters, ServiceEntry, ServiceId,
    ServiceIndexEntry, ServiceKey, TableCounters,
};
use aya::{
    Ebpf,
    maps::{
        Array, ArrayOfMaps, DevMap, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray, RingBuf,
        lpm_trie::Key,
    },
};
use bytemuck::Zeroable as _;

use super::{Limits, raw::Raw};
use crate::walk::{Contents, Counters, zip};
pub use flows::FlowMaps;

type RingArray = Array<MapData, Raw<Ring>>;

/// Every map that is not per-packet scratch.
pub struct Maps {
    /// The flow tables.
    pub flows: FlowMaps,
    index: HashMap<MapData, Raw<ServiceKey>, Raw<ServiceIndexEntry>>,
    ranges: LpmTrie<MapData, [u32; 5], Raw<ServiceIndexEntry>>,
    services: Array<MapData, Raw<ServiceEntry>>,
    backends: Array<MapData, Raw<BackendEntry>>,
    backend_addresses: HashMap<MapData, Raw<Addr16>, u32>,
    /// Where orphaned fragments go.
    orphans: RingBuf<MapData>,
    leases: Array<MapData, Raw<LeaseEntry>>,
    group_vips: HashMap<MapData, Raw<Addr16>, u32>,
    cursors: Array<MapData, u32>,
    rings: ArrayOfMaps<MapData, RingArray>,
    /// Inner arrays that stand in `rings`, by service, with the turns that were written.
    inner: BTreeMap<ServiceId, (RingArray, Option<Vec<BackendId>>)>,
    interfaces: Array<MapData, Raw<InterfaceEntry>>,
    interface_index: HashMap<MapData, u32, u32>,
    redirect: DevMap<MapData>,
    reasons: PerCpuArray<MapData, Raw<ReasonCounters>>,
    backend_counters: PerCpuArray<MapData, Raw<BackendCounters>>,
    table_counters: PerCpuArray<MapData, Raw<TableCounters>>,
    self_checks: PerCpuArray<MapData, Raw<SelfCheckCounters>>,
    /// What was poured last.
    contents: Contents,
    /// Backends whose counters may have moved.
    known_backends: BTreeSet<BackendId>,
    /// The interface that stands for loopback now.
    arriving: Option<InterfaceId>,
}

/// Takes a map out of the object, as its type.
fn take<T: TryFrom<Map, Error = MapError>>(ebpf: &mut Ebpf, name: &str) -> T {
    ebpf.take_map(name)
        .unwrap_or_else(|| panic!("the object has no map {name}"))
        .try_into()
        .unwrap_or_else(|error| panic!("map {name}: {error}"))
}

/// As aya wants it.
fn range_key(key: &RangeKey) -> Key<[u32; 5]> {
    let [prefix_len, bits @ ..] = bytemuck::cast::<RangeKey, [u32; 6]>(*key);
    Key::new(prefix_len, bits)
}

impl Maps {
    pub(super) fn take(ebpf: &mut Ebpf, limits: Limits) -> Self {
        Self {
            flows: FlowMaps::take(ebpf, limits),
            index: take(ebpf, "SERVICE_INDEX"),
            ranges: take(ebpf, "SERVICE_RANGES"),
            services: take(ebpf, "SERVICES"),
            backends: take(ebpf, "BACKENDS"),
            backend_addresses: take(ebpf, "BACKEND_ADDRESSES"),
            orphans: take(ebpf, "ORPHANS"),
            leases: take(ebpf, "LEASES"),
            group_vips: take(ebpf, "GROUP_VIPS"),
            cursors: take(ebpf, "SNAT_CURSORS"),
            rings: take(ebpf, "RINGS"),
            inner: BTreeMap::new(),
            interfaces: take(ebpf, "INTERFACES"),
            interface_index: take(ebpf, "INTERFACE_INDEX"),
            redirect: take(ebpf, "REDIRECT"),
            reasons: take(ebpf, "REASON_COUNTERS"),
            backend_counters: take(ebpf, "BACKEND_COUNTERS"),
            table_counters: take(ebpf, "TABLE_COUNTERS"),
            self_checks: take(ebpf, "SELF_CHECKS"),
            contents: Contents::default(),
            known_backends: BTreeSet::new(),
            arriving: None,
        }
    }

    /// Replaces everything but flows and counters.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn write(&mut self, contents: &Contents) {
        self.clear();
        for (key, id) in &contents.index {
            if key.ports().is_some() {
                for range in RangeKey::of_service(key) {
                    let entry = ServiceIndexEntry::of(*id, IndexFlags::default());
                    self.ranges
                        .insert(&range_key(&range), Raw(entry), 0)
                        .expect("SERVICE_RANGES");
                }
                continue;
            }
            let entry = ServiceIndexEntry::of(*id, contents.index_flags(key));
            self.index
                .insert(Raw(*key), Raw(entry), 0)
                .expect("SERVICE_INDEX");
        }
        for (id, entry) in &contents.services {
            self.services
                .set(u32::from(id.0), Raw(*entry), 0)
                .expect("SERVICES");
            self.write_ring(*id, contents);
        }
        for (id, entry) in &contents.backends {
            self.backends
                .set(u32::from(id.0), Raw(*entry), 0)
                .expect("BACKENDS");
            self.backend_addresses
                .insert(Raw(entry.address), 0, 0)
                .expect("BACKEND_ADDRESSES");
            self.known_backends.insert(*id);
        }
        for (id, entry) in &contents.interfaces {
            self.interfaces
                .set(u32::from(id.0), Raw(*entry), 0)
                .expect("INTERFACES");
            self.interface_index
                .insert(entry.ifindex, u32::from(id.0), 0)
                .expect("INTERFACE_INDEX");
            // A test run sends nothing, so any device will do.
            self.redirect
                .set(u32::from(id.0), super::LOOPBACK, None, 0)
                .expect("REDIRECT");
        }
        for (slot, entry) in &contents.leases {
            self.leases
                .set(u32::from(slot.0), Raw(*entry), 0)
                .expect("LEASES");
        }
        for (vip, slot) in &contents.group_vips {
            self.group_vips
                .insert(Raw(*vip), u32::from(slot.0), 0)
                .expect("GROUP_VIPS");
        }
        self.contents = contents.clone();
        self.arriving = None;
    }

    /// Sets every cursor through spare ports to its begin.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn rewind(&mut self) {
        for id in &self.known_backends {
            self.cursors
                .set(u32::from(id.0), 0, 0)
                .expect("SNAT_CURSORS");
        }
    }

    fn clear(&mut self) {
        let keys: Vec<_> = self
            .index
            .keys()
            .map(|key| key.expect("SERVICE_INDEX"))
            .collect();
        for key in keys {
            self.index.remove(&key).expect("SERVICE_INDEX");
        }
        let keys: Vec<_> = self
            .ranges
            .keys()
            .map(|key| key.expect("SERVICE_RANGES"))
            .collect();
        for key in keys {
            self.ranges.remove(&key).expect("SERVICE_RANGES");
        }
        for id in self.contents.services.keys() {
            let unset = Raw(ServiceEntry::zeroed());
            self.services
                .set(u32::from(id.0), unset, 0)
                .expect("SERVICES");
        }
        for (id, entry) in &self.contents.backends {
            // Two may share an address.
            let _gone = self.backend_addresses.remove(&Raw(entry.address));
            let unset = Raw(BackendEntry::zeroed());
            self.backends
                .set(u32::from(id.0), unset, 0)
                .expect("BACKENDS");
        }
        for slot in self.contents.leases.keys() {
            let unset = Raw(LeaseEntry::zeroed());
            self.leases
                .set(u32::from(slot.0), unset, 0)
                .expect("LEASES");
        }
        for vip in self.contents.group_vips.keys() {
            self.group_vips.remove(&Raw(*vip)).expect("GROUP_VIPS");
        }
        let keys: Vec<u32> = self
            .interface_index
            .keys()
            .map(|key| key.expect("INTERFACE_INDEX"))
            .collect();
        for key in keys {
            self.interface_index.remove(&key).expect("INTERFACE_INDEX");
        }
        for id in self.contents.interfaces.keys() {
            let unset = Raw(InterfaceEntry::zeroed());
            self.interfaces
                .set(u32::from(id.0), unset, 0)
                .expect("INTERFACES");
        }
    }

    /// The inner array is written in place, where the agent swaps it: a swap waits for an RCU grace period, and
    /// no packet is under way here.
    fn write_ring(&mut self, id: ServiceId, contents: &Contents) {
        let (inner, written) = self.inner.entry(id).or_insert_with(|| {
            let inner = RingArray::create(1, 0).expect("creating a ring");
            self.rings.set(u32::from(id.0), &inner, 0).expect("RINGS");
            (inner, None)
        });
        let turns = &contents.rings[&id];
        if written.as_ref() != Some(turns) {
            let mut ring = Ring::zeroed();
            ring.slots.copy_from_slice(&contents.slots(id));
            inner.set(0, Raw(ring), 0).expect("writing a ring");
            *written = Some(turns.clone());
        }
    }

    /// Renames `interface` to `ifindex`, until the next call.
    pub(super) fn come_in_by(&mut self, interface: InterfaceId, ifindex: u32) {
        if self.arriving == Some(interface) {
            return;
        }
        if let Some(before) = self.arriving.take() {
            self.rename(before, None, ifindex);
        }
        self.rename(interface, Some(ifindex), ifindex);
        self.arriving = Some(interface);
    }

    fn rename(&mut self, interface: InterfaceId, to: Option<u32>, loopback: u32) {
        // An interface that adc is not attached to has no entry.
        let Some(entry) = self.contents.interfaces.get(&interface) else {
            return;
        };
        let (id, own) = (u32::from(interface.0), entry.ifindex);
        let mut renamed = *entry;
        renamed.ifindex = to.unwrap_or(own);
        self.interfaces
            .set(id, Raw(renamed), 0)
            .expect("INTERFACES");
        let before = if to.is_some() { own } else { loopback };
        self.interface_index
            .remove(&before)
            .expect("INTERFACE_INDEX");
        self.interface_index
            .insert(renamed.ifindex, id, 0)
            .expect("INTERFACE_INDEX");
    }

    /// Takes orphaned fragments out of the ring, as the agent would: a full one would look like another decision.
    pub(super) fn drain_orphans(&mut self) {
        while self.orphans.next().is_some() {}
    }

    /// All counters, summed over CPUs.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        for reason in Reason::ALL {
            let values = self
                .reasons
                .get(&reason.index(), 0)
                .expect("REASON_COUNTERS");
            for value in values.iter() {
                counters.add_reason(*reason, value.0);
            }
        }
        for id in &self.known_backends {
            let values = self
                .backend_counters
                .get(&u32::from(id.0), 0)
                .expect("BACKEND_COUNTERS");
            for value in values.iter() {
                counters.add_backend(*id, &value.0);
            }
        }
        let table = self.table_counters.get(&0, 0).expect("TABLE_COUNTERS");
        for value in table.iter() {
            counters.table = zip(counters.table, value.0, u64::wrapping_add);
        }
        counters
    }

    /// What came of verifying checksums; see [`super::Program::load_checked`].
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn self_checks(&self) -> SelfCheckCounters {
        let values = self.self_checks.get(&0, 0).expect("SELF_CHECKS");
        let cpus = values.iter().map(|Raw(cpu)| *cpu);
        cpus.fold(SelfCheckCounters::default(), |sum, cpu| {
            zip(sum, cpu, u64::wrapping_add)
        })
    }
}
