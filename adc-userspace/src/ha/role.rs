//! What a node is for a group.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{api::proto::Timestamp, model::GroupName};

/// What this node is for a group (the words of RFC 9568).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Not started, or stopping.
    #[default]
    Init,
    /// Listens; another node has the VIPs, or soon somebody will.
    Backup,
    /// Has the VIPs.
    Active,
    /// Can not have the VIPs.
    Fault,
}

/// A node became something else for a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleChange {
    /// The group.
    pub group: GroupName,
    /// What the node is now.
    pub role: Role,
    /// Why, for people.
    pub why: String,
    /// When.
    pub at: Timestamp,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Init, Self::Backup, Self::Active, Self::Fault];

    /// As the API, the metrics and the command line have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Backup => "backup",
            Self::Active => "active",
            Self::Fault => "fault",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
