//! Real routing daemons, and a network in which two adc nodes serve the same VIPs behind a router.

mod bfd;
mod bird;
mod fabric;
mod frr;

pub use bfd::{BfdTiming, BirdBfd, FrrBfd};
pub use bird::{Bird, node_config, router_config};
pub use fabric::{ECHO_DSR, ECHO_NAT, Fabric, NodeDaemon, SERVED, VIP6, WWW_DSR};
pub use frr::Frr;

/// How long a daemon may take to start.
const LONG: std::time::Duration = std::time::Duration::from_secs(20);

/// The router's AS number.
const ROUTER_AS: u32 = 64512;
/// The nodes' AS number.
const NODES_AS: u32 = 64513;
/// The table that adc puts routes into.
const TABLE: u32 = 173;
