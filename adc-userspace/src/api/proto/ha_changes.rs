//! Changes of the role of an HA group, and how long each took.

use serde::{Deserialize, Serialize};

use super::Timestamp;
use crate::ha::Role;

/// A change of this node's role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaChangeView {
    /// When it was decided.
    pub at: Timestamp,
    /// What the node was.
    pub from: Role,
    /// What it became.
    pub to: Role,
    /// Why.
    pub why: String,
    /// How long it took.
    #[serde(default)]
    pub took: HaDurations,
}

/// How long the parts of a change took, in microseconds, as far as this node can tell. What is absent did not happen, or
/// nobody here knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(
    clippy::struct_field_names,
    reason = "whoever reads the JSON sees the unit"
)]
pub struct HaDurations {
    /// Of a node that became active: from the last that was heard of the other node until the decision. Absent if that
    /// was not heard since this node began to listen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detection_micros: Option<u64>,
    /// Of a node that gave the group away: from when it said so until the other node had it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handover_micros: Option<u64>,
    /// From the decision until the data plane had its lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_micros: Option<u64>,
    /// From the decision until the addresses were on, or off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses_micros: Option<u64>,
    /// From the decision until the first announcements of the addresses were out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announcement_micros: Option<u64>,
}

impl HaDurations {
    /// The parts that are known, by name, in the order in which they happen: microseconds.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let parts = [
            ("detection", self.detection_micros),
            ("handover", self.handover_micros),
            ("lease", self.lease_micros),
            ("addresses", self.addresses_micros),
            ("announcement", self.announcement_micros),
        ];
        parts
            .into_iter()
            .filter_map(|(name, micros)| Some((name, micros?)))
    }
}
