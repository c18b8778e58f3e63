//! The map ABI: keys and values that kernel and user space agree on.
//!
//! Rules: `#[repr(C)]`, [`bytemuck::Pod`] by derive (so implicit padding can not compile), a size
//! assertion beside every type, no `bool`, `enum`, `Option` or `usize`, alignment of at most 8 (what a
//! hash map slot guarantees). A change of any layout bumps [`ABI_VERSION`], which names the pin
//! directory. `docs/MAPS.md` describes every map.

mod address;
mod backend;
mod counters;
mod flow;
mod hop;
mod reason;
mod ring;
mod service;
mod tick;

pub use address::{Addr4, Addr6, Addr16, Mac, Port, Protocol, VlanId};
pub use backend::{BackendEntry, BackendFlags, BackendId};
pub use counters::{BackendCounters, ReasonCounters, TableCounters};
pub use flow::{
    FlowEntry4, FlowEntry6, FlowFlags, FlowKey4, FlowKey6, HalfOpenEntry4, HalfOpenEntry6, Phase,
    Tuple4, Tuple6,
};
pub use hop::{Hop, InterfaceEntry, InterfaceId, MAX_INTERFACES};
pub use reason::{Reason, ReasonClass};
pub use ring::{RING_SLOTS, Ring};
pub use service::{ForwardingMode, HashOn, ServiceEntry, ServiceId, ServiceIndexEntry, ServiceKey};
pub use tick::Tick;

/// Version of every layout in this module; part of the pin directory's name.
pub const ABI_VERSION: u32 = 1;

/// Declares a map key or value: `repr(C)`, `Pod`, comparable, with its size asserted.
macro_rules! abi_struct {
    ($(#[$meta:meta])* pub struct $name:ident [$size:literal] { $($(#[$fmeta:meta])* $fvis:vis $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name { $($(#[$fmeta])* $fvis $field: $ty),* }
        const _: () = assert!(size_of::<$name>() == $size && align_of::<$name>() <= 8);
    };
}

/// Declares an integer or byte-array newtype that may stand inside a map key or value.
macro_rules! abi_newtype {
    ($(#[$meta:meta])* pub struct $name:ident(pub $inner:ty)) => {
        $(#[$meta])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bytemuck::Pod, bytemuck::Zeroable)]
        pub struct $name(pub $inner);
    };
}

pub(crate) use {abi_newtype, abi_struct};
