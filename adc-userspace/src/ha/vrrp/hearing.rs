//! What an advert does to a group (RFC 9568 §6.4.2 and §6.4.3).

use std::time::{Duration, Instant};

use super::{Action, Heard, Instance, wire::Wire};
use crate::ha::Role;

/// How often, at most, lower-priority adverts make us announce the addresses again.
const REPAIR_EVERY: Duration = Duration::from_secs(1);

impl Instance {
    pub(super) fn heard(&mut self, now: Instant, heard: Heard, actions: &mut Vec<Action>) {
        let Some(at) = self.wires.iter().position(|w| w.family == heard.family) else {
            return;
        };
        let decisive = self.is_decisive(at, now);
        self.wires[at].last = Some((now, heard));
        match self.role {
            Role::Init | Role::Fault => {}
            Role::Backup => {
                if self.resuming && heard.priority > 0 {
                    self.give_up(now, format!("{} took over", heard.source), actions);
                }
                self.heard_as_backup(now, at, heard);
            }
            Role::Active => self.heard_as_active(now, at, decisive, heard, actions),
        }
    }

    fn heard_as_backup(&mut self, now: Instant, at: usize, heard: Heard) {
        let ours = self.priority();
        if heard.priority == 0 {
            self.wires[at].down_at = now + self.timing.skew(ours, self.wires[at].active_interval);
            return;
        }
        if heard.priority >= ours {
            self.preempt_at = None;
        } else if self.preempts() {
            let from = *self
                .preempt_at
                .get_or_insert(now + self.timing.preempt_delay);
            if now >= from {
                return;
            }
        }
        self.wires[at].active_interval = heard.interval;
        self.wires[at].down_at = now + self.timing.down(ours, heard.interval);
    }

    fn heard_as_active(
        &mut self,
        now: Instant,
        at: usize,
        decisive: bool,
        heard: Heard,
        actions: &mut Vec<Action>,
    ) {
        let ours = self.priority();
        let own = self.wires[at].own.as_ref().ok().copied();
        let Heard {
            source,
            priority,
            interval,
            ..
        } = heard;
        if priority == 0 {
            self.advertise(now, actions);
            return;
        }
        let equal = priority == ours;
        if priority > ours || (equal && decisive && own.is_some_and(|own| source > own)) {
            let why = if equal {
                format!("{source} has the same priority, {ours}, and the higher address")
            } else {
                format!("{source} has priority {priority}, we have {ours}")
            };
            self.yield_to(now, at, interval, why, actions);
            return;
        }
        let late = now.saturating_duration_since(self.advert_at);
        if !self.preempts() && late >= self.timing.interval * 2 {
            // Stopped or starved: the other router is right, we were silent.
            let why = format!("{source} took over while this node said nothing for {late:?}");
            self.yield_to(now, at, interval, why, actions);
            return;
        }
        if equal && !decisive {
            return;
        }
        self.assert_role(now, actions);
    }

    fn yield_to(
        &mut self,
        now: Instant,
        at: usize,
        interval: Duration,
        why: String,
        actions: &mut Vec<Action>,
    ) {
        self.wires[at].active_interval = interval;
        self.leave(now, Role::Backup, why, false, actions);
    }

    /// A router that should not be active is: tell it, and undo what it told hosts and switches.
    fn assert_role(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let pause = self.timing.interval / 10;
        let due = |last: Option<Instant>, pause| last.is_none_or(|last| now >= last + pause);
        if due(self.answered, pause) {
            self.answered = Some(now);
            self.advertise(now, actions);
        }
        if due(self.repaired, REPAIR_EVERY) {
            self.repaired = Some(now);
            let count = self.timing.announcing.count;
            actions.push(Action::Announce { count });
        }
    }

    /// Whether a tie in this family is decided by address: in the first always, in the second if it says so twice while
    /// the first is silent. Adverts of the two families are sent together and may overtake each other.
    fn is_decisive(&self, at: usize, now: Instant) -> bool {
        let ours = self.priority();
        let hears = |wire: &Wire| {
            let patience = self.timing.down(ours, wire.active_interval);
            let lately = |heard: Instant| heard >= self.since && now < heard + patience;
            wire.last.is_some_and(|(heard, _)| lately(heard))
        };
        let (before, this) = self.wires.split_at(at);
        at == 0 || (!before.iter().any(hears) && this.first().is_some_and(hears))
    }
}
