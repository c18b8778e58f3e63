//! A group's state machine as another program can take it up: the same process, a newer binary.
//!
//! Times are kept relative to a base that both know. What the next program does not know it leaves out; what this one did
//! not say begins as new.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{Announcements, Family, Heard, Instance, Order, Timing, Tracking, wire::Wire};
use crate::ha::Role;

/// A point in time: nanoseconds after the base, negative before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment(i64);

/// A state machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedInstance {
    role: Role,
    since: Moment,
    started: bool,
    resuming: bool,
    #[serde(default)]
    standing: Option<Order>,
    #[serde(default)]
    tracking: Tracking,
    #[serde(default)]
    fault: Option<String>,
    advert_at: Moment,
    #[serde(default)]
    announce: Option<(Moment, u8)>,
    #[serde(default)]
    preempt_at: Option<Moment>,
    wires: Vec<SavedWire>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SavedWire {
    family: Family,
    own: Result<IpAddr, String>,
    active_interval: Duration,
    down_at: Moment,
    #[serde(default)]
    last: Option<(Moment, SavedHeard)>,
}

/// An advert that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedHeard {
    source: IpAddr,
    priority: u8,
    interval: Duration,
}

impl Moment {
    /// Of a time; as far as 292 years from the base, and no farther.
    pub fn of(base: Instant, at: Instant) -> Self {
        let nanos = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        match at.checked_duration_since(base) {
            Some(after) => Self(nanos(after)),
            None => Self(-nanos(base.saturating_duration_since(at))),
        }
    }

    /// The time; the base itself if the clock does not go there.
    pub fn instant(self, base: Instant) -> Instant {
        let distance = Duration::from_nanos(self.0.unsigned_abs());
        let instant = if self.0 < 0 {
            base.checked_sub(distance)
        } else {
            base.checked_add(distance)
        };
        instant.unwrap_or(base)
    }
}

impl SavedHeard {
    /// Of an advert.
    pub fn of(heard: &Heard) -> Self {
        Self {
            source: heard.source,
            priority: heard.priority,
            interval: heard.interval,
        }
    }

    /// The advert.
    pub fn heard(self) -> Heard {
        Heard {
            family: Family::of(self.source),
            source: self.source,
            priority: self.priority,
            interval: self.interval,
        }
    }
}

impl Instance {
    /// All that it knows, times relative to `base`.
    pub fn save(&self, base: Instant) -> SavedInstance {
        let wire = |wire: &Wire| SavedWire {
            family: wire.family,
            own: wire.own.clone(),
            active_interval: wire.active_interval,
            down_at: Moment::of(base, wire.down_at),
            last: (wire.last.as_ref())
                .map(|(at, heard)| (Moment::of(base, *at), SavedHeard::of(heard))),
        };
        SavedInstance {
            role: self.role,
            since: Moment::of(base, self.since),
            started: self.started,
            resuming: self.resuming,
            standing: self.standing,
            tracking: self.tracking.clone(),
            fault: self.fault.clone(),
            advert_at: Moment::of(base, self.advert_at),
            announce: self
                .announce
                .next()
                .map(|(at, count)| (Moment::of(base, at), count)),
            preempt_at: self.preempt_at.map(|at| Moment::of(base, at)),
            wires: self.wires.iter().map(wire).collect(),
        }
    }

    /// Goes on where another was: its role, its timers, what it had heard. Does nothing.
    pub fn restored(
        base: Instant,
        timing: Timing,
        families: &[Family],
        saved: &SavedInstance,
    ) -> Self {
        let mut instance = Self::new(saved.since.instant(base), timing, families);
        instance.role = saved.role;
        instance.started = saved.started;
        instance.resuming = saved.resuming;
        instance.standing = saved.standing;
        instance.tracking.clone_from(&saved.tracking);
        instance.fault.clone_from(&saved.fault);
        instance.advert_at = saved.advert_at.instant(base);
        instance.announce =
            Announcements::to_come((saved.announce).map(|(at, count)| (at.instant(base), count)));
        instance.preempt_at = saved.preempt_at.map(|at| at.instant(base));
        for wire in &mut instance.wires {
            let Some(saved) = saved.wires.iter().find(|saved| saved.family == wire.family) else {
                continue;
            };
            wire.own.clone_from(&saved.own);
            wire.active_interval = saved.active_interval;
            wire.down_at = saved.down_at.instant(base);
            wire.last = (saved.last).map(|(at, heard)| (at.instant(base), heard.heard()));
        }
        instance
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::instance_tests::{SECOND, timing},
        *,
    };
    use crate::ha::vrrp::{Action, Input};

    fn heard(priority: u8) -> Input {
        Input::Advert(Heard {
            family: Family::Ipv4,
            source: "192.0.2.3".parse().unwrap(),
            priority,
            interval: SECOND,
        })
    }

    /// Through text, and an hour later by a clock that began elsewhere.
    fn again(instance: &Instance, now: Instant) -> (Instance, Instant) {
        let text = serde_json::to_string(&instance.save(now)).unwrap();
        let later = now + Duration::from_hours(1);
        let saved = serde_json::from_str(&text).unwrap();
        let families = [Family::Ipv4];
        (
            Instance::restored(later, instance.timing.clone(), &families, &saved),
            later,
        )
    }

    fn started(now: Instant) -> Instance {
        let mut instance = Instance::new(now, timing(100), &[Family::Ipv4]);
        let own = Ok("192.0.2.2".parse().unwrap());
        instance.step(now, Input::Link(Family::Ipv4, own));
        instance.step(now, Input::Started { resume: false });
        instance
    }

    #[test]
    fn an_active_group_goes_on_and_its_next_advert_is_due_when_it_was() {
        let now = Instant::now();
        let mut instance = started(now);
        let at = instance.deadline().unwrap();
        instance.step(at, Input::Timer);
        assert_eq!(instance.role(), Role::Active);
        let (mut other, later) = again(&instance, at);
        assert_eq!(other.role(), Role::Active);
        assert_eq!(
            other.deadline().unwrap() - later,
            instance.deadline().unwrap() - at
        );
        let due = other.deadline().unwrap();
        let actions = other.step(due, Input::Timer);
        assert!(matches!(actions[0], Action::Send { .. }), "{actions:?}");
        assert!(!actions.iter().any(|a| matches!(a, Action::Become { .. })));
    }

    #[test]
    fn a_backup_does_not_forget_whom_it_heard_nor_that_it_is_held() {
        let now = Instant::now();
        let mut instance = started(now);
        instance.step(now, heard(200));
        let (other, later) = again(&instance, now);
        assert_eq!(
            other.deadline().unwrap() - later,
            instance.deadline().unwrap() - now
        );
        assert_eq!(other.last_heard().count(), 1);
        instance.step(now, Input::Order(Order::Hold));
        let (other, _) = again(&instance, now);
        assert!(other.held());
        assert_eq!(other.deadline(), None);
    }

    #[test]
    fn times_before_the_base_come_back_too() {
        let base = Instant::now() + SECOND;
        let at = base.checked_sub(Duration::from_millis(300)).unwrap();
        assert_eq!(Moment::of(base, at).instant(base + SECOND), at + SECOND);
    }
}
