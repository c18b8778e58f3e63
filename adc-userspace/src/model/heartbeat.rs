//! The heartbeat to the other node of a pair.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// UDP port of heartbeats where the file says nothing.
pub const HEARTBEAT_PORT: u16 = 9553;

/// The heartbeat of a pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatSettings {
    /// `node.name` of the other node.
    pub peer: String,
    /// How fast a silent peer is noticed.
    pub profile: Profile,
    /// File with the key that both nodes share.
    pub key_file: PathBuf,
    /// UDP port, the same on both nodes.
    pub port: u16,
    /// Ways to the peer, in the same order on both nodes; 1 to 16.
    pub paths: Vec<HeartbeatPath>,
    /// A third host that a node must reach to become or stay active without its peer.
    pub witness: Option<IpAddr>,
}

/// One way to the peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatPath {
    /// Interface that it goes by, and by no other.
    pub interface: String,
    /// The peer's address there.
    pub peer: IpAddr,
}

/// Timings that go together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// As VRRP's own: a heartbeat a second, 3 may be missing.
    #[default]
    Standard,
    /// 20 ms, 5 may be missing: safe in virtual machines.
    Fast,
    /// 2 ms, 4 may be missing: on a machine that `adc ha jitter-test` found fit, with a real-time thread.
    Ultra,
}

/// How often heartbeats go out, and how many may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats.
    pub interval: Duration,
    /// So many missing ones are silence.
    pub multiplier: u8,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 3] = [Self::Standard, Self::Fast, Self::Ultra];

    /// As in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Fast => "fast",
            Self::Ultra => "ultra",
        }
    }

    /// Its timings.
    pub const fn timing(self) -> Timing {
        let (interval, multiplier) = match self {
            Self::Standard => (Duration::from_secs(1), 3),
            Self::Fast => (Duration::from_millis(20), 5),
            Self::Ultra => (Duration::from_millis(2), 4),
        };
        Timing {
            interval,
            multiplier,
        }
    }

    /// Whether its thread needs the processor at once, before all ordinary ones, and its memory never paged out.
    pub const fn is_real_time(self) -> bool {
        match self {
            Self::Standard | Self::Fast => false,
            Self::Ultra => true,
        }
    }
}

impl Timing {
    /// How long a path may be quiet before it counts as silent. Also the lease of an active node: it is renewed as often as
    /// heartbeats go out, three times and more in this time.
    pub fn detection(self) -> Duration {
        self.interval * u32::from(self.multiplier)
    }
}
