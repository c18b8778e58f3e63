//! What the checker knows at one moment.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crate::{
    health::TargetKey,
    model::{Health, MonitorName},
};

use super::{ProbeLoad, ResultTotals};

/// What the checker knows at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Every target under watch.
    pub targets: BTreeMap<TargetKey, TargetStatus>,
    /// Results by monitor.
    pub monitors: BTreeMap<MonitorName, ResultTotals>,
    /// How busy the checker is.
    pub load: ProbeLoad,
}

/// One backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetStatus {
    /// What its monitors say together.
    pub health: Health,
    /// Why; names the monitor that decides.
    pub detail: String,
    /// When `health` last changed.
    pub since: SystemTime,
    /// Each monitor's view.
    pub monitors: Vec<MonitorStatus>,
}

/// One monitor's view of one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitorStatus {
    /// Its name.
    pub name: MonitorName,
    /// Its verdict.
    pub health: Health,
    /// What its last probe found.
    pub detail: String,
    /// When its verdict last changed.
    pub since: SystemTime,
    /// Successes in a row up to the last result.
    pub successes: u32,
    /// Failures in a row up to the last result.
    pub failures: u32,
    /// Probes that passed since the pair is watched.
    pub passed: u64,
    /// Probes that failed since then.
    pub failed: u64,
    /// Duration of the last probe; `None` before the first has finished.
    pub last_probe: Option<Duration>,
    /// When a probe last passed.
    pub last_success: Option<SystemTime>,
}
