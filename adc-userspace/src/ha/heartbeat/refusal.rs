//! Why a heartbeat is ignored, and counted.

use std::fmt;

/// Why a datagram that came to the heartbeat's port changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Too short, too long, or of another length than it says.
    Length,
    /// No heartbeat, or one of another version.
    Version,
    /// Sealed with another key, or changed on its way.
    Hmac,
    /// A field has a value that none of this version has.
    Field,
    /// It says that it is from this very node: another node has the same name, or the network sends our own back.
    OwnNode,
    /// From a node that is not the configured peer.
    UnknownNode,
    /// Sent on another path than it came by: the cables or addresses of two paths are mixed up.
    OtherPath,
    /// From an earlier life of the peer: recorded and sent again.
    StaleBoot,
    /// Older than one that was taken from this path already: recorded and sent again, or overtaken.
    Replayed,
}

impl Refusal {
    /// Every reason, in the order they are looked for.
    pub const ALL: [Self; 9] = [
        Self::Length,
        Self::Version,
        Self::Hmac,
        Self::Field,
        Self::OwnNode,
        Self::UnknownNode,
        Self::OtherPath,
        Self::StaleBoot,
        Self::Replayed,
    ];

    /// As metrics, API and command line have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Version => "version",
            Self::Hmac => "hmac",
            Self::Field => "field",
            Self::OwnNode => "own_node",
            Self::UnknownNode => "unknown_node",
            Self::OtherPath => "other_path",
            Self::StaleBoot => "stale_boot",
            Self::Replayed => "replayed",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
