//! The last changes of a group's role, and how long each part of them took. Pure.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::Role;
use crate::api::proto::{HaChangeView, HaDurations, Timestamp};

/// Changes that are remembered.
const MOST: usize = 8;

/// What is known of a change before anything is done about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// What the node was.
    pub(super) from: Role,
    /// When it was decided.
    pub(super) decided: Instant,
    /// When the other node was last heard.
    pub(super) last_heard: Option<Instant>,
    /// Since when this node gave the group away.
    pub(super) gave: Option<Instant>,
    /// When the data plane was granted its lease, where that is done before anybody else hears of it.
    pub(super) leased: Option<Instant>,
}

/// The changes of a group.
#[derive(Clone, Debug)]
pub(super) struct History {
    changes: VecDeque<HaChangeView>,
    /// When the role last changed.
    turned: Instant,
}

/// A change that is being made.
#[derive(Debug)]
pub(super) struct Change {
    decided: Instant,
    view: HaChangeView,
}

impl History {
    /// None yet.
    pub(super) fn new(now: Instant) -> Self {
        Self::restored(Vec::new(), now)
    }

    /// Goes on with those that another program saw; the role last changed at `turned`.
    pub(super) fn restored(changes: Vec<HaChangeView>, turned: Instant) -> Self {
        Self {
            changes: changes.into(),
            turned,
        }
    }

    /// When the role last changed.
    pub(super) fn turned(&self) -> Instant {
        self.turned
    }

    /// The oldest first.
    pub(super) fn views(&self) -> Vec<HaChangeView> {
        self.changes.iter().cloned().collect()
    }

    /// A change begins; [`Self::end`] keeps it. What was heard before this node began to listen says nothing about how long
    /// it listened in vain.
    pub(super) fn begin(&mut self, turn: &Turn, to: Role, why: &str, at: Timestamp) -> Change {
        let takes_over = to == Role::Active;
        let heard = turn.last_heard.filter(|heard| *heard >= self.turned);
        let since = |earlier: Instant| micros(turn.decided.saturating_duration_since(earlier));
        let took = HaDurations {
            detection_micros: heard.filter(|_| takes_over).map(since),
            handover_micros: turn.gave.filter(|_| !takes_over).map(since),
            ..HaDurations::default()
        };
        self.turned = turn.decided;
        let mut change = Change {
            decided: turn.decided,
            view: HaChangeView {
                at,
                from: turn.from,
                to,
                why: why.to_owned(),
                took,
            },
        };
        if let Some(leased) = turn.leased.filter(|_| takes_over) {
            change.leased(leased);
        }
        change
    }

    /// A change is made. The last that made this node active is kept, however many others came after it; one that changed
    /// no role is none.
    pub(super) fn end(&mut self, change: Change) {
        if change.view.from == change.view.to {
            return;
        }
        self.changes.push_back(change.view);
        if self.changes.len() <= MOST {
            return;
        }
        let takes_over = |change: &HaChangeView| change.to == Role::Active;
        let last = self.changes.iter().rposition(takes_over);
        self.changes.remove(usize::from(last == Some(0)));
    }
}

impl Change {
    /// The data plane has its lease.
    pub(super) fn leased(&mut self, now: Instant) {
        self.view.took.lease_micros = Some(self.since(now));
    }

    /// The addresses are on, or off.
    pub(super) fn addressed(&mut self, now: Instant) {
        self.view.took.addresses_micros = Some(self.since(now));
    }

    /// The first announcements are out.
    pub(super) fn announced(&mut self, now: Instant) {
        self.view.took.announcement_micros = Some(self.since(now));
    }

    fn since(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.decided))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn at() -> Timestamp {
        Timestamp(SystemTime::UNIX_EPOCH)
    }

    fn turn(from: Role, decided: Instant) -> Turn {
        Turn {
            from,
            decided,
            last_heard: None,
            gave: None,
            leased: None,
        }
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_takeover_tells_how_long_the_other_was_silent_and_what_came_when_after_that() {
        let start = Instant::now();
        let mut history = History::new(start);
        let decided = start + 500 * MS;
        let turn = Turn {
            last_heard: Some(start + 400 * MS),
            gave: Some(start),
            ..turn(Role::Backup, decided)
        };
        let mut change = history.begin(&turn, Role::Active, "silent", at());
        change.leased(decided + MS);
        change.addressed(decided + 2 * MS);
        change.announced(decided + 3 * MS);
        history.end(change);
        let parts: Vec<_> = history.views()[0].took.parts().collect();
        let expected = [
            ("detection", 100_000),
            ("lease", 1_000),
            ("addresses", 2_000),
            ("announcement", 3_000),
        ];
        assert_eq!(parts, expected);
        assert_eq!(history.turned(), decided);
    }

    #[test]
    fn what_was_heard_before_this_node_listened_is_no_time_of_detection() {
        let start = Instant::now();
        let mut history = History::new(start);
        let listening = start + 10 * MS;
        let change = history.begin(&turn(Role::Fault, listening), Role::Backup, "fit", at());
        history.end(change);
        let turn = Turn {
            last_heard: Some(start + 9 * MS),
            ..turn(Role::Backup, start + 400 * MS)
        };
        let change = history.begin(&turn, Role::Active, "alone", at());
        assert_eq!(change.view.took.detection_micros, None);
    }

    #[test]
    fn who_gives_the_group_away_tells_how_long_that_took() {
        let start = Instant::now();
        let mut history = History::new(start);
        let turn = Turn {
            gave: Some(start + MS),
            last_heard: Some(start + MS),
            leased: Some(start + MS),
            ..turn(Role::Active, start + 4 * MS)
        };
        let change = history.begin(&turn, Role::Backup, "handed over", at());
        history.end(change);
        let parts: Vec<_> = history.views()[0].took.parts().collect();
        assert_eq!(parts, [("handover", 3_000)]);
    }

    #[test]
    fn the_last_takeover_is_remembered_however_often_the_role_changes_after_it() {
        let start = Instant::now();
        let mut history = History::new(start);
        let mut change = |from, to, why: &str| {
            let change = history.begin(&turn(from, start), to, why, at());
            history.end(change);
        };
        change(Role::Init, Role::Active, "first");
        change(Role::Backup, Role::Active, "last");
        for _ in 0..20 {
            change(Role::Backup, Role::Backup, "no change");
            change(Role::Fault, Role::Backup, "fit");
            change(Role::Backup, Role::Fault, "unfit");
        }
        let views = history.views();
        assert_eq!(views.len(), MOST);
        assert_eq!(views[0].why, "last");
        assert!(views[1..].iter().all(|change| change.to != Role::Active));
        assert_eq!(views[MOST - 1].why, "unfit");
    }
}
