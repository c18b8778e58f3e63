//! VIPs that a routing daemon announces.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// A VIP that gets a route while it is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnnouncementView {
    /// The VIP.
    pub vip: IpAddr,
    /// Kernel routing table of the route.
    pub table: u32,
    /// Whether the route is there.
    pub announced: bool,
    /// Since when; absent if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Why it is or is not, or will soon be another way.
    pub why: String,
}
