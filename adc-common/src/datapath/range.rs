//! Services with many ports. Asked only for VIPs that have some, about packets of no flow that no service with one port
//! is for.

use super::{family::Family, ports::Tables};
use crate::abi::{FlowKey, IndexFlags, Port, RangeKey, ServiceId, ServiceKey};

/// The service whose range the packet's port is in, of several the narrowest; unset if there is none.
#[inline(never)]
pub(super) fn service_of<A: Family, T: Tables>(
    tables: &T,
    key: &FlowKey<A>,
    range: &mut RangeKey,
) -> ServiceId {
    // Reserved (RFC 6335 §6), and no port that "any" means.
    if key.tuple.dport == Port([0, 0]) {
        return ServiceId(0);
    }
    range.set(key.tuple.dst.into(), key.tuple.dport, key.protocol);
    tables.service_in_range(range).unwrap_or_default()
}

/// Whether packets with this key are for a service.
#[inline(never)]
pub(super) fn is_for_a_service<A: Family, T: Tables>(
    tables: &T,
    key: &FlowKey<A>,
    index: &mut ServiceKey,
    range: &mut RangeKey,
) -> bool {
    let vip = key.tuple.dst.into();
    index.set(vip, key.tuple.dport, key.protocol);
    if let Some(id) = tables.service_id(index) {
        return id != ServiceId(0);
    }
    index.set_vip_marker(vip);
    tables
        .vip_flags(index)
        .is_some_and(|vip| vip.contains(IndexFlags::RANGES))
        && service_of(tables, key, range) != ServiceId(0)
}
