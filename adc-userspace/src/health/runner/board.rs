//! All verdicts, and which of them still have to be told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tokio::sync::Notify;

use crate::{
    health::{
        CompiledMonitor, Target, TargetKey,
        bfd::Sessions,
        fsm::Start,
        rotation::{Opinion, combine},
    },
    model::{Health, MonitorName},
};

use super::{
    HealthEvent,
    load::{Places, Totals},
    pair::Pair,
    snapshot::{Snapshot, TargetStatus},
};

/// All verdicts. Locks are held for moments and never across an await; the order is entries, then
/// totals or untold, then a pair's own.
#[derive(Debug)]
pub(super) struct Board {
    entries: Mutex<BTreeMap<TargetKey, Entry>>,
    totals: Mutex<BTreeMap<MonitorName, Arc<Totals>>>,
    /// Targets whose health may differ from what was last told: bounded by the number of targets.
    untold: Mutex<BTreeSet<TargetKey>>,
    news: Notify,
    places: Places,
    sessions: Sessions,
}

#[derive(Debug)]
struct Entry {
    pairs: Vec<Pair>,
    health: Health,
    since: SystemTime,
    told: Health,
}

impl Board {
    pub(super) fn new(probes_in_flight: usize, sessions: Sessions) -> Self {
        Self {
            entries: Mutex::default(),
            totals: Mutex::default(),
            untold: Mutex::default(),
            news: Notify::new(),
            places: Places::new(probes_in_flight),
            sessions,
        }
    }

    /// What BFD sessions say.
    pub(super) fn sessions(&self) -> Sessions {
        self.sessions.clone()
    }

    pub(super) fn places(&self) -> &Places {
        &self.places
    }

    /// The counters of a monitor; they go on as long as a monitor of that name is in use.
    pub(super) fn totals_of(&self, name: &MonitorName) -> Arc<Totals> {
        lock(&self.totals).entry(name.clone()).or_default().clone()
    }

    /// See [`super::Checker::reconcile`].
    pub(super) fn reconcile(
        board: &Arc<Self>,
        targets: BTreeMap<TargetKey, Target>,
        now: SystemTime,
    ) {
        let mut entries = lock(&board.entries);
        let mut before = std::mem::take(&mut *entries);
        let mut names = BTreeSet::new();
        for (key, target) in targets {
            names.extend(target.monitors.iter().map(|monitor| monitor.name.clone()));
            let mut entry = match before.remove(&key) {
                Some(entry) => entry.changed_to(board, &key, target.monitors, now),
                None => Entry::new(board, &key, target, now),
            };
            entry.refresh(now);
            if entry.is_untold() {
                board.tell_later(&key);
            }
            entries.insert(key, entry);
        }
        lock(&board.totals).retain(|name, _| names.contains(name));
    }

    /// Takes in a changed verdict of a monitor.
    pub(super) fn refresh(&self, key: &TargetKey, now: SystemTime) {
        let mut entries = lock(&self.entries);
        let Some(entry) = entries.get_mut(key) else {
            return;
        };
        entry.refresh(now);
        if entry.is_untold() {
            self.tell_later(key);
        }
    }

    fn tell_later(&self, key: &TargetKey) {
        lock(&self.untold).insert(key.clone());
        self.news.notify_one();
    }

    /// Waits until there is something to tell, and counts it as told.
    pub(super) async fn next_event(&self) -> HealthEvent {
        loop {
            while let Some(key) = self.next_untold() {
                if let Some(event) = self.event_of(key) {
                    return event;
                }
            }
            self.news.notified().await;
        }
    }

    fn next_untold(&self) -> Option<TargetKey> {
        lock(&self.untold).pop_first()
    }

    /// `None` if the target is gone or back at what was last told.
    fn event_of(&self, key: TargetKey) -> Option<HealthEvent> {
        let mut entries = lock(&self.entries);
        let entry = entries.get_mut(&key)?;
        let detail = entry.refresh(SystemTime::now());
        if !entry.is_untold() {
            return None;
        }
        entry.told = entry.health;
        Some(HealthEvent {
            key,
            health: entry.health,
            detail,
            at: entry.since,
        })
    }

    pub(super) fn health(&self, key: &TargetKey) -> Option<(Health, String)> {
        let mut entries = lock(&self.entries);
        let entry = entries.get_mut(key)?;
        let detail = entry.refresh(SystemTime::now());
        Some((entry.health, detail))
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let now = SystemTime::now();
        let mut entries = lock(&self.entries);
        let targets = entries
            .iter_mut()
            .map(|(key, entry)| (key.clone(), entry.status(now)))
            .collect();
        let monitors = lock(&self.totals)
            .iter()
            .map(|(name, totals)| (name.clone(), totals.read()))
            .collect();
        let load = self.places.load();
        Snapshot {
            targets,
            monitors,
            load,
        }
    }

    /// Stops every task.
    pub(super) fn clear(&self) {
        lock(&self.entries).clear();
    }
}

impl Entry {
    fn new(board: &Arc<Board>, key: &TargetKey, target: Target, now: SystemTime) -> Self {
        let Target { monitors, seed } = target;
        let start_of = |monitor: &CompiledMonitor| match seed {
            Some(Health::Up) => Start::Up,
            Some(Health::Down) => Start::Down,
            Some(Health::Unknown) | None => monitor.monitor.initial.into(),
        };
        let pairs = monitors
            .into_iter()
            .map(|monitor| {
                let start = start_of(&monitor);
                Pair::start(board, key, monitor, start, now)
            })
            .collect();
        Self {
            pairs,
            health: Health::Unknown,
            since: now,
            told: Health::Unknown,
        }
    }

    fn changed_to(
        self,
        board: &Arc<Board>,
        key: &TargetKey,
        monitors: Vec<Arc<CompiledMonitor>>,
        now: SystemTime,
    ) -> Self {
        let Self {
            mut pairs,
            health,
            since,
            told,
        } = self;
        let start = match health {
            Health::Up => Start::Up,
            Health::Unknown | Health::Down => Start::Undecided,
        };
        let mut take = |monitor: &CompiledMonitor| {
            let same = |pair: &Pair| {
                pair.monitor.name == monitor.name && pair.monitor.monitor == monitor.monitor
            };
            let index = pairs.iter().position(same)?;
            Some(pairs.swap_remove(index))
        };
        let pairs = monitors
            .into_iter()
            .map(|monitor| match take(&monitor) {
                Some(pair) => pair.keep_with(monitor),
                None => Pair::start(board, key, monitor, start, now),
            })
            .collect();
        Self {
            pairs,
            health,
            since,
            told,
        }
    }

    /// Takes in what the monitors say now, and returns why.
    fn refresh(&mut self, now: SystemTime) -> String {
        let words: Vec<_> = self.pairs.iter().map(Pair::verdict).collect();
        let opinions: Vec<_> = self
            .pairs
            .iter()
            .zip(&words)
            .map(|(pair, (health, reason))| Opinion {
                monitor: pair.monitor.name.as_str(),
                health: *health,
                reason,
            })
            .collect();
        let (health, detail) = combine(&opinions);
        if health != self.health {
            self.health = health;
            self.since = now;
        }
        detail
    }

    fn is_untold(&self) -> bool {
        self.health != self.told
    }

    fn status(&mut self, now: SystemTime) -> TargetStatus {
        let detail = self.refresh(now);
        TargetStatus {
            health: self.health,
            detail,
            since: self.since,
            monitors: self.pairs.iter().map(Pair::status).collect(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code under these locks can panic half-way through a change; going on is safe.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
