//! High availability: which node holds which VIPs.
//!
//! [`vrrp`] is the protocol between nodes (RFC 9568, and version 2 on request): pure. One thread (`task`) runs every
//! group: adverts in and out, timers, what groups track, addresses on and off. The agent holds it by [`HaControl`].
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
mod control;
pub mod heartbeat;
mod looking;
mod machine;
mod pair;
mod pairing;
mod ports;
mod role;
mod router;
mod ruled;
mod script;
mod socket;
pub mod sync;
mod task;
mod tracking;
pub mod vrrp;

pub use control::{HaControl, LeaseHook, RoleHook};
pub use pair::NodeFacts;
pub use role::{Role, RoleChange};
