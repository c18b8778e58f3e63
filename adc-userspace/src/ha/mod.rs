//! High availability: which node holds which VIPs.
//!
//! [`vrrp`] is the protocol between nodes (RFC 9568, and version 2 on request).

mod role;
pub mod vrrp;

pub use role::{Role, RoleChange};
