//! Replication of flows to the other node of a pair.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::monitor::humantime_duration;

/// TCP port of flow replication where the file says nothing: the one after the heartbeat's.
pub const SYNC_PORT: u16 = 9554;

/// Replication of flows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncSettings {
    /// Interface that it goes by, and by no other.
    pub interface: String,
    /// The other node's address there.
    pub peer: IpAddr,
    /// TCP port, the same on both nodes.
    pub port: u16,
    /// File with the key that both nodes share.
    pub key_file: PathBuf,
    /// How long a node that starts does not preempt because it has not got the other's flows.
    #[serde(with = "humantime_duration")]
    pub wait_at_most: Duration,
}
