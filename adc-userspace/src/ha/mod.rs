//! High availability: which node holds which VIPs.
//!
//! [`vrrp`] is the protocol between nodes (RFC 9568, and version 2 on request): pure. One task (`task`) runs every
//! group: adverts in and out, timers, what groups track, addresses on and off. It is in a process of its own, the
//! [`keeper`], which the agent holds by [`HaControl`].
//!
//! ```text
//! adverts ─► socket ─► router ─┐                     ┌─► socket: adverts
//! netlink ─► tracking ─────────┼─► vrrp::Instance ───┼─► vips: addresses on and off
//! scripts, pools, orders ──────┘                     └─► announce: ARP and NA;  RoleHook: whoever must know
//! ```
//!
//! [`heartbeat`] is what two adc nodes tell each other many times a second; `pair` decides about groups by it, in place of
//! VRRP.

mod acting;
mod announce;
mod changes;
mod control;
mod following;
pub mod heartbeat;
pub mod keeper;
mod leases;
mod looking;
mod machine;
mod pair;
mod pairing;
mod ports;
mod presence;
mod role;
mod router;
#[cfg(test)]
mod router_tests;
mod ruled;
mod saved;
mod script;
#[cfg(test)]
mod seed;
mod socket;
mod strangers;
pub mod sync;
mod task;
mod together;
mod tracking;
mod virtual_mac;
pub mod vrrp;

pub use control::{HaControl, RoleHook};
pub use pair::NodeFacts;
pub use role::{Role, RoleChange};
