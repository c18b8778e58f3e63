//! What `adc explain` reads: single entries of the live tables.

use adc_common::abi::{
    Addr4, Addr6, Addr16, BackendEntry, BackendId, FlowEntry, FlowKey, FragmentEntry, FragmentKey,
    GroupSlot, HalfOpenEntry, IndexFlags, InterfaceEntry, InterfaceId, LeaseEntry, RangeKey,
    ServiceEntry, ServiceId, ServiceKey,
};

use crate::dataplane::DataplaneError;

/// Reads single entries of the live flow tables of one family.
pub trait FlowSource<A> {
    /// An entry of the main table.
    fn flow(&self, key: &FlowKey<A>) -> Result<Option<FlowEntry<A>>, DataplaneError>;

    /// An entry of the half-open table.
    fn half_open(&self, key: &FlowKey<A>) -> Result<Option<HalfOpenEntry<A>>, DataplaneError>;

    /// What is remembered of a first fragment.
    fn fragment(&self, key: &FragmentKey<A>) -> Result<Option<FragmentEntry>, DataplaneError>;
}

/// Reads single entries of the live tables, as the program would find them.
pub trait Source: FlowSource<Addr4> + FlowSource<Addr6> {
    /// `SERVICE_INDEX`.
    fn service_id(&self, key: &ServiceKey) -> Result<Option<ServiceId>, DataplaneError>;

    /// `SERVICE_INDEX`: the flags of a VIP's marker.
    fn vip_flags(&self, marker: &ServiceKey) -> Result<Option<IndexFlags>, DataplaneError>;

    /// `SERVICE_RANGES`: the longest prefix that matches.
    fn service_in_range(&self, key: &RangeKey) -> Result<Option<ServiceId>, DataplaneError>;

    /// `SERVICES`; `None` for an id beyond its end.
    fn service(&self, id: ServiceId) -> Result<Option<ServiceEntry>, DataplaneError>;

    /// `RINGS`.
    fn ring_slot(&self, service: ServiceId, slot: usize) -> Result<BackendId, DataplaneError>;

    /// `BACKENDS`; `None` for an unused id.
    fn backend(&self, id: BackendId) -> Result<Option<BackendEntry>, DataplaneError>;

    /// `SNAT_CURSORS`.
    fn snat_cursor(&self, id: BackendId) -> Result<u32, DataplaneError>;

    /// `INTERFACES`; `None` for an unused id.
    fn interface(&self, id: InterfaceId) -> Result<Option<InterfaceEntry>, DataplaneError>;

    /// `BACKEND_ADDRESSES`: whether the address is that of a backend.
    fn is_backend(&self, address: &Addr16) -> Result<bool, DataplaneError>;

    /// `LEASES`; `None` beyond its end.
    fn lease(&self, slot: GroupSlot) -> Result<Option<LeaseEntry>, DataplaneError>;

    /// `GROUP_VIPS`.
    fn group_of(&self, address: &Addr16) -> Result<Option<GroupSlot>, DataplaneError>;

    /// `CLOCK_MONOTONIC` in nanoseconds, when the program would ask.
    fn nanos(&self) -> u64;

    /// `INTERFACE_INDEX`; unset for an index that is not there.
    fn interface_id(&self, ifindex: u32) -> Result<InterfaceId, DataplaneError>;
}
