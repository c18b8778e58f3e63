//! How busy the checker is, and how its probes ended.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

use crate::health::Finding;

/// How busy the checker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProbeLoad {
    /// Most probes at once.
    pub bound: usize,
    /// Probes now under way.
    pub in_flight: usize,
    /// Probes that are due and wait for a place.
    pub waiting: usize,
    /// Probes begun since the start.
    pub started: u64,
    /// Sum of the times they waited for a place after they were due.
    pub queue_delay_total: Duration,
    /// The longest such wait.
    pub queue_delay_max: Duration,
}

/// Results of one monitor over all its backends since it was first used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResultTotals {
    /// Probes that passed.
    pub passed: u64,
    /// Probes that failed.
    pub failed: u64,
    /// Probes that could not be made on this machine.
    pub not_run: u64,
}

/// The places for probes.
#[derive(Debug)]
pub(super) struct Places {
    semaphore: Semaphore,
    bound: usize,
    waiting: AtomicUsize,
    started: AtomicU64,
    queue_nanos_total: AtomicU64,
    queue_nanos_max: AtomicU64,
}

/// Counters behind [`ResultTotals`].
#[derive(Debug, Default)]
pub(super) struct Totals {
    passed: AtomicU64,
    failed: AtomicU64,
    not_run: AtomicU64,
}

impl Places {
    pub(super) fn new(bound: usize) -> Self {
        let bound = bound.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            semaphore: Semaphore::new(bound),
            bound,
            waiting: AtomicUsize::new(0),
            started: AtomicU64::new(0),
            queue_nanos_total: AtomicU64::new(0),
            queue_nanos_max: AtomicU64::new(0),
        }
    }

    /// Waits for a place, first come first served. `None` only if the semaphore was closed, which
    /// nothing does.
    pub(super) async fn take(&self) -> Option<SemaphorePermit<'_>> {
        let due = Instant::now();
        let waiting = Waiting::begin(&self.waiting);
        let permit = self.semaphore.acquire().await.ok()?;
        drop(waiting);
        let waited = u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.started.fetch_add(1, Relaxed);
        self.queue_nanos_total.fetch_add(waited, Relaxed);
        self.queue_nanos_max.fetch_max(waited, Relaxed);
        Some(permit)
    }

    pub(super) fn load(&self) -> ProbeLoad {
        ProbeLoad {
            bound: self.bound,
            in_flight: self.bound - self.semaphore.available_permits(),
            waiting: self.waiting.load(Relaxed),
            started: self.started.load(Relaxed),
            queue_delay_total: Duration::from_nanos(self.queue_nanos_total.load(Relaxed)),
            queue_delay_max: Duration::from_nanos(self.queue_nanos_max.load(Relaxed)),
        }
    }
}

/// Counts a waiter for as long as it lives: a task may be stopped while it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Totals {
    pub(super) fn count(&self, finding: &Finding) {
        let counter = match finding {
            Finding::Passed(_) => &self.passed,
            Finding::Failed(_) => &self.failed,
            Finding::NotRun(_) => &self.not_run,
        };
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> ResultTotals {
        ResultTotals {
            passed: self.passed.load(Relaxed),
            failed: self.failed.load(Relaxed),
            not_run: self.not_run.load(Relaxed),
        }
    }
}
