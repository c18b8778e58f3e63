//! Tables in hash maps.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    hash::Hash,
};

use crate::{
    abi::{
        Addr4, Addr6, Addr16, BackendCounters, BackendEntry, BackendId, FlowEntry, FlowKey,
        FlowNews, FragmentEntry, FragmentKey, GroupSlot, HalfOpenEntry, IndexFlags, InterfaceEntry,
        InterfaceId, LeaseEntry, OrphanRecord, Port, RangeKey, Reason, ReasonCounters,
        SelfCheckCounters, ServiceEntry, ServiceId, ServiceKey, TableCounters,
    },
    datapath::{FlowTables, InsertError, Scratch, Tables},
};

/// The flow tables of one family. Half-open entries are never evicted here; capacities bound both tables.
#[derive(Debug)]
pub struct FlowMaps<A> {
    /// Validated flows.
    pub flows: RefCell<HashMap<FlowKey<A>, FlowEntry<A>>>,
    /// Half-open flows.
    pub half_open: RefCell<HashMap<FlowKey<A>, HalfOpenEntry<A>>>,
    /// What the agent was told of validated flows; never full.
    pub news: RefCell<Vec<FlowNews<A>>>,
    /// First fragments.
    pub fragments: RefCell<HashMap<FragmentKey<A>, FragmentEntry>>,
    /// Entries that the main table takes.
    pub capacity: usize,
    /// Entries that the half-open table takes; the kernel evicts instead, and refuses only what it has no memory for.
    pub half_open_capacity: usize,
}

impl<A> Default for FlowMaps<A> {
    fn default() -> Self {
        Self {
            flows: RefCell::default(),
            half_open: RefCell::default(),
            news: RefCell::default(),
            fragments: RefCell::default(),
            capacity: 1 << 20,
            half_open_capacity: usize::MAX,
        }
    }
}

/// `SCRATCH4` or `SCRATCH6`.
#[derive(Default)]
pub struct WorkingMemory<A>(RefCell<Scratch<A>>);

impl<A> fmt::Debug for WorkingMemory<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkingMemory")
    }
}

/// All tables; fill the public maps, then process packets.
#[derive(Debug, Default)]
pub struct HostTables {
    /// IPv4 flows.
    pub v4: FlowMaps<Addr4>,
    /// IPv6 flows.
    pub v6: FlowMaps<Addr6>,
    /// `SCRATCH4`.
    pub scratch4: WorkingMemory<Addr4>,
    /// `SCRATCH6`.
    pub scratch6: WorkingMemory<Addr6>,
    /// `SERVICE_INDEX`.
    pub index: HashMap<ServiceKey, ServiceId>,
    /// `SERVICE_RANGES`.
    pub ranges: HashMap<RangeKey, ServiceId>,
    /// `SERVICES`.
    pub services: HashMap<ServiceId, ServiceEntry>,
    /// `RINGS`: slots of each service.
    pub rings: HashMap<ServiceId, Vec<BackendId>>,
    /// `BACKENDS`.
    pub backends: HashMap<BackendId, BackendEntry>,
    /// `INTERFACES`.
    pub interfaces: HashMap<InterfaceId, InterfaceEntry>,
    /// `LEASES`.
    pub leases: HashMap<GroupSlot, LeaseEntry>,
    /// `GROUP_VIPS`.
    pub group_vips: HashMap<Addr16, GroupSlot>,
    /// What [`Tables::nanos`] says.
    pub nanos: Cell<u64>,
    /// `SNAT_CURSORS`.
    pub snat_cursors: RefCell<HashMap<BackendId, u32>>,
    /// `BACKEND_COUNTERS`.
    pub backend_counters: RefCell<HashMap<BackendId, BackendCounters>>,
    /// `TABLE_COUNTERS`.
    pub table_counters: RefCell<TableCounters>,
    /// `SELF_CHECKS`.
    pub self_checks: RefCell<SelfCheckCounters>,
    /// `ORPHANS`; never full.
    pub orphans: RefCell<Vec<OrphanRecord>>,
    /// `REASON_COUNTERS`.
    pub reason_counters: RefCell<HashMap<Reason, ReasonCounters>>,
}

impl HostTables {
    /// How many packets ended with `reason`.
    pub fn packets_with(&self, reason: Reason) -> u64 {
        self.reason_counters
            .borrow()
            .get(&reason)
            .map_or(0, |counters| counters.packets)
    }
}

macro_rules! flow_tables {
    ($family:ty, $field:ident, $scratch:ident) => {
        impl FlowTables<$family> for HostTables {
            fn with_scratch<R>(&self, work: impl FnOnce(&mut Scratch<$family>) -> R) -> Option<R> {
                Some(work(&mut self.$scratch.0.borrow_mut()))
            }

            fn with_flow<R>(
                &self,
                key: &FlowKey<$family>,
                visit: impl FnOnce(&mut FlowEntry<$family>) -> R,
            ) -> Option<R> {
                self.$field.flows.borrow_mut().get_mut(key).map(visit)
            }

            fn insert_flow(
                &self,
                key: &FlowKey<$family>,
                entry: &FlowEntry<$family>,
            ) -> Result<(), InsertError> {
                insert_new(
                    &mut self.$field.flows.borrow_mut(),
                    self.$field.capacity,
                    key,
                    entry,
                )
            }

            fn tell(&self, key: &FlowKey<$family>) {
                if let Some(entry) = self.$field.flows.borrow().get(key) {
                    let news = FlowNews {
                        key: *key,
                        entry: *entry,
                    };
                    self.$field.news.borrow_mut().push(news);
                }
            }

            fn remove_flow(&self, key: &FlowKey<$family>) -> bool {
                self.$field.flows.borrow_mut().remove(key).is_some()
            }

            fn with_half_open<R>(
                &self,
                key: &FlowKey<$family>,
                visit: impl FnOnce(&mut HalfOpenEntry<$family>) -> R,
            ) -> Option<R> {
                self.$field.half_open.borrow_mut().get_mut(key).map(visit)
            }

            fn insert_half_open(
                &self,
                key: &FlowKey<$family>,
                entry: &HalfOpenEntry<$family>,
            ) -> Result<(), InsertError> {
                insert_new(
                    &mut self.$field.half_open.borrow_mut(),
                    self.$field.half_open_capacity,
                    key,
                    entry,
                )
            }

            fn put_half_open(
                &self,
                key: &FlowKey<$family>,
                entry: &HalfOpenEntry<$family>,
            ) -> Result<(), InsertError> {
                let mut table = self.$field.half_open.borrow_mut();
                if table.len() >= self.$field.half_open_capacity && !table.contains_key(key) {
                    return Err(InsertError::Refused);
                }
                table.insert(*key, *entry);
                Ok(())
            }

            fn remove_half_open(&self, key: &FlowKey<$family>) {
                self.$field.half_open.borrow_mut().remove(key);
            }

            fn with_fragment<R>(
                &self,
                key: &FragmentKey<$family>,
                visit: impl FnOnce(&mut FragmentEntry) -> R,
            ) -> Option<R> {
                self.$field.fragments.borrow_mut().get_mut(key).map(visit)
            }

            fn put_fragment(&self, key: &FragmentKey<$family>, entry: &FragmentEntry) {
                self.$field.fragments.borrow_mut().insert(*key, *entry);
            }
        }
    };
}

flow_tables!(Addr4, v4, scratch4);
flow_tables!(Addr6, v6, scratch6);

fn insert_new<K: Eq + Hash + Copy, V: Copy>(
    map: &mut HashMap<K, V>,
    capacity: usize,
    key: &K,
    value: &V,
) -> Result<(), InsertError> {
    if map.contains_key(key) {
        return Err(InsertError::Exists);
    }
    if map.len() >= capacity {
        return Err(InsertError::Refused);
    }
    map.insert(*key, *value);
    Ok(())
}

impl Tables for HostTables {
    fn service_id(&self, key: &ServiceKey) -> Option<ServiceId> {
        self.index.get(key).copied()
    }

    fn vip_flags(&self, marker: &ServiceKey) -> Option<IndexFlags> {
        self.index.get(marker)?;
        let has_ranges = self.ranges.keys().any(|range| range.vip == marker.vip);
        Some(IndexFlags(if has_ranges {
            IndexFlags::RANGES.0
        } else {
            0
        }))
    }

    fn service_in_range(&self, key: &RangeKey) -> Option<ServiceId> {
        // From the port alone to all ports: what the kernel finds is the longest prefix that is there.
        (RangeKey::FIXED_BITS..=RangeKey::ALL_BITS)
            .rev()
            .find_map(|prefix_len| {
                let free = RangeKey::ALL_BITS - prefix_len;
                let port = u32::from(key.port.host()) >> free << free;
                let port = Port::new(u16::try_from(port).unwrap_or(0));
                let key = RangeKey {
                    prefix_len,
                    port,
                    ..*key
                };
                self.ranges.get(&key).copied()
            })
    }

    fn service(&self, id: ServiceId) -> Option<&ServiceEntry> {
        self.services.get(&id)
    }

    fn ring_slot(&self, service: ServiceId, slot: usize) -> BackendId {
        self.rings
            .get(&service)
            .and_then(|ring| ring.get(slot))
            .copied()
            .unwrap_or_default()
    }

    fn backend(&self, id: BackendId) -> Option<&BackendEntry> {
        self.backends.get(&id)
    }

    fn snat_cursor<R>(&self, id: BackendId, visit: impl FnOnce(&mut u32) -> R) -> Option<R> {
        Some(visit(self.snat_cursors.borrow_mut().entry(id).or_default()))
    }

    fn repeat<F: FnMut(u32) -> bool>(&self, times: u32, step: F) {
        let _found = (0..times).any(step);
    }

    fn cpu(&self) -> u32 {
        0
    }

    fn interface(&self, id: InterfaceId) -> Option<&InterfaceEntry> {
        self.interfaces.get(&id)
    }

    fn is_backend(&self, address: &Addr16) -> bool {
        self.backends
            .values()
            .any(|backend| backend.address == *address)
    }

    fn lease(&self, slot: GroupSlot) -> Option<&LeaseEntry> {
        self.leases.get(&slot)
    }

    fn group_of(&self, address: &Addr16) -> Option<GroupSlot> {
        self.group_vips.get(address).copied()
    }

    fn nanos(&self) -> u64 {
        self.nanos.get()
    }

    fn hold(&self, fill: impl FnOnce(&mut OrphanRecord) -> bool) -> bool {
        let mut record = bytemuck::Zeroable::zeroed();
        let held = fill(&mut record);
        if held {
            self.orphans.borrow_mut().push(record);
        }
        held
    }

    fn interface_id(&self, ifindex: u32) -> InterfaceId {
        self.interfaces
            .iter()
            .find(|(_, entry)| entry.ifindex == ifindex)
            .map_or(InterfaceId(0), |(id, _)| *id)
    }

    fn count_backend(&self, id: BackendId, change: impl FnOnce(&mut BackendCounters)) {
        change(self.backend_counters.borrow_mut().entry(id).or_default());
    }

    fn count_table(&self, change: impl FnOnce(&mut TableCounters)) {
        change(&mut self.table_counters.borrow_mut());
    }

    fn self_check<R>(&self, visit: impl FnOnce(&mut SelfCheckCounters) -> R) -> Option<R> {
        Some(visit(&mut self.self_checks.borrow_mut()))
    }

    fn count_reason(&self, reason: Reason, bytes: u64) {
        let mut counters = self.reason_counters.borrow_mut();
        let counter = counters.entry(reason).or_default();
        counter.packets += 1;
        counter.bytes += bytes;
    }
}
