//! What the heartbeat's thread counts. Atomic, so that whoever reads never keeps that thread waiting.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::refusal::Refusal;

/// Counters of one heartbeat.
#[derive(Debug)]
pub struct Counters {
    paths: Vec<PathCounters>,
    refused: [AtomicU64; Refusal::ALL.len()],
    pub(super) events_lost: AtomicU64,
    pub(super) peer_agent_ok: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct PathCounters {
    pub(super) sent: AtomicU64,
    pub(super) not_sent: AtomicU64,
    pub(super) received: AtomicU64,
    /// Microseconds.
    pub(super) longest_gap: AtomicU64,
}

/// Counters as they were at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By path.
    pub paths: Vec<PathCounts>,
    /// Datagrams that were ignored, by reason; those with none are left out.
    pub refused: BTreeMap<Refusal, u64>,
    /// Events that the agent was too slow to take.
    pub events_lost: u64,
    /// Whether the agent of the peer works, as that said last.
    pub peer_agent_ok: bool,
}

/// Counters of one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathCounts {
    /// Heartbeats sent.
    pub sent: u64,
    /// Heartbeats that the kernel did not take: no address, no route, interface down.
    pub not_sent: u64,
    /// Heartbeats taken from the peer.
    pub received: u64,
    /// The longest time between two of them, since the counters were last read.
    pub longest_gap: Duration,
}

impl Counters {
    pub(super) fn new(paths: usize) -> Self {
        Self {
            paths: (0..paths).map(|_| PathCounters::default()).collect(),
            refused: Default::default(),
            events_lost: AtomicU64::new(0),
            peer_agent_ok: AtomicBool::new(false),
        }
    }

    pub(super) fn path(&self, path: usize) -> Option<&PathCounters> {
        self.paths.get(path)
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        let at = Refusal::ALL.iter().position(|known| *known == refusal);
        if let Some(counter) = at.and_then(|at| self.refused.get(at)) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// All of them; the longest gaps begin anew.
    pub fn read(&self) -> Counts {
        let path = |path: &PathCounters| PathCounts {
            sent: path.sent.load(Relaxed),
            not_sent: path.not_sent.load(Relaxed),
            received: path.received.load(Relaxed),
            longest_gap: Duration::from_micros(path.longest_gap.swap(0, Relaxed)),
        };
        let refused = Refusal::ALL.into_iter().zip(&self.refused);
        let refused = refused.map(|(refusal, counter)| (refusal, counter.load(Relaxed)));
        Counts {
            paths: self.paths.iter().map(path).collect(),
            refused: refused.filter(|(_, count)| *count > 0).collect(),
            events_lost: self.events_lost.load(Relaxed),
            peer_agent_ok: self.peer_agent_ok.load(Relaxed),
        }
    }
}
