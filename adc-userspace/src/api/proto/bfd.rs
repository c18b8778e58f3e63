//! BFD sessions.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::Timestamp;
use crate::bfd::{Verdict, packet::State};

/// Every session of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdView {
    /// By peer.
    pub sessions: Vec<BfdSessionView>,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdSessionView {
    /// Its name in the file, or `backend ADDRESS`.
    pub name: String,
    /// The peer's address.
    pub peer: IpAddr,
    /// Interface that it is bound to; absent = as routes say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// This node's address; absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<IpAddr>,
    /// State on this side.
    pub state: State,
    /// What it means for groups that track it and for backends.
    pub verdict: Verdict,
    /// Why it last went down, in the words of RFC 5880.
    pub diagnostic: String,
    /// Why it is in its state.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
    /// Whether this side waits until the peer begins.
    pub passive: bool,
    /// This side's discriminator.
    pub local_discriminator: u32,
    /// The peer's; absent while it is not heard, as the next two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_discriminator: Option<u32>,
    /// State that the peer says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_state: Option<State>,
    /// Why the peer says that it last went down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_diagnostic: Option<String>,
    /// Configured interval, in microseconds.
    pub interval_micros: u64,
    /// Configured multiplier.
    pub multiplier: u8,
    /// Interval that this side sends at, before jitter, in microseconds; absent = the peer wants nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transmit_micros: Option<u64>,
    /// Silence of the peer after which the session goes down, in microseconds; absent while it is not heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detection_micros: Option<u64>,
    /// What keeps packets from going out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What was counted.
    pub counters: BfdCounters,
}

/// What was counted of a session since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdCounters {
    /// Packets sent.
    pub sent: u64,
    /// Packets that the kernel did not take.
    pub not_sent: u64,
    /// Packets of the peer that were taken in.
    pub received: u64,
    /// Changes of state.
    pub transitions: u64,
    /// Packets that were ignored, by reason.
    pub refused: BTreeMap<String, u64>,
}
