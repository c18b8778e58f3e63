//! One monitor on one backend: its state, and the task that probes.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, sleep_until};

use crate::{
    health::{
        CompiledMonitor, ProbeOutcome, TargetKey,
        bfd::{Word, word_on},
        fsm::{RiseFall, Start},
        schedule::Schedule,
        targets::Method,
    },
    model::Health,
};

use crate::health::Finding;

use super::{Task, board::Board, load::Totals, snapshot::MonitorStatus};

/// A pair under watch; dropping it stops its task.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) monitor: Arc<CompiledMonitor>,
    shared: Arc<Shared>,
    _task: Task,
}

/// What the task writes and everybody reads.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Replaced by a reload that read the same definition's CA file anew.
    compiled: Mutex<Arc<CompiledMonitor>>,
    totals: Arc<Totals>,
}

#[derive(Debug)]
struct State {
    rise_fall: RiseFall,
    last_probe: Option<Duration>,
    passed: u64,
    failed: u64,
}

impl Pair {
    /// Begins to watch.
    pub(super) fn start(
        board: &Arc<Board>,
        key: &TargetKey,
        monitor: Arc<CompiledMonitor>,
        start: Start,
        since: SystemTime,
    ) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                rise_fall: RiseFall::new((&monitor.monitor).into(), start, since),
                last_probe: None,
                passed: 0,
                failed: 0,
            }),
            compiled: Mutex::new(monitor.clone()),
            totals: board.totals_of(&monitor.name),
        });
        let task = match monitor.method {
            Method::Probe(_) => Task::spawn(watch(board.clone(), key.clone(), shared.clone())),
            Method::Session => Task::spawn(follow(board.clone(), key.clone(), shared.clone())),
        };
        Self {
            monitor,
            shared,
            _task: task,
        }
    }

    /// Goes on with its state and schedule, and uses `monitor` (same definition) from the next probe on.
    pub(super) fn keep_with(self, monitor: Arc<CompiledMonitor>) -> Self {
        *self
            .shared
            .compiled
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = monitor.clone();
        Self { monitor, ..self }
    }

    /// Its verdict and why.
    pub(super) fn verdict(&self) -> (Health, String) {
        let state = self.shared.state();
        let reason = state.rise_fall.reason().to_owned();
        (state.rise_fall.health(), reason)
    }

    pub(super) fn status(&self) -> MonitorStatus {
        let state = self.shared.state();
        let rise_fall = &state.rise_fall;
        MonitorStatus {
            name: self.monitor.name.clone(),
            health: rise_fall.health(),
            detail: rise_fall.detail().to_owned(),
            since: rise_fall.since(),
            successes: rise_fall.successes(),
            failures: rise_fall.failures(),
            passed: state.passed,
            failed: state.failed,
            last_probe: state.last_probe,
            last_success: rise_fall.last_success(),
        }
    }
}

impl Shared {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // A probe that panicked elsewhere cannot leave the plain values in here half-written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compiled(&self) -> Arc<CompiledMonitor> {
        self.compiled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes in what a session says; whether the verdict changed.
    fn take_word(&self, word: &Word, now: SystemTime) -> bool {
        let (detail, withdrawn) = match word {
            Word::Verdict(finding) => {
                let elapsed = Duration::ZERO;
                let finding = finding.clone();
                return self.record(&ProbeOutcome { finding, elapsed }, now);
            }
            Word::Withdrawn(detail) => (detail, true),
            Word::Silence(detail) => (detail, false),
        };
        let mut state = self.state();
        if withdrawn {
            return state.rise_fall.withdraw(detail, now).is_some();
        }
        let nothing = Finding::NotRun(detail.clone());
        state.rise_fall.record(&nothing, now).is_some()
    }

    /// Whether the verdict changed.
    fn record(&self, outcome: &ProbeOutcome, now: SystemTime) -> bool {
        self.totals.count(&outcome.finding);
        let mut state = self.state();
        state.last_probe = Some(outcome.elapsed);
        match outcome.finding {
            Finding::Passed(_) => state.passed += 1,
            Finding::Failed(_) => state.failed += 1,
            Finding::NotRun(_) => {}
        }
        state.rise_fall.record(&outcome.finding, now).is_some()
    }
}

/// Probes for ever; the owner of the task ends it.
async fn watch(board: Arc<Board>, key: TargetKey, shared: Arc<Shared>) {
    let mut schedule = schedule_of(&shared.compiled(), &key);
    let mut due = Instant::now() + schedule.first_delay();
    loop {
        sleep_until(due).await;
        let Some(place) = board.places().take().await else {
            return;
        };
        let started = Instant::now();
        let compiled = shared.compiled();
        let Method::Probe(probe) = &compiled.method else {
            return;
        };
        let outcome = probe.run(key.backend.0).await;
        drop(place);
        let now = SystemTime::now();
        if shared.record(&outcome, now) {
            board.refresh(&key, now);
        }
        // A probe that had to wait shifts the following ones; missed ones are not made up for.
        due = started + schedule.next_interval();
    }
}

/// Follows a BFD session for ever; the owner of the task ends it.
async fn follow(board: Arc<Board>, key: TargetKey, shared: Arc<Shared>) {
    let mut sessions = board.sessions();
    let backend = key.backend.ip();
    let mut last = None;
    loop {
        let word = word_on(&sessions.borrow_and_update(), backend);
        // Counters change every second; what is said of the backend does not.
        if last.as_ref() != Some(&word) {
            let now = SystemTime::now();
            if shared.take_word(&word, now) {
                board.refresh(&key, now);
            }
            last = Some(word);
        }
        if sessions.changed().await.is_err() {
            return;
        }
    }
}

/// Two nodes with one configuration must not probe in step, so the seed also differs by process.
fn schedule_of(compiled: &CompiledMonitor, key: &TargetKey) -> Schedule {
    let seed = RandomState::new().hash_one((key, compiled.name.as_str()));
    let monitor = &compiled.monitor;
    Schedule::new(monitor.interval, monitor.jitter_percent, seed)
}
