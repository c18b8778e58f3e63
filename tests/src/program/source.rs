//! The program's maps as `adc explain` reads them.

use adc_common::abi::{
    Addr4, Addr6, Addr16, BackendEntry, BackendId, FlowEntry, FlowKey, FragmentEntry, FragmentKey,
    GroupSlot, HalfOpenEntry, IndexFlags, InterfaceEntry, InterfaceId, LeaseEntry, RangeKey,
    ServiceEntry, ServiceId, ServiceKey,
};
use adc_userspace::{
    dataplane::{self, DataplaneError},
    explain::{self, FlowSource, Source, Walked},
};

use super::{LOOPBACK, Maps, Program};

impl Program {
    /// What `adc explain` would say of a frame that comes in by `interface`. Nothing is written.
    ///
    /// # Panics
    /// If a map can not be read.
    pub fn explain(&mut self, frame: &[u8], interface: InterfaceId) -> Walked {
        self.maps.come_in_by(interface, LOOPBACK);
        explain::walk(&self.maps, frame.to_vec(), LOOPBACK, dataplane::now()).expect("live maps")
    }
}

macro_rules! flow_source {
    ($family:ty, $flow:ident, $half_open:ident, $fragment:ident) => {
        impl FlowSource<$family> for Maps {
            fn flow(
                &self,
                key: &FlowKey<$family>,
            ) -> Result<Option<FlowEntry<$family>>, DataplaneError> {
                Ok(self.flows.$flow(key))
            }

            fn half_open(
                &self,
                key: &FlowKey<$family>,
            ) -> Result<Option<HalfOpenEntry<$family>>, DataplaneError> {
                Ok(self.flows.$half_open(key))
            }

            fn fragment(
                &self,
                key: &FragmentKey<$family>,
            ) -> Result<Option<FragmentEntry>, DataplaneError> {
                Ok(self.flows.$fragment(key))
            }
        }
    };
}

flow_source!(Addr4, flow4, half_open4, fragment4);
flow_source!(Addr6, flow6, half_open6, fragment6);

impl Source for Maps {
    fn service_id(&self, key: &ServiceKey) -> Result<Option<ServiceId>, DataplaneError> {
        Ok(self.index_entry(key).map(|entry| entry.id))
    }

    fn vip_flags(&self, marker: &ServiceKey) -> Result<Option<IndexFlags>, DataplaneError> {
        Ok(self.index_entry(marker).map(|entry| entry.flags))
    }

    fn service_in_range(&self, key: &RangeKey) -> Result<Option<ServiceId>, DataplaneError> {
        Ok(self.range_entry(key).map(|entry| entry.id))
    }

    fn service(&self, id: ServiceId) -> Result<Option<ServiceEntry>, DataplaneError> {
        Ok(Some(self.service_entry(id)))
    }

    fn ring_slot(&self, service: ServiceId, slot: usize) -> Result<BackendId, DataplaneError> {
        Ok(self.ring_entry(service, slot))
    }

    fn backend(&self, id: BackendId) -> Result<Option<BackendEntry>, DataplaneError> {
        let entry = self.backend_entry(id);
        Ok((!entry.address.is_unset()).then_some(entry))
    }

    fn snat_cursor(&self, id: BackendId) -> Result<u32, DataplaneError> {
        Ok(self.cursor_entry(id))
    }

    fn interface(&self, id: InterfaceId) -> Result<Option<InterfaceEntry>, DataplaneError> {
        let entry = self.interface_entry(id);
        Ok((entry.ifindex != 0).then_some(entry))
    }

    fn is_backend(&self, address: &Addr16) -> Result<bool, DataplaneError> {
        Ok(self.is_backend_entry(address))
    }

    fn lease(&self, slot: GroupSlot) -> Result<Option<LeaseEntry>, DataplaneError> {
        Ok(Some(self.lease_entry(slot)))
    }

    fn group_of(&self, address: &Addr16) -> Result<Option<GroupSlot>, DataplaneError> {
        Ok(self.group_entry(address))
    }

    fn nanos(&self) -> u64 {
        dataplane::nanos()
    }

    fn interface_id(&self, ifindex: u32) -> Result<InterfaceId, DataplaneError> {
        Ok(self.id_of_interface(ifindex))
    }
}
