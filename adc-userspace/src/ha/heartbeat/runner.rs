//! The thread that sends heartbeats and hears those of the peer.
//!
//! A thread of its own, because the agent's event loop may be busy for longer than a peer waits. What decides about roles
//! ([`Judge`]) runs in it too: between the last heartbeat that is taken in and the next one that goes out, nothing waits for
//! anybody.

mod turn;

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    counters::{Counters, Counts},
    detector::Detector,
    key::Key,
    packet::{Boot, Claim, Heartbeat, NodeId, SyncState},
    realtime,
};
use crate::model::{HeartbeatPath, Timing};

/// How long an agent that says nothing still counts as working.
pub(in crate::ha) const AGENT_PATIENCE: Duration = Duration::from_secs(3);

/// What a heartbeat needs to run.
#[derive(Clone, Debug)]
pub struct Setup {
    /// This node.
    pub own: NodeId,
    /// The other one.
    pub peer: NodeId,
    /// This life of this node.
    pub boot: Boot,
    /// The shared key.
    pub key: Key,
    /// How often, and how many may be missing.
    pub timing: Timing,
    /// A real-time thread.
    pub real_time: bool,
    /// The ways to the peer.
    pub paths: Vec<HeartbeatPath>,
    /// UDP port.
    pub port: u16,
}

/// What the agent says of this node; it must say so again at least every three seconds, or it does not work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Packets are forwarded.
    pub data_plane_ok: bool,
    /// How far this node has the flows of its peer.
    pub sync: SyncState,
    /// Hash of what both nodes must be configured with alike; 0 = not known yet.
    pub config_hash: u64,
}

impl Statement {
    /// Whether the peer says that it is configured otherwise in what must be alike.
    pub fn differs_from(&self, peer: &Heartbeat) -> bool {
        let both_known = self.config_hash != 0 && peer.config_hash != 0;
        both_known && self.config_hash != peer.config_hash
    }
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer is heard by a path, or no longer.
    Path {
        /// Which, counted from 0.
        path: usize,
        /// Whether it is.
        heard: bool,
    },
    /// The peer is heard by some path, or by none any more.
    Peer {
        /// Whether it is.
        heard: bool,
    },
    /// The peer's configuration differs in what must be alike, or does no longer.
    ConfigDiffers(bool),
    /// Something does not work, and is tried again.
    Trouble(String),
}

/// What is known when a decision is due.
#[derive(Debug)]
pub struct View<'v> {
    /// Who was heard, and what it said.
    pub detector: &'v Detector,
    /// When the newest heartbeat was sent that the peer says it has heard.
    pub confirmed: Option<Instant>,
    /// What the agent last said.
    pub statement: Statement,
    /// Now.
    pub now: Instant,
}

impl View<'_> {
    /// Whether the peer, as far as it has said, is configured otherwise in what must be alike.
    pub fn config_differs(&self) -> bool {
        let newest = self.detector.newest();
        newest.is_some_and(|peer| self.statement.differs_from(peer))
    }
}

/// What goes into the heartbeats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// One per group.
    pub claims: Vec<Claim>,
    /// A role changed: it is told at once.
    pub urgent: bool,
}

/// Decides about roles, in the heartbeat's thread. It must not wait for anything.
pub trait Judge: Send + 'static {
    /// Called whenever something was heard, and before each heartbeat.
    fn decide(&mut self, view: &View<'_>) -> Judgement;
}

/// A judge without groups: the heartbeat only watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch;

impl Judge for Watch {
    fn decide(&mut self, _view: &View<'_>) -> Judgement {
        Judgement::default()
    }
}

/// A running heartbeat; it stops when dropped.
#[derive(Debug)]
pub struct Heartbeats {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and the agent share.
#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    counters: Counters,
    statement: Mutex<(Statement, Instant)>,
}

impl Heartbeats {
    /// Starts the thread. It calls `events` with what changed, and that must not wait; false = the event was lost.
    ///
    /// # Errors
    /// No thread could be started, or it could not be made real-time.
    pub fn start(
        setup: Setup,
        judge: impl Judge,
        events: impl Fn(Event) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            counters: Counters::new(setup.paths.len()),
            statement: Mutex::new((Statement::default(), Instant::now())),
        });
        let (ready, prepared) = std::sync::mpsc::sync_channel(1);
        let thread = thread::Builder::new().name("heartbeat".into()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                let outcome = realtime::prepare(setup.real_time);
                let go_on = outcome.is_ok();
                // Whoever started us is gone: so is the reason to run.
                if ready.send(outcome).is_ok() && go_on {
                    turn::run(setup, judge, &shared, &events);
                }
            }
        })?;
        let heartbeats = Self {
            shared,
            thread: Some(thread),
        };
        prepared
            .recv()
            .map_err(|_gone| io::Error::other("the heartbeat's thread ended"))??;
        Ok(heartbeats)
    }

    /// What the agent says now.
    pub fn say(&self, statement: Statement) {
        let said = self.shared.statement.lock();
        *said.unwrap_or_else(PoisonError::into_inner) = (statement, Instant::now());
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.shared.counters.read()
    }
}

impl Shared {
    fn said(&self) -> (Statement, Instant) {
        *self
            .statement
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Drop for Heartbeats {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in it was printed; there is nothing to add.
            let _ended = thread.join();
        }
    }
}
