//! What happens to a group, and what is to be done about it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Family, Heard, Timing};
use crate::ha::Role;

/// What happens to a group.
#[derive(Clone, Debug)]
pub enum Input {
    /// It begins.
    Started {
        /// Its addresses are on already: an agent that died left them, or they were this node's before there was a group.
        resume: bool,
    },
    /// It ends.
    Stopped,
    /// An advert for it came.
    Advert(Heard),
    /// The time that [`super::Instance::deadline`] asked for has come.
    Timer,
    /// Tracked things changed.
    Tracking(Tracking),
    /// The address that adverts of a family are sent from, or why there is none.
    Link(Family, Result<IpAddr, String>),
    /// A group that it moves with became a backup, for this reason: so does this one.
    LetGo(String),
    /// New numbers from the configuration.
    Timing(Timing),
    /// Somebody wants something.
    Order(Order),
}

/// What people may ask of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Hand the role over, and do not take it back as long as another node has it.
    Failover,
    /// Hand the role over, and do not take it at all.
    Hold,
    /// Forget both.
    Release,
}

/// What tracked things add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracking {
    /// Sum of weights.
    pub weight: i32,
    /// Why this node can not have the VIPs.
    pub fault: Option<String>,
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send an advert over this family.
    Send {
        /// The family.
        family: Family,
        /// The priority to give; 0 = resign.
        priority: u8,
    },
    /// The role is another: put the addresses on, or take them off.
    Become {
        /// The new role.
        role: Role,
        /// Why.
        why: String,
    },
    /// Announce every address so many times.
    Announce {
        /// Times.
        count: u8,
    },
}
