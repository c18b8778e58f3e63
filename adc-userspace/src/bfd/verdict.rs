//! What a session means for those that follow it.

use serde::{Deserialize, Serialize};

/// What a session says of the path to its peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing yet: it began a moment ago.
    #[default]
    Unknown,
    /// Packets go both ways.
    Up,
    /// They do not.
    Down,
    /// The peer took the session down on purpose, which says nothing of the path.
    Withdrawn,
}

impl Verdict {
    /// As the API, the command line and metrics have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
            Self::Withdrawn => "withdrawn",
        }
    }
}
