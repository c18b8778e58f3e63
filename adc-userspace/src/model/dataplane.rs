//! The node, its interfaces and its table sizes.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

/// This machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Shown in `adc status` and metrics; default: the host name.
    pub name: String,
    /// Where runtime edits are kept (`/var/lib/adc`).
    pub state_dir: PathBuf,
    /// Where the control socket and the lock live (`/run/adc`).
    pub run_dir: PathBuf,
}

/// How the program is attached. Never changed silently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachMode {
    /// In the driver. The default; refused if the driver can not.
    Native,
    /// In the generic hook, behind socket-buffer allocation: works everywhere, slower.
    Skb,
}

/// What the agent attaches to, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataplane {
    /// Interfaces to attach to, in order; at least one, at most 63.
    pub interfaces: Vec<String>,
    /// Native or skb.
    pub attach: AttachMode,
    /// Directory in bpffs under which maps, program and links are pinned (`/sys/fs/bpf/adc`).
    pub pin_path: PathBuf,
    /// Interface that VIPs are added to as /32 or /128, so that the kernel answers ARP and ND for
    /// them; default: the first of `interfaces`. `None` = the operator announces the VIPs.
    pub vip_interface: Option<String>,
    /// One packet of so many has its checksums verified as it comes and as it leaves, 1 ..= 1 000 000; 0 = none.
    pub self_check: u32,
    /// Table capacities.
    pub limits: Limits,
}

/// Capacities, fixed while the maps live: another value needs `adc run` after a clean stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Established IPv4 flows (2 entries each), 1 024 ..= 16 777 216.
    pub flows_v4: u32,
    /// Established IPv6 flows.
    pub flows_v6: u32,
    /// Half-open IPv4 flows.
    pub half_open_v4: u32,
    /// Half-open IPv6 flows.
    pub half_open_v6: u32,
    /// Services, 1 ..= 65 535.
    pub services: u32,
    /// Backends over all services (a pool counts once per service that uses it), 1 ..= 65 535.
    pub backends: u32,
}

/// Where metrics are served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Telemetry {
    /// Prometheus listener, `/metrics`; default 127.0.0.1:9551; `None` = off.
    pub listen: Option<SocketAddr>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows_v4: 262_144,
            flows_v6: 65_536,
            half_open_v4: 65_536,
            half_open_v6: 32_768,
            services: 4_096,
            backends: 32_768,
        }
    }
}
