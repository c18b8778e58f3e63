//! BFD sessions.

use std::{net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::monitor::humantime_duration;

/// How often, and how many may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdTiming {
    /// Time between two packets that this node sends at most, and wants at most; 10 ms to 10 s.
    #[serde(with = "humantime_duration")]
    pub interval: Duration,
    /// So many missing packets of this node are silence to the peer; 1 to 255.
    pub multiplier: u8,
}

/// A session that the file names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BfdSession {
    /// The peer's address, one hop away.
    pub peer: IpAddr,
    /// Interface that the peer is on; `None` = as routes say.
    pub interface: Option<String>,
    /// Address to send from; `None` = as routes say.
    pub local: Option<IpAddr>,
    /// How often.
    pub timing: BfdTiming,
    /// Whether to wait until the peer begins.
    pub passive: bool,
}

impl BfdTiming {
    /// What sessions have that say nothing: as routing daemons do.
    pub const DEFAULT: Self = Self {
        interval: Duration::from_millis(300),
        multiplier: 3,
    };
}
