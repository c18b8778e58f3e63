//! The numbers of a group, and the times that follow from them (RFC 9568 §6.1, RFC 3768 §6.1).

use std::time::Duration;

use super::Version;

/// Priority of the router that has the addresses for itself.
pub(crate) const OWNER: u8 = 255;

/// Adverts that may be missing before the active router counts as gone.
pub(super) const MISSED: u32 = 3;

/// What a group is told by its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Version spoken.
    pub version: Version,
    /// 1 to 254; 255 = owner.
    pub priority: u8,
    /// Time between two adverts.
    pub interval: Duration,
    /// Whether to take over from an active router of lower priority.
    pub preempt: bool,
    /// How long such a router is left alone first.
    pub preempt_delay: Duration,
    /// How the addresses are announced.
    pub announcing: Announcing,
}

/// How a new active router tells hosts and switches where the addresses are now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcing {
    /// Announcements per address, at once.
    pub count: u8,
    /// Time to the second burst.
    pub repeat_after: Duration,
    /// Announcements per address in it; 0 = no second burst.
    pub repeat_count: u8,
    /// Time between single announcements from then on; `None` = none.
    pub refresh: Option<Duration>,
}

impl Timing {
    /// How long a router of priority `priority` waits beyond the others, so that the highest comes first.
    pub(super) fn skew(&self, priority: u8, active_interval: Duration) -> Duration {
        let unit = match self.version {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => active_interval,
        };
        unit * (256 - u32::from(priority)) / 256
    }

    /// How long an active router may be silent.
    pub(super) fn down(&self, priority: u8, active_interval: Duration) -> Duration {
        active_interval * MISSED + self.skew(priority, active_interval)
    }
}
