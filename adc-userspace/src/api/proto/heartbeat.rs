//! The heartbeat to the other node of a pair.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::Timestamp;
use crate::model::Profile;

/// What is known of the other node of a pair, and of the ways to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatView {
    /// Name of the other node.
    pub peer: String,
    /// How often heartbeats go out, and how many may be missing.
    pub profile: Profile,
    /// Whether the peer is heard by any path.
    pub heard: bool,
    /// Since when; absent if it was never heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Whether the peer's agent works, as the peer says; absent while it is not heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_ok: Option<bool>,
    /// Whether the peer is configured with other services, pools, monitors or profile.
    pub config_differs: bool,
    /// The ways to it, in the order of the configuration.
    pub paths: Vec<HeartbeatPathView>,
    /// Datagrams that were ignored, by reason; every reason is there.
    pub refused: BTreeMap<String, u64>,
}

/// A way to the other node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatPathView {
    /// Interface that it goes by.
    pub interface: String,
    /// The peer's address there.
    pub address: IpAddr,
    /// Whether the peer is heard by it.
    pub heard: bool,
    /// Heartbeats sent.
    pub sent: u64,
    /// Heartbeats that the kernel did not take: no address, no route, interface down.
    pub not_sent: u64,
    /// Heartbeats of the peer that were taken.
    pub received: u64,
    /// The longest time between two of them since the agent started, microseconds.
    pub longest_gap_micros: u64,
}
