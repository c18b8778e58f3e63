//! Rules of a group, and what follows from them without any state.

use std::time::{Duration, Instant};

use super::{Local, Seen, Why};
use crate::{
    ha::{
        Role,
        heartbeat::{
            detector::{Presence, Verdict},
            packet::{Claim, NodeId, SyncState},
        },
    },
    model::Timing,
};

/// Clock rates of two machines differ by at most this, in millionths: Linux slews a clock by at most 500 (`MAXFREQ`,
/// include/linux/timex.h), and crystals are off by less than 100.
const DRIFT: u32 = 1_000;

/// How a group is decided about.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How long a path may be quiet.
    pub detection: Duration,
    /// How long the data plane of an active node goes on without its agent.
    pub lease: Duration,
    /// A backup with a higher priority takes the group from an active peer.
    pub preempt: bool,
    /// For how long it must have been able to.
    pub preempt_delay: Duration,
    /// A witness is configured: nobody becomes or stays active who reaches neither the peer nor it.
    pub witness: bool,
}

impl Rules {
    /// The rules for a pair with these timings: the lease is the time in which silence is noticed, so fencing costs no time.
    pub fn new(timing: Timing, preempt: bool, preempt_delay: Duration, witness: bool) -> Self {
        Self {
            detection: timing.detection(),
            lease: timing.detection(),
            preempt,
            preempt_delay,
            witness,
        }
    }

    /// How long after the peer was last heard its lease is over for certain, whichever of the two clocks is the faster.
    pub(super) fn foreign_lease(&self) -> Duration {
        self.lease + self.lease * DRIFT / 1_000_000
    }

    /// How long a peer that is given the group may take to take it.
    pub(super) fn handover(&self) -> Duration {
        self.detection * 2
    }

    /// How long an active peer may say that it does not hear this node before that is believed: long enough for the second
    /// heartbeat after a cut.
    pub(super) fn doubt(&self) -> Duration {
        self.detection / 2
    }

    /// From when the lease counts; `None` = there is nothing to count from.
    ///
    /// Without a witness the agent's own life will do: who loses its peer goes on. With one, the lease counts from when
    /// something was sent that is known to have been heard.
    pub(super) fn lease_base(&self, local: &Local, seen: &Seen, now: Instant) -> Option<Instant> {
        if self.witness {
            local.witness.max(seen.confirmed)
        } else {
            Some(now)
        }
    }

    /// Whether the witness, if there is one, was reached within the last lease.
    pub(super) fn witness_allows(&self, local: &Local, now: Instant) -> bool {
        let fresh = |asked: Instant| now.saturating_duration_since(asked) < self.lease;
        !self.witness || local.witness.is_some_and(fresh)
    }
}

/// What a peer must be to be given a group; each demands what those before it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Demand {
    /// It can serve: anything is better than nobody.
    Able,
    /// It has this node's flows.
    InSync,
    /// And it is configured alike.
    Alike,
}

/// Why this backup should be active though the peer is there.
pub(super) fn succeeds(local: &Local, seen: &Seen, presence: Presence) -> Option<Why> {
    match &seen.claim {
        Some(claim) if claim.role == Role::Active => claim.yields.then_some(Why::HandedOver),
        Some(claim) if claim.role == Role::Backup && !claim.held && presence.data_plane_ok => {
            // A peer that does not hear us is about to become active itself.
            let first = comes_first(local, seen.node, claim);
            (first && presence.hears_us).then_some(Why::Elected)
        }
        // A peer that has just started says more in its next heartbeat.
        Some(claim) if claim.role == Role::Init => None,
        Some(_) | None => Some(Why::PeerUnable),
    }
}

/// Whether this node comes before the peer where nobody is active.
fn comes_first(local: &Local, peer: NodeId, claim: &Claim) -> bool {
    rank(local.priority, local.node) > rank(claim.priority, peer)
}

/// Priority first, then the node's id, which no two nodes share.
pub(super) fn rank(priority: u8, node: NodeId) -> (u8, NodeId) {
    (priority, node)
}

/// Whether the peer would take the group if it were given to it, and is what is demanded.
///
/// # Errors
/// Why not.
pub(super) fn taker(seen: &Seen, demand: Demand) -> Result<(), &'static str> {
    let Verdict::Present(presence) = seen.verdict else {
        return Err("it is not heard");
    };
    match &seen.claim {
        None => Err("it does not know the group"),
        Some(claim) if claim.held => Err("it is held"),
        Some(claim) if claim.role != Role::Backup => Err("it is no backup"),
        Some(_) if !presence.hears_us => Err("it does not hear this node"),
        Some(_) if !presence.data_plane_ok => Err("its data plane does not work"),
        Some(_) if demand >= Demand::InSync && presence.sync == SyncState::Pulling => {
            Err("it does not have this node's flows yet")
        }
        Some(_) if demand >= Demand::Alike && seen.config_differs => {
            Err("it is configured otherwise than this node")
        }
        Some(_) => Ok(()),
    }
}
