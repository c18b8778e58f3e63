//! Points in time.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A point in wall-clock time; RFC 3339 in UTC with whole seconds (`2026-11-21T10:00:00Z`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub SystemTime);

impl Timestamp {
    /// How long before `now` this was, in whole seconds; zero if it lies after `now`.
    pub fn age(self, now: SystemTime) -> Duration {
        let age = now.duration_since(self.0).unwrap_or_default();
        Duration::from_secs(age.as_secs())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // humantime's formatter fails (and so would `to_string` panic) outside years 1970 to 9999.
        let clamped = self.0.max(SystemTime::UNIX_EPOCH);
        humantime::format_rfc3339_seconds(clamped).fmt(f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_rfc3339(&text)
            .map(Self)
            .map_err(D::Error::custom)
    }
}
