//! Whether the HA thread still comes to the docket, as it does at least once a second. Pure.
//!
//! If it hangs, the heartbeat's thread would renew leases for ever by facts that nobody looks after, and the addresses would
//! follow no decision.

use std::time::{Duration, Instant};

/// How long it may stay away. What it asks of the kernel may take 5 s each (`neighbours::kernel`), and a change of roles is some
/// of that.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks after which this thread did not run either, so nothing is known of the other one.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known of the HA thread's visits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attendance {
    visits: u64,
    /// When the last visit was noticed.
    since: Instant,
    looked: Instant,
}

impl Attendance {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            visits: 0,
            since: now,
            looked: now,
        }
    }

    /// Takes in how often the HA thread has come (`None` = it has the docket just now, so nobody can look), and says whether
    /// it still does.
    pub(super) fn look(&mut self, visits: Option<u64>, now: Instant) -> bool {
        let paused = now.saturating_duration_since(self.looked) >= PAUSE;
        self.looked = now;
        let came = visits.is_some_and(|visits| visits != self.visits);
        if came || paused {
            self.since = now;
        }
        self.visits = visits.unwrap_or(self.visits);
        now.saturating_duration_since(self.since) < PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A little less than the patience, in milliseconds.
    const ALMOST: u64 = PATIENCE.as_secs() * 1_000 - 100;

    /// Looks every 100 ms for so long, and says whether it was ever away.
    fn was_away(attendance: &mut Attendance, visits: Option<u64>, from: Instant, ms: u64) -> bool {
        (1..=ms / 100).any(|look| {
            let now = from + Duration::from_millis(look * 100);
            !attendance.look(visits, now)
        })
    }

    #[test]
    fn who_does_not_come_for_long_hangs_until_it_comes_again() {
        for visits in [Some(1), None] {
            let start = Instant::now();
            let mut attendance = Attendance::new(start);
            assert!(attendance.look(Some(1), start));
            assert!(!was_away(&mut attendance, visits, start, ALMOST));
            let late = start + PATIENCE;
            assert!(!attendance.look(visits, late), "{visits:?}");
            assert!(attendance.look(Some(2), late + Duration::from_millis(100)));
        }
    }

    #[test]
    fn while_this_thread_does_not_run_nothing_is_known_of_the_other() {
        let start = Instant::now();
        let mut attendance = Attendance::new(start);
        assert!(attendance.look(Some(1), start));
        // The whole process was stopped, and this thread is the first to go on.
        let later = start + Duration::from_hours(1);
        assert!(attendance.look(Some(1), later));
        assert!(!was_away(&mut attendance, Some(1), later, ALMOST));
        assert!(was_away(&mut attendance, Some(1), later, ALMOST + 200));
    }
}
