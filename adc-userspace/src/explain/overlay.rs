//! The live tables, with a sheet over them that takes what the walk writes.

use std::{cell::RefCell, collections::HashMap, hash::Hash};

use adc_common::{
    abi::{
        Addr4, Addr6, Addr16, BackendCounters, BackendEntry, BackendId, FlowEntry, FlowKey,
        FragmentEntry, FragmentKey, GroupSlot, HalfOpenEntry, IndexFlags, InterfaceEntry,
        InterfaceId, LeaseEntry, OrphanRecord, RangeKey, Reason, SelfCheckCounters, ServiceEntry,
        ServiceId, ServiceKey, TableCounters,
    },
    datapath::{FlowTables, InsertError, Scratch, Tables},
};

use super::{
    kept::Kept,
    sheet::{Sheet, Sheets, look},
    source::Source,
    steps::{FlowFacts, Half, Step, Table},
};
use crate::dataplane::DataplaneError;

/// A view of `S` that can be written to and changes nothing below. What it was asked is its trail.
pub struct Overlay<'s, S> {
    source: &'s S,
    v4: Sheets<Addr4>,
    v6: Sheets<Addr6>,
    cursors: RefCell<HashMap<BackendId, u32>>,
    services: Kept<ServiceEntry>,
    backends: Kept<BackendEntry>,
    interfaces: Kept<InterfaceEntry>,
    leases: Kept<LeaseEntry>,
    steps: RefCell<Vec<Step>>,
    fault: RefCell<Option<DataplaneError>>,
}

impl<'s, S: Source> Overlay<'s, S> {
    /// Nothing written yet.
    pub fn new(source: &'s S) -> Self {
        Self {
            source,
            v4: Sheets::default(),
            v6: Sheets::default(),
            cursors: RefCell::default(),
            services: Kept::default(),
            backends: Kept::default(),
            interfaces: Kept::default(),
            leases: Kept::default(),
            steps: RefCell::default(),
            fault: RefCell::default(),
        }
    }

    /// The trail.
    ///
    /// # Errors
    /// A table could not be read: then the walk did not see what the program would see.
    pub fn into_steps(self) -> Result<Vec<Step>, DataplaneError> {
        match self.fault.into_inner() {
            Some(fault) => Err(fault),
            None => Ok(self.steps.into_inner()),
        }
    }

    /// Notes a step. The walk asks some questions twice: the same answer is no news.
    fn note(&self, step: Step) {
        let mut steps = self.steps.borrow_mut();
        if !steps.contains(&step) {
            steps.push(step);
        }
    }

    /// What was read; nothing, and the first error is kept, if it could not be.
    fn read<T: Default>(&self, read: Result<T, DataplaneError>) -> T {
        read.unwrap_or_else(|error| {
            self.fault.borrow_mut().get_or_insert(error);
            T::default()
        })
    }
}

macro_rules! flow_tables {
    ($family:ty, $field:ident) => {
        impl<S: Source> FlowTables<$family> for Overlay<'_, S> {
            fn with_scratch<R>(&self, work: impl FnOnce(&mut Scratch<$family>) -> R) -> Option<R> {
                Some(work(&mut self.$field.scratch.borrow_mut()))
            }

            fn with_flow<R>(
                &self,
                key: &FlowKey<$family>,
                visit: impl FnOnce(&mut FlowEntry<$family>) -> R,
            ) -> Option<R> {
                let sheet = &self.$field.flows;
                let entry = look(sheet, key, || self.read(self.source.flow(key)));
                self.visit(Table::Main, sheet, key, entry, FlowFacts::of, visit)
            }

            fn insert_flow(
                &self,
                key: &FlowKey<$family>,
                entry: &FlowEntry<$family>,
            ) -> Result<(), InsertError> {
                let sheet = &self.$field.flows;
                let taken = look(sheet, key, || self.read(self.source.flow(key))).is_some();
                self.insert(Table::Main, sheet, key, *entry, taken, FlowFacts::of)
            }

            /// Nobody: nothing of this happens.
            fn tell(&self, _key: &FlowKey<$family>) {}

            fn remove_flow(&self, key: &FlowKey<$family>) -> bool {
                let sheet = &self.$field.flows;
                let found = look(sheet, key, || self.read(self.source.flow(key))).is_some();
                self.remove(Table::Main, sheet, key, found)
            }

            fn with_half_open<R>(
                &self,
                key: &FlowKey<$family>,
                visit: impl FnOnce(&mut HalfOpenEntry<$family>) -> R,
            ) -> Option<R> {
                let sheet = &self.$field.half_open;
                let entry = look(sheet, key, || self.read(self.source.half_open(key)));
                let facts = FlowFacts::of_half_open;
                self.visit(Table::HalfOpen, sheet, key, entry, facts, visit)
            }

            fn insert_half_open(
                &self,
                key: &FlowKey<$family>,
                entry: &HalfOpenEntry<$family>,
            ) -> Result<(), InsertError> {
                let sheet = &self.$field.half_open;
                let taken = look(sheet, key, || self.read(self.source.half_open(key))).is_some();
                let facts = FlowFacts::of_half_open;
                self.insert(Table::HalfOpen, sheet, key, *entry, taken, facts)
            }

            fn put_half_open(
                &self,
                key: &FlowKey<$family>,
                entry: &HalfOpenEntry<$family>,
            ) -> Result<(), InsertError> {
                let (sheet, facts) = (&self.$field.half_open, FlowFacts::of_half_open);
                self.insert(Table::HalfOpen, sheet, key, *entry, false, facts)
            }

            fn remove_half_open(&self, key: &FlowKey<$family>) {
                let sheet = &self.$field.half_open;
                let found = look(sheet, key, || self.read(self.source.half_open(key))).is_some();
                self.remove(Table::HalfOpen, sheet, key, found);
            }

            fn with_fragment<R>(
                &self,
                key: &FragmentKey<$family>,
                visit: impl FnOnce(&mut FragmentEntry) -> R,
            ) -> Option<R> {
                let sheet = &self.$field.fragments;
                let mut entry = look(sheet, key, || self.read(self.source.fragment(key)))?;
                let result = visit(&mut entry);
                sheet.borrow_mut().insert(*key, Some(entry));
                Some(result)
            }

            fn put_fragment(&self, key: &FragmentKey<$family>, entry: &FragmentEntry) {
                let sheet = &self.$field.fragments;
                sheet.borrow_mut().insert(*key, Some(*entry));
            }
        }
    };
}

flow_tables!(Addr4, v4);
flow_tables!(Addr6, v6);

impl<S: Source> Overlay<'_, S> {
    /// Lends a copy of an entry; if it was changed, the copy stands for it from now on.
    fn visit<A, V, R>(
        &self,
        table: Table,
        sheet: &Sheet<FlowKey<A>, V>,
        key: &FlowKey<A>,
        entry: Option<V>,
        facts: impl Fn(&V) -> FlowFacts,
        visit: impl FnOnce(&mut V) -> R,
    ) -> Option<R>
    where
        A: Copy + Eq + Hash + Into<Addr16>,
        V: Copy + PartialEq,
    {
        let half = Half::of(key);
        let found = entry.as_ref().map(&facts);
        self.note(Step::FlowLookup { table, half, found });
        let before = entry?;
        let mut after = before;
        // Nothing is borrowed meanwhile: the visitor may come back to the tables.
        let result = visit(&mut after);
        if after != before {
            sheet.borrow_mut().insert(*key, Some(after));
            let (before, after) = (facts(&before), facts(&after));
            self.note(Step::FlowChange {
                table,
                half,
                before,
                after,
            });
        }
        Some(result)
    }

    fn insert<A, V>(
        &self,
        table: Table,
        sheet: &Sheet<FlowKey<A>, V>,
        key: &FlowKey<A>,
        entry: V,
        taken: bool,
        facts: impl Fn(&V) -> FlowFacts,
    ) -> Result<(), InsertError>
    where
        A: Copy + Eq + Hash + Into<Addr16>,
    {
        let outcome = if taken {
            Err(InsertError::Exists)
        } else {
            Ok(())
        };
        self.note(Step::FlowInsert {
            table,
            half: Half::of(key),
            flow: facts(&entry),
            outcome,
        });
        if outcome.is_ok() {
            sheet.borrow_mut().insert(*key, Some(entry));
        }
        outcome
    }

    fn remove<A, V>(
        &self,
        table: Table,
        sheet: &Sheet<FlowKey<A>, V>,
        key: &FlowKey<A>,
        found: bool,
    ) -> bool
    where
        A: Copy + Eq + Hash + Into<Addr16>,
    {
        if found {
            let half = Half::of(key);
            self.note(Step::FlowRemove { table, half });
            sheet.borrow_mut().insert(*key, None);
        }
        found
    }
}

impl<S: Source> Tables for Overlay<'_, S> {
    fn service_id(&self, key: &ServiceKey) -> Option<ServiceId> {
        let found = self.read(self.source.service_id(key));
        self.note(Step::ServiceLookup {
            vip: key.vip.into(),
            port: key.port.host(),
            protocol: key.protocol,
            found,
        });
        found
    }

    fn vip_flags(&self, marker: &ServiceKey) -> Option<IndexFlags> {
        let flags = self.read(self.source.vip_flags(marker));
        self.note(Step::ServiceLookup {
            vip: marker.vip.into(),
            port: marker.port.host(),
            protocol: marker.protocol,
            found: flags.map(|_| ServiceId(0)),
        });
        flags
    }

    fn service_in_range(&self, key: &RangeKey) -> Option<ServiceId> {
        let found = self.read(self.source.service_in_range(key));
        self.note(Step::RangeLookup {
            vip: key.vip.into(),
            port: key.port.host(),
            protocol: key.protocol,
            found,
        });
        found
    }

    fn service(&self, id: ServiceId) -> Option<&ServiceEntry> {
        let read = || self.read(self.source.service(id));
        let entry = self.services.get(id.0, read);
        let copy = entry.copied();
        self.note(Step::Service { id, entry: copy });
        entry
    }

    fn ring_slot(&self, service: ServiceId, slot: usize) -> BackendId {
        let backend = self.read(self.source.ring_slot(service, slot));
        self.note(Step::RingSlot {
            service,
            slot,
            backend,
        });
        backend
    }

    fn backend(&self, id: BackendId) -> Option<&BackendEntry> {
        let read = || self.read(self.source.backend(id));
        let entry = self.backends.get(id.0, read);
        let copy = entry.copied();
        self.note(Step::Backend { id, entry: copy });
        entry
    }

    fn snat_cursor<R>(&self, id: BackendId, visit: impl FnOnce(&mut u32) -> R) -> Option<R> {
        let written = self.cursors.borrow().get(&id).copied();
        let mut cursor = written.unwrap_or_else(|| self.read(self.source.snat_cursor(id)));
        let result = visit(&mut cursor);
        self.cursors.borrow_mut().insert(id, cursor);
        Some(result)
    }

    fn repeat<F: FnMut(u32) -> bool>(&self, times: u32, step: F) {
        let _found = (0..times).any(step);
    }

    /// The first: nobody knows which CPU a packet would meet. Where `full-nat` finds the client's own port taken, another CPU
    /// may try the spare ones from another place.
    fn cpu(&self) -> u32 {
        0
    }

    fn interface(&self, id: InterfaceId) -> Option<&InterfaceEntry> {
        let read = || self.read(self.source.interface(id));
        let entry = self.interfaces.get(id.0, read);
        let copy = entry.copied();
        self.note(Step::Interface { id, entry: copy });
        entry
    }

    fn is_backend(&self, address: &Addr16) -> bool {
        self.read(self.source.is_backend(address))
    }

    fn lease(&self, slot: GroupSlot) -> Option<&LeaseEntry> {
        let read = || self.read(self.source.lease(slot));
        let entry = self.leases.get(u16::from(slot.0), read);
        self.note(Step::lease(slot, entry, self.nanos()));
        entry
    }

    fn group_of(&self, address: &Addr16) -> Option<GroupSlot> {
        self.read(self.source.group_of(address))
    }

    fn nanos(&self) -> u64 {
        self.source.nanos()
    }

    fn hold(&self, fill: impl FnOnce(&mut OrphanRecord) -> bool) -> bool {
        fill(&mut bytemuck::Zeroable::zeroed())
    }

    fn interface_id(&self, ifindex: u32) -> InterfaceId {
        let id = self.read(self.source.interface_id(ifindex));
        self.note(Step::Ingress { ifindex, id });
        id
    }

    /// Without the guess, which says nothing to people.
    fn ingress(&self, ifindex: u32) -> Option<(InterfaceId, &InterfaceEntry)> {
        let id = self.interface_id(ifindex);
        let read = || self.read(self.source.interface(id));
        self.interfaces.get(id.0, read).map(|entry| (id, entry))
    }

    fn count_backend(&self, _id: BackendId, change: impl FnOnce(&mut BackendCounters)) {
        change(&mut BackendCounters::default());
    }

    fn count_table(&self, change: impl FnOnce(&mut TableCounters)) {
        change(&mut TableCounters::default());
    }

    /// Never: what is explained is not counted.
    fn self_check<R>(&self, _visit: impl FnOnce(&mut SelfCheckCounters) -> R) -> Option<R> {
        None
    }

    fn count_reason(&self, reason: Reason, _bytes: u64) {
        self.note(Step::Count { reason });
    }
}
