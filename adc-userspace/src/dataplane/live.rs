//! Single entries of the live maps, for the packet walk on the host (`adc explain`). Reads only.

use std::{cell::RefCell, collections::BTreeMap};

use adc_common::abi::{
    Addr4, Addr6, Addr16, BackendEntry, BackendId, FlowEntry, FlowKey, FragmentEntry, FragmentKey,
    GroupSlot, HalfOpenEntry, IndexFlags, InterfaceEntry, InterfaceId, LeaseEntry, RangeKey, Ring,
    ServiceEntry, ServiceId, ServiceKey,
};
use aya::maps::{Array, MapData, MapError};

use super::{
    clock::nanos,
    error::DataplaneError,
    loader::Dataplane,
    mapped::{Mapped, is_missing},
};
use crate::{
    explain::{FlowSource, Source},
    ring,
};

/// The maps as the program finds them at this moment.
///
/// Rings are built again from what this agent put into them: opening the inner map takes CAP_SYS_ADMIN
/// (`bpf_map_get_fd_by_id`), and the same members give the same ring.
pub struct Live<'d> {
    dataplane: &'d Dataplane,
    rings: RefCell<BTreeMap<ServiceId, Box<Ring>>>,
}

impl Dataplane {
    /// The live tables, entry by entry.
    pub fn live(&self) -> Live<'_> {
        Live {
            dataplane: self,
            rings: RefCell::default(),
        }
    }
}

/// `None` for what is not in the map.
fn found<T>(read: Result<T, MapError>, map: &'static str) -> Result<Option<T>, DataplaneError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(MapError::OutOfBounds { .. }) => Ok(None),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(DataplaneError::map("reading", map, error)),
    }
}

impl FlowSource<Addr4> for Live<'_> {
    fn flow(&self, key: &FlowKey<Addr4>) -> Result<Option<FlowEntry<Addr4>>, DataplaneError> {
        self.dataplane.flows.v4.flow(key)
    }

    fn half_open(
        &self,
        key: &FlowKey<Addr4>,
    ) -> Result<Option<HalfOpenEntry<Addr4>>, DataplaneError> {
        self.dataplane.flows.v4.half_open(key)
    }

    fn fragment(&self, key: &FragmentKey<Addr4>) -> Result<Option<FragmentEntry>, DataplaneError> {
        let read = self.dataplane.orphans.firsts.v4.get(&Mapped(*key), 0);
        Ok(found(read, "FRAGMENTS4")?.map(|Mapped(entry)| entry))
    }
}

impl FlowSource<Addr6> for Live<'_> {
    fn flow(&self, key: &FlowKey<Addr6>) -> Result<Option<FlowEntry<Addr6>>, DataplaneError> {
        self.dataplane.flows.v6.flow(key)
    }

    fn half_open(
        &self,
        key: &FlowKey<Addr6>,
    ) -> Result<Option<HalfOpenEntry<Addr6>>, DataplaneError> {
        self.dataplane.flows.v6.half_open(key)
    }

    fn fragment(&self, key: &FragmentKey<Addr6>) -> Result<Option<FragmentEntry>, DataplaneError> {
        let read = self.dataplane.orphans.firsts.v6.get(&Mapped(*key), 0);
        Ok(found(read, "FRAGMENTS6")?.map(|Mapped(entry)| entry))
    }
}

impl Source for Live<'_> {
    fn service_id(&self, key: &ServiceKey) -> Result<Option<ServiceId>, DataplaneError> {
        let read = self.dataplane.tables.index.get(&Mapped(*key), 0);
        Ok(found(read, "SERVICE_INDEX")?.map(|Mapped(entry)| entry.id))
    }

    fn vip_flags(&self, marker: &ServiceKey) -> Result<Option<IndexFlags>, DataplaneError> {
        let read = self.dataplane.tables.index.get(&Mapped(*marker), 0);
        Ok(found(read, "SERVICE_INDEX")?.map(|Mapped(entry)| entry.flags))
    }

    fn service_in_range(&self, key: &RangeKey) -> Result<Option<ServiceId>, DataplaneError> {
        self.dataplane.tables.ranges.find(key)
    }

    fn service(&self, id: ServiceId) -> Result<Option<ServiceEntry>, DataplaneError> {
        let read = self.dataplane.tables.services.get(&u32::from(id.0), 0);
        Ok(found(read, "SERVICES")?.map(|Mapped(entry)| entry))
    }

    fn ring_slot(&self, service: ServiceId, slot: usize) -> Result<BackendId, DataplaneError> {
        let observed = self.dataplane.tables.observed();
        let Some(spec) = observed.rings.get(&service) else {
            return Ok(BackendId(0));
        };
        let mut rings = self.rings.borrow_mut();
        let ring = rings
            .entry(service)
            .or_insert_with(|| ring::build(&spec.members));
        Ok(ring.slots.get(slot).copied().unwrap_or_default())
    }

    fn backend(&self, id: BackendId) -> Result<Option<BackendEntry>, DataplaneError> {
        let read = self.dataplane.tables.backends.get(&u32::from(id.0), 0);
        let entry = found(read, "BACKENDS")?.map(|Mapped(entry)| entry);
        Ok(entry.filter(|entry| !entry.address.is_unset()))
    }

    fn snat_cursor(&self, id: BackendId) -> Result<u32, DataplaneError> {
        let fail = |error: MapError| DataplaneError::map("reading", "SNAT_CURSORS", error);
        let Some(map) = self.dataplane.map("SNAT_CURSORS") else {
            return Ok(0);
        };
        let cursors = Array::<&MapData, u32>::try_from(map).map_err(fail)?;
        Ok(found(cursors.get(&u32::from(id.0), 0), "SNAT_CURSORS")?.unwrap_or(0))
    }

    fn interface(&self, id: InterfaceId) -> Result<Option<InterfaceEntry>, DataplaneError> {
        let read = self.dataplane.interfaces.entries.get(&u32::from(id.0), 0);
        let entry = found(read, "INTERFACES")?.map(|Mapped(entry)| entry);
        Ok(entry.filter(|entry| entry.ifindex != 0))
    }

    fn is_backend(&self, address: &Addr16) -> Result<bool, DataplaneError> {
        let read = self.dataplane.tables.addresses.get(&Mapped(*address), 0);
        Ok(found(read, "BACKEND_ADDRESSES")?.is_some())
    }

    fn lease(&self, slot: GroupSlot) -> Result<Option<LeaseEntry>, DataplaneError> {
        let read = self
            .dataplane
            .tables
            .groups
            .leases
            .get(&u32::from(slot.0), 0);
        Ok(found(read, "LEASES")?.map(|Mapped(entry)| entry))
    }

    fn group_of(&self, address: &Addr16) -> Result<Option<GroupSlot>, DataplaneError> {
        let read = self.dataplane.tables.groups.vips.get(&Mapped(*address), 0);
        let slot = found(read, "GROUP_VIPS")?.and_then(|slot| u8::try_from(slot).ok());
        Ok(slot.map(GroupSlot))
    }

    fn nanos(&self) -> u64 {
        nanos()
    }

    fn interface_id(&self, ifindex: u32) -> Result<InterfaceId, DataplaneError> {
        let id = found(
            self.dataplane.interfaces.index.get(&ifindex, 0),
            "INTERFACE_INDEX",
        )?;
        Ok(InterfaceId(
            id.map_or(0, |id| u16::try_from(id).unwrap_or(0)),
        ))
    }
}
