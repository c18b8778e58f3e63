//! Replication of flows to the other node of a pair.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

/// How flow replication goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncView {
    /// Interface that it goes by.
    pub interface: String,
    /// Address of the other node.
    pub peer: IpAddr,
    /// Whether this node has the other's flows.
    pub in_sync: bool,
    /// Whether the other node tells this one of its flows now.
    pub following: bool,
    /// Whether this node tells the other.
    pub serving: bool,
    /// Flows told, those told again included.
    pub sent: u64,
    /// Flows not told, because their backend is gone.
    pub unnamed: u64,
    /// Flows told that the other node has not taken yet.
    pub waiting: u64,
    /// Time from a flow's news to the word that the other node has it, milliseconds; the last one.
    pub lag_ms: u64,
    /// News that did not fit into the ring.
    pub untold: u64,
    /// Walks through the flow table because of that.
    pub resyncs: u64,
    /// Flows that the other node told.
    pub received: u64,
    /// Of these, flows that were new here.
    pub inserted: u64,
    /// Times that everything was fetched.
    pub pulls: u64,
    /// Flows that the last of these brought.
    pub pulled_flows: u64,
    /// How long it took, milliseconds.
    pub pulled_ms: u64,
    /// Flows not taken, by reason; every reason is there.
    pub skipped: BTreeMap<String, u64>,
    /// Connections refused or ended, by reason; every reason is there.
    pub refused: BTreeMap<String, u64>,
}
