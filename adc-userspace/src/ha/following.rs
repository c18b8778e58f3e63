//! What BFD sessions mean for groups.

use std::{
    collections::BTreeMap,
    future,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    keeper::{SavedTask, Settings},
    saved::monotonic,
    task::Task,
};
use crate::api::proto::BfdView;

impl Task {
    /// Makes the sessions those of the settings. One that can not be is no reason to refuse the rest: whatever follows it
    /// finds it unknown.
    pub(super) fn follow_sessions(&mut self, settings: &Settings) {
        let wanted = settings.bfd.iter().cloned().collect();
        if let Err(error) = self.shared.bfd.configure(&wanted) {
            tracing::error!("starting BFD: {error}; its sessions stay down");
        }
        self.note_sessions();
    }

    /// Goes on with the sessions that another program had.
    pub(super) fn restore_sessions(&mut self, saved: &mut SavedTask) {
        let since = monotonic().saturating_sub(saved.at);
        let now = Instant::now();
        let base = now.checked_sub(since).unwrap_or(now);
        let sessions = std::mem::take(&mut saved.sessions);
        if let Err(error) = self.shared.bfd.restore(base, sessions) {
            tracing::error!("starting BFD: {error}; its sessions go down");
        }
        self.note_sessions();
    }

    /// Takes in what sessions say now; whether any of it is new.
    fn note_sessions(&mut self) -> bool {
        let view = self.shared.bfd.view();
        let verdicts: BTreeMap<_, _> = {
            let view = view.borrow();
            let sessions = view.sessions.iter();
            sessions
                .map(|session| (session.name.clone(), session.verdict))
                .collect()
        };
        let new = self.known.sessions != verdicts;
        self.known.sessions = verdicts;
        new
    }

    /// Something was said of sessions: groups are told if it matters to them.
    pub(super) async fn sessions_changed(&mut self) {
        if self.note_sessions() {
            self.judge_all().await;
        }
    }
}

/// Waits until something else is said of sessions.
pub(super) async fn said(view: &mut watch::Receiver<BfdView>) {
    if view.changed().await.is_err() {
        // Nobody is left to say anything.
        future::pending::<Duration>().await;
    }
}
