//! Groups that the heartbeat decides about: one arbiter each, in the heartbeat's thread.
//!
//! ```text
//! HA thread ── briefs, orders ─► docket ─► judge ──► leases: the data plane
//!     ▲                                      │ └───► claims: the next heartbeat
//!     └────────── decisions, events ◄────────┘ ◄──── witness: a third host
//! ```

mod attendance;
mod docket;
mod follower;
mod judge;
mod witness;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use self::{attendance::Attendance, follower::Follower, judge::PairJudge, witness::Witness};
use super::{
    Role,
    heartbeat::{
        arbiter::Why,
        boot,
        key::Key,
        packet::NodeId,
        runner::{Event, Heartbeats, Setup, Statement},
    },
    leases::Leases,
};
use crate::{
    api::proto::HeartbeatView,
    model::{GroupName, HeartbeatSettings},
};

pub(super) use docket::{Brief, Docket, SavedCase};

/// Which node this is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// `node.name`.
    pub name: String,
    /// `node.state_dir`.
    pub state_dir: PathBuf,
    /// Where the maps of its data plane are pinned.
    pub pins: PathBuf,
}

/// What the heartbeat's thread tells of.
#[derive(Debug)]
pub(super) enum PairEvent {
    /// Of the peer and the ways to it.
    Heartbeat(Event),
    /// Of a group.
    Decided(Decision),
}

/// A role is another, or somebody should know why it is not.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    pub(super) group: GroupName,
    pub(super) role: Role,
    pub(super) why: Why,
    /// When the peer was last heard.
    pub(super) last_heard: Option<Instant>,
    /// Since when this node gave the group away.
    pub(super) gave: Option<Instant>,
    /// When the data plane was granted its lease.
    pub(super) leased: Option<Instant>,
    pub(super) at: Instant,
}

/// A running heartbeat with its judge; both end when this is dropped.
pub(super) struct Pair {
    settings: HeartbeatSettings,
    node: NodeFacts,
    pub(super) docket: Arc<Docket>,
    follower: Follower,
    heartbeats: Heartbeats,
    /// Ends after the heartbeat that asks it.
    _witness: Option<Witness>,
}

impl Pair {
    /// Starts it: a new life of this node.
    ///
    /// # Errors
    /// The key is missing or open to others, the number of this life can not be kept, or a thread can not be what its profile
    /// wants.
    pub(super) fn start(
        settings: &HeartbeatSettings,
        node: &NodeFacts,
        events: mpsc::Sender<PairEvent>,
    ) -> Result<Self> {
        let key = Key::load(&settings.key_file)?;
        let boot = boot::begin(&node.state_dir)?;
        let timing = settings.profile.timing();
        let real_time = settings.profile.is_real_time();
        let setup = Setup {
            own: NodeId::of(&node.name),
            peer: NodeId::of(&settings.peer),
            boot,
            key,
            timing,
            real_time,
            paths: settings.paths.clone(),
            port: settings.port,
        };
        let witness = settings
            .witness
            .map(|address| Witness::start(address, timing.interval, real_time))
            .transpose()
            .context("starting the witness's thread")?;
        let docket = Arc::<Docket>::default();
        let judge = PairJudge {
            own: setup.own,
            peer: setup.peer,
            timing,
            docket: Arc::clone(&docket),
            attendance: Attendance::new(Instant::now()),
            witness: witness.as_ref().map(Witness::answers),
            leases: Leases::of(&node.pins),
            events: events.clone(),
            cases: Vec::new(),
            apart: BTreeMap::new(),
        };
        let tell = move |event| events.try_send(PairEvent::Heartbeat(event)).is_ok();
        let heartbeats = Heartbeats::start(setup, judge, tell).context(
            "starting the heartbeat's thread: profile ultra needs CAP_SYS_NICE and CAP_IPC_LOCK (CapabilityBoundingSet= in the systemd unit, and RestrictRealtime=no); or choose `profile = \"fast\"`",
        )?;
        Ok(Self {
            settings: settings.clone(),
            node: node.clone(),
            docket,
            follower: Follower::new(settings),
            heartbeats,
            _witness: witness,
        })
    }

    /// Whether it is what these ask for.
    pub(super) fn suits(&self, settings: &HeartbeatSettings, node: &NodeFacts) -> bool {
        self.settings == *settings && self.node == *node
    }

    /// What the agent says of this node.
    pub(super) fn say(&self, statement: Statement) {
        self.heartbeats.say(statement);
    }

    /// Takes in what happened between the nodes.
    pub(super) fn note(&mut self, event: &Event) {
        self.follower.note(event);
    }

    /// Reads the counters, and complains of what was refused.
    pub(super) fn look(&mut self) {
        self.follower.count(&self.heartbeats.counts());
    }

    /// What people are shown.
    pub(super) fn view(&self) -> HeartbeatView {
        self.follower.view()
    }

    /// How long a hand-over may take: the wait after the last one, for the peer to take it, and the rest of the lease.
    pub(super) fn patience(&self) -> std::time::Duration {
        self.settings.profile.timing().detection() * 4
    }
}
