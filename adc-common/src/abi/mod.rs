//! The map ABI: keys and values that kernel and user space agree on.
//!
//! Rules: `#[repr(C)]`, [`bytemuck::Pod`] by derive (so implicit padding can not compile), a size
//! assertion beside every type, no `bool`, `enum`, `Option` or `usize`, alignment of at most 8 (what a
//! hash map slot guarantees). A change of any layout bumps [`ABI_VERSION`], which names the pin
//! directory. `docs/MAPS.md` describes every map.

mod address;
mod backend;
mod capture;
mod counters;
mod decap;
mod flow;
mod fragment;
mod handover;
mod hop;
mod lease;
mod news;
mod orphan;
mod range;
mod reason;
mod ring;
mod service;
mod tick;

pub use address::{Addr4, Addr6, Addr16, Mac, Port, Protocol, VlanId};
pub use backend::{BackendEntry, BackendFlags, BackendId};
pub use capture::{
    CaptureBits, CaptureCounters, CaptureRecord, CaptureSetup, CaptureSpace, CaptureVerdict,
    MAX_SNAPLEN,
};
pub use counters::{
    BackendCounters, ReasonCounters, SELF_CHECK_JUDGE, SELF_CHECK_PROGRAMS, SELF_CHECK_WALK,
    SelfCheckCounters, TableCounters,
};
pub use decap::{DecapOutcome, DecapSettings, MAX_DECAP_VIPS};
pub use flow::{FlowEntry, FlowFlags, FlowKey, HalfOpenEntry, Phase, Tuple};
pub use fragment::{FRAGMENT_ENTRIES, FRAGMENT_LIFETIME, FragmentEntry, FragmentKey};
pub use handover::{HANDOVER_EARLIER, HANDOVER_OWN, HANDOVER_PROGRAMS};
pub use hop::{
    Hop, InterfaceEntry, InterfaceId, MAX_INTERFACES, OTHER_MACS, VIRTUAL_ROUTERS, Vrid,
};
pub use lease::{GROUP_VIPS_MAX, GroupSlot, LEASE_SLOTS, LeaseEntry};
pub use news::{FLOW_NEWS_BYTES, FlowNews};
pub use orphan::{ORPHAN_BYTES, ORPHAN_RING_BYTES, Orphan, OrphanRecord};
pub use range::{MAX_RANGE_PREFIXES, RangeKey};
pub use reason::{Reason, ReasonClass};
pub use ring::{RING_SLOTS, Ring};
pub use service::{
    ForwardingMode, HashOn, IndexFlags, MAX_SNAT_ADDRESSES, SNAT_PORTS, ServiceEntry, ServiceId,
    ServiceIndexEntry, ServiceKey,
};
pub use tick::Tick;

/// Version of every layout in this module; part of the pin directory's name.
pub const ABI_VERSION: u32 = 2;

/// Declares a map key or value: `repr(C)`, `Pod`, comparable, with its size asserted; `plus` names bytes that only the layout
/// of a feature has.
macro_rules! abi_struct {
    ($(#[$meta:meta])* pub struct $name:ident [$size:literal] $(align $align:literal)? $(plus $extra:ident)? { $($(#[$fmeta:meta])* $fvis:vis $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[repr(C $(, align($align))?)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name { $($(#[$fmeta])* $fvis $field: $ty),* }
        const _: () = assert!(size_of::<$name>() == $size $(+ $extra)? && align_of::<$name>() <= 8);
    };
}

/// Declares an integer or byte-array newtype that may stand inside a map key or value.
///
/// The alignment is that of the integer the bytes stand for: without it the BPF compiler would move every
/// address byte by byte.
macro_rules! abi_newtype {
    ($(#[$meta:meta])* pub struct $name:ident(pub $inner:ty) align $align:literal) => {
        $(#[$meta])*
        #[repr(C, align($align))]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name(pub $inner);
    };
}

pub(crate) use {abi_newtype, abi_struct};
