//! News of flows: what the packet walk tells the agent of those that the other node of a pair must know.

use super::{Addr4, Addr6, FlowEntry, FlowKey, flow::pod_instance};

/// Size of the ring `FLOW_NEWS`, in bytes: about 75 000 IPv4 records, each 56 bytes with the ring's own header.
pub const FLOW_NEWS_BYTES: u32 = 4 << 20;

/// Record of the ring `FLOW_NEWS`: one direction of a flow as it stands in the main table. Its length tells the family.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowNews<A> {
    /// The key of the direction.
    pub key: FlowKey<A>,
    /// The entry under it.
    pub entry: FlowEntry<A>,
}

#[cfg(not(feature = "earlier-layout"))]
pod_instance!(FlowNews<Addr4>, 48 = FlowKey<Addr4>, FlowEntry<Addr4>);
#[cfg(not(feature = "earlier-layout"))]
pod_instance!(FlowNews<Addr6>, 96 = FlowKey<Addr6>, FlowEntry<Addr6>);

/// As in `flow`.
#[cfg(feature = "earlier-layout")]
mod earlier {
    use super::{Addr4, Addr6, FlowEntry, FlowKey, FlowNews, pod_instance as earlier_instance};

    earlier_instance!(FlowNews<Addr4>, 56 = FlowKey<Addr4>, FlowEntry<Addr4>);
    earlier_instance!(FlowNews<Addr6>, 104 = FlowKey<Addr6>, FlowEntry<Addr6>);
}
