//! Runs the probes of all targets and reports changed verdicts.
//!
//! One task per (target, monitor) pair sleeps, probes and records, so a pair never has two probes at
//! once. The [`Board`] holds every verdict; one dispatcher turns changes into events, in order.

mod board;
mod dispatcher;
mod load;
mod pair;
mod snapshot;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::{api::proto::BfdView, model::Health};

use super::{Target, TargetKey, bfd};
use board::Board;
pub use load::{ProbeLoad, ResultTotals};
pub use snapshot::{MonitorStatus, Snapshot, TargetStatus};

/// Probes in flight at once unless told otherwise. Each needs a file descriptor, and 1 024 of those is
/// what a process has by default.
pub const DEFAULT_PROBES_IN_FLIGHT: usize = 256;

/// The health of a target changed. Before its first event a target is [`Health::Unknown`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthEvent {
    /// Whose.
    pub key: TargetKey,
    /// Its health from now on.
    pub health: Health,
    /// Why; names the monitor that decides.
    pub detail: String,
    /// When it changed.
    pub at: SystemTime,
}

/// Keeps every target under watch. Dropping it stops all probes.
#[derive(Debug)]
pub struct Checker {
    board: Arc<Board>,
    _dispatcher: Task,
}

/// A task that ends with its owner.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Task {
    fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Checker {
    /// A checker with no targets, and [`DEFAULT_PROBES_IN_FLIGHT`].
    ///
    /// `events` gets one event per changed health. A reader that is slow or stops holds no probe up and
    /// makes nothing grow: it misses steps in between (down, up, down: one `down`), never the last word.
    /// After a target was removed, events about it may still be on their way.
    ///
    /// Call this and [`reconcile`](Self::reconcile) inside a tokio runtime with IO and time.
    pub fn new(events: mpsc::Sender<HealthEvent>) -> Self {
        Self::with_probes_in_flight(events, DEFAULT_PROBES_IN_FLIGHT)
    }

    /// As [`new`](Self::new) with another bound on the probes in flight (at least 1).
    ///
    /// Backends that answer hold a place for milliseconds, dead ones for the monitor's whole timeout:
    /// if [`ProbeLoad::queue_delay_max`] grows, raise the bound and the process's limit of open files.
    pub fn with_probes_in_flight(events: mpsc::Sender<HealthEvent>, bound: usize) -> Self {
        Self::following(events, bound, bfd::nothing())
    }

    /// The same; monitors of type `bfd` go by these sessions.
    pub fn following(
        events: mpsc::Sender<HealthEvent>,
        bound: usize,
        sessions: watch::Receiver<BfdView>,
    ) -> Self {
        let board = Arc::new(Board::new(bound, sessions));
        let dispatcher = Task::spawn(dispatcher::run(board.clone(), events));
        Self {
            board,
            _dispatcher: dispatcher,
        }
    }

    /// Makes `targets` the set under watch.
    ///
    /// A pair whose monitor has an equal definition keeps its state and schedule. A changed or added
    /// monitor of a known target starts anew: from `up` where the target is up, so that a reload takes no
    /// backend out of use, and else undecided. Removed targets and monitors stop at once.
    pub fn reconcile(&self, targets: BTreeMap<TargetKey, Target>) {
        Board::reconcile(&self.board, targets, SystemTime::now());
    }

    /// Health and its explanation for one target; `None` if it is not under watch.
    pub fn health(&self, key: &TargetKey) -> Option<(Health, String)> {
        self.board.health(key)
    }

    /// Everything known, for status, metrics, and as seed of the next agent.
    pub fn snapshot(&self) -> Snapshot {
        self.board.snapshot()
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        // The tasks and the board refer to each other; this is where the circle is cut.
        self.board.clear();
    }
}
