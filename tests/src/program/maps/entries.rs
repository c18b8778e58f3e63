//! Single entries.

use adc_common::abi::{
    Addr16, BackendEntry, BackendId, GroupSlot, InterfaceEntry, InterfaceId, LeaseEntry, RangeKey,
    ServiceEntry, ServiceId, ServiceIndexEntry, ServiceKey,
};

use super::{Maps, Raw, range_key};

impl Maps {
    pub(in crate::program) fn index_entry(&self, key: &ServiceKey) -> Option<ServiceIndexEntry> {
        self.index.get(&Raw(*key), 0).ok().map(|Raw(entry)| entry)
    }

    pub(in crate::program) fn range_entry(&self, key: &RangeKey) -> Option<ServiceIndexEntry> {
        let found = self.ranges.get(&range_key(key), 0).ok();
        found.map(|Raw(entry)| entry)
    }

    pub(in crate::program) fn service_entry(&self, id: ServiceId) -> ServiceEntry {
        let Raw(entry) = self.services.get(&u32::from(id.0), 0).expect("SERVICES");
        entry
    }

    pub(in crate::program) fn ring_entry(&self, service: ServiceId, slot: usize) -> BackendId {
        let Some((ring, _)) = self.inner.get(&service) else {
            return BackendId(0);
        };
        let Raw(ring) = ring.get(&0, 0).expect("a ring");
        ring.slots[slot]
    }

    pub(in crate::program) fn backend_entry(&self, id: BackendId) -> BackendEntry {
        let Raw(entry) = self.backends.get(&u32::from(id.0), 0).expect("BACKENDS");
        entry
    }

    pub(in crate::program) fn is_backend_entry(&self, address: &Addr16) -> bool {
        self.backend_addresses.get(&Raw(*address), 0).is_ok()
    }

    pub(in crate::program) fn lease_entry(&self, slot: GroupSlot) -> LeaseEntry {
        let Raw(entry) = self.leases.get(&u32::from(slot.0), 0).expect("LEASES");
        entry
    }

    pub(in crate::program) fn group_entry(&self, address: &Addr16) -> Option<GroupSlot> {
        let slot = self.group_vips.get(&Raw(*address), 0).ok()?;
        Some(GroupSlot(u8::try_from(slot).expect("a slot")))
    }

    pub(in crate::program) fn cursor_entry(&self, id: BackendId) -> u32 {
        let id = u32::from(id.0);
        self.cursors.get(&id, 0).expect("SNAT_CURSORS")
    }

    pub(in crate::program) fn interface_entry(&self, id: InterfaceId) -> InterfaceEntry {
        let id = u32::from(id.0);
        let Raw(entry) = self.interfaces.get(&id, 0).expect("INTERFACES");
        entry
    }

    pub(in crate::program) fn id_of_interface(&self, ifindex: u32) -> InterfaceId {
        let id = self.interface_index.get(&ifindex, 0).unwrap_or(0);
        InterfaceId(u16::try_from(id).expect("an interface id"))
    }
}
