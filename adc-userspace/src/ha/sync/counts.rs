//! What replication did so far.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use super::refusal::{Refusal, Skip};

/// Counters and gauges that the threads move and others read.
#[derive(Debug, Default)]
pub struct Counters {
    /// Whether the other node gets this node's flows now.
    pub(super) serving: AtomicBool,
    /// Whether this node gets the other's.
    pub(super) following: AtomicBool,
    pub(super) sent: AtomicU64,
    pub(super) unnamed: AtomicU64,
    pub(super) untold: AtomicU64,
    pub(super) resyncs: AtomicU64,
    pub(super) waiting: AtomicU64,
    pub(super) lag_millis: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) inserted: AtomicU64,
    pub(super) pulls: AtomicU64,
    pub(super) pulled_flows: AtomicU64,
    pub(super) pulled_millis: AtomicU64,
    skipped: [AtomicU64; Skip::ALL.len()],
    refused: [AtomicU64; Refusal::ALL.len()],
}

/// The same at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Whether the other node gets this node's flows now.
    pub serving: bool,
    /// Whether this node gets the other's.
    pub following: bool,
    /// Flows told, those told again included.
    pub sent: u64,
    /// Flows not told, because their backend is gone.
    pub unnamed: u64,
    /// News that did not fit into the ring; told after a walk.
    pub untold: u64,
    /// Walks because news was lost.
    pub resyncs: u64,
    /// Flows told that the other node has not taken yet.
    pub waiting: u64,
    /// Time from a flow's news to the word that the other node has it, milliseconds; the last one.
    pub lag_millis: u64,
    /// Flows that the other node told.
    pub received: u64,
    /// Of these, flows that were new here.
    pub inserted: u64,
    /// Times that everything was fetched.
    pub pulls: u64,
    /// Flows that the last of these brought.
    pub pulled_flows: u64,
    /// How long it took, milliseconds.
    pub pulled_millis: u64,
    /// Flows not taken, by reason; every reason is there.
    pub skipped: BTreeMap<Skip, u64>,
    /// Connections refused or ended, by reason; every reason is there.
    pub refused: BTreeMap<Refusal, u64>,
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// Sets a gauge.
pub(super) fn set(gauge: &AtomicU64, value: u64) {
    gauge.store(value, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn skip(&self, skip: Skip) {
        if let Some(counter) = self.skipped.get(skip as usize) {
            add(counter, 1);
        }
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        if let Some(counter) = self.refused.get(refusal as usize) {
            add(counter, 1);
        }
    }

    /// As they are now.
    pub fn counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let skipped = Skip::ALL.iter().copied().zip(&self.skipped);
        let refused = Refusal::ALL.iter().copied().zip(&self.refused);
        Counts {
            serving: self.serving.load(Ordering::Relaxed),
            following: self.following.load(Ordering::Relaxed),
            sent: get(&self.sent),
            unnamed: get(&self.unnamed),
            untold: get(&self.untold),
            resyncs: get(&self.resyncs),
            waiting: get(&self.waiting),
            lag_millis: get(&self.lag_millis),
            received: get(&self.received),
            inserted: get(&self.inserted),
            pulls: get(&self.pulls),
            pulled_flows: get(&self.pulled_flows),
            pulled_millis: get(&self.pulled_millis),
            skipped: skipped.map(|(skip, n)| (skip, get(n))).collect(),
            refused: refused.map(|(refusal, n)| (refusal, get(n))).collect(),
        }
    }
}
