//! Rise and fall of one backend as seen by one monitor. Pure.

use std::time::SystemTime;

use crate::model::{Health, InitialState, Monitor};

use super::Finding;

/// Detail before the first probe has finished.
const NO_PROBE_YET: &str = "no probe has finished yet";

/// How many results in a row change the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Successes in a row that take a backend up; 0 counts as 1.
    pub rise: u32,
    /// Failures in a row that take it down; 0 counts as 1.
    pub fall: u32,
}

/// What is assumed before the first result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Up; `fall` failures in a row take it down.
    Up,
    /// Nothing: the first result alone decides.
    Undecided,
    /// Down; `rise` successes in a row take it up.
    Down,
}

/// The verdict changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Verdict before.
    pub from: Health,
    /// Verdict from now on.
    pub to: Health,
}

/// State of one (backend, monitor) pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiseFall {
    thresholds: Thresholds,
    health: Health,
    successes: u32,
    failures: u32,
    detail: String,
    last_failure: String,
    since: SystemTime,
    last_success: Option<SystemTime>,
}

impl RiseFall {
    /// Begins with no results; `since` is the time to show as that of the last change.
    pub fn new(thresholds: Thresholds, start: Start, since: SystemTime) -> Self {
        let (health, detail) = match start {
            Start::Up => (Health::Up, NO_PROBE_YET),
            Start::Undecided => (Health::Unknown, NO_PROBE_YET),
            Start::Down => (Health::Down, "was down before the agent started"),
        };
        Self {
            thresholds,
            health,
            successes: 0,
            failures: 0,
            detail: detail.to_owned(),
            last_failure: detail.to_owned(),
            since,
            last_success: None,
        }
    }

    /// Takes one probe result; `Some` if it changed the verdict.
    pub fn record(&mut self, finding: &Finding, now: SystemTime) -> Option<Transition> {
        finding.detail().clone_into(&mut self.detail);
        match finding {
            Finding::Passed(_) => {
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                self.last_success = Some(now);
            }
            Finding::Failed(detail) => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                self.last_failure.clone_from(detail);
            }
            Finding::NotRun(_) => return None,
        }
        let to = self.verdict();
        if to == self.health {
            return None;
        }
        let from = std::mem::replace(&mut self.health, to);
        self.since = now;
        Some(Transition { from, to })
    }

    /// Forgets the verdict: whoever gave it took it back, which says nothing of the backend. `Some` if there was one.
    pub fn withdraw(&mut self, detail: &str, now: SystemTime) -> Option<Transition> {
        detail.clone_into(&mut self.detail);
        (self.successes, self.failures) = (0, 0);
        let to = Health::Unknown;
        let from = std::mem::replace(&mut self.health, to);
        if from == to {
            return None;
        }
        self.since = now;
        Some(Transition { from, to })
    }

    /// The verdict that the counts call for.
    fn verdict(&self) -> Health {
        match self.health {
            // HAProxy's `init-state down` too lets one check decide at the start: waiting for `rise`
            // would only make every start slower.
            Health::Unknown if self.successes > 0 => Health::Up,
            Health::Unknown => Health::Down,
            Health::Up if self.failures >= self.thresholds.fall.max(1) => Health::Down,
            Health::Down if self.successes >= self.thresholds.rise.max(1) => Health::Up,
            unchanged @ (Health::Up | Health::Down) => unchanged,
        }
    }

    /// The verdict.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Successes in a row up to the last result.
    pub fn successes(&self) -> u32 {
        self.successes
    }

    /// Failures in a row up to the last result.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// What the last probe found.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Why it is in its state: the last failure while it is down (a lone success does not hide it),
    /// otherwise the last finding.
    pub fn reason(&self) -> &str {
        match self.health {
            Health::Down => &self.last_failure,
            Health::Unknown | Health::Up => &self.detail,
        }
    }

    /// When the verdict last changed.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// When a probe last passed.
    pub fn last_success(&self) -> Option<SystemTime> {
        self.last_success
    }
}

impl From<&Monitor> for Thresholds {
    fn from(monitor: &Monitor) -> Self {
        Self {
            rise: monitor.rise,
            fall: monitor.fall,
        }
    }
}

impl From<InitialState> for Start {
    fn from(initial: InitialState) -> Self {
        match initial {
            InitialState::Up => Self::Up,
            InitialState::Down => Self::Undecided,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(second: usize) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second as u64)
    }

    fn passed() -> Finding {
        Finding::Passed("http: status 200".into())
    }

    fn failed() -> Finding {
        Finding::Failed("http: status 503".into())
    }

    fn machine(rise: u32, fall: u32, start: Start) -> RiseFall {
        RiseFall::new(Thresholds { rise, fall }, start, at(0))
    }

    fn finding(ok: bool) -> Finding {
        if ok { passed() } else { failed() }
    }

    #[test]
    fn initial_up_takes_traffic_at_once_and_bears_fall_minus_one_failures() {
        let mut pair = machine(2, 3, InitialState::Up.into());
        assert_eq!(pair.health(), Health::Up);
        assert_eq!(pair.record(&failed(), at(1)), None);
        assert_eq!(pair.record(&failed(), at(2)), None);
        let down = Transition {
            from: Health::Up,
            to: Health::Down,
        };
        assert_eq!(pair.record(&failed(), at(3)), Some(down));
        assert_eq!(pair.since(), at(3));
    }

    #[test]
    fn initial_down_is_unknown_until_one_probe_decides_alone() {
        for (ok, to) in [(true, Health::Up), (false, Health::Down)] {
            let mut pair = machine(5, 5, InitialState::Down.into());
            assert_eq!(pair.health(), Health::Unknown);
            let from = Health::Unknown;
            assert_eq!(
                pair.record(&finding(ok), at(7)),
                Some(Transition { from, to })
            );
            assert_eq!(pair.since(), at(7));
        }
    }

    #[test]
    fn a_probe_that_could_not_be_made_changes_only_the_text() {
        let mut pair = machine(1, 1, Start::Undecided);
        let no_fd = Finding::NotRun("tcp socket: too many open files".into());
        assert_eq!(pair.record(&no_fd, at(1)), None);
        assert_eq!(pair.health(), Health::Unknown);
        assert_eq!((pair.successes(), pair.failures()), (0, 0));
        assert_eq!(pair.detail(), "tcp socket: too many open files");

        pair.record(&passed(), at(2));
        for second in 3..10 {
            assert_eq!(pair.record(&no_fd, at(second)), None);
        }
        assert_eq!(pair.health(), Health::Up);
        assert_eq!(pair.successes(), 1);
    }

    #[test]
    fn a_lone_success_does_not_hide_why_a_backend_is_down() {
        let mut pair = machine(2, 1, Start::Up);
        pair.record(&failed(), at(1));
        pair.record(&passed(), at(2));
        assert_eq!(pair.health(), Health::Down);
        assert_eq!(pair.reason(), "http: status 503");
        assert_eq!(pair.detail(), "http: status 200");
        assert_eq!(pair.last_success(), Some(at(2)));
    }

    fn start() -> impl Strategy<Value = Start> {
        prop_oneof![Just(Start::Up), Just(Start::Undecided), Just(Start::Down)]
    }

    proptest! {
        #[test]
        fn rise_successes_in_a_row_always_lead_up(
            rise in 0u32..8, fall in 0u32..8, start in start(),
            history in prop::collection::vec(any::<bool>(), 0..64),
        ) {
            let mut pair = machine(rise, fall, start);
            for ok in history {
                pair.record(&finding(ok), at(1));
            }
            for _ in 0..rise.max(1) {
                pair.record(&passed(), at(2));
            }
            prop_assert_eq!(pair.health(), Health::Up);
        }

        #[test]
        fn fall_failures_in_a_row_always_lead_down(
            rise in 0u32..8, fall in 0u32..8, start in start(),
            history in prop::collection::vec(any::<bool>(), 0..64),
        ) {
            let mut pair = machine(rise, fall, start);
            for ok in history {
                pair.record(&finding(ok), at(1));
            }
            for _ in 0..fall.max(1) {
                pair.record(&failed(), at(2));
            }
            prop_assert_eq!(pair.health(), Health::Down);
        }

        /// Compares with a definition that looks at the whole history instead of keeping counters.
        #[test]
        fn the_verdict_changes_exactly_when_a_run_reaches_its_threshold(
            rise in 1u32..6, fall in 1u32..6, start in start(),
            history in prop::collection::vec(prop::option::weighted(0.9, any::<bool>()), 0..96),
        ) {
            let mut pair = machine(rise, fall, start);
            let mut results = Vec::new();
            for (index, step) in history.into_iter().enumerate() {
                let before = pair.health();
                let transition = match step {
                    Some(ok) => {
                        results.push(ok);
                        pair.record(&finding(ok), at(index))
                    }
                    None => pair.record(&Finding::NotRun("no socket".into()), at(index)),
                };
                let run = |wanted: bool| {
                    u32::try_from(results.iter().rev().take_while(|ok| **ok == wanted).count()).unwrap()
                };
                prop_assert_eq!((pair.successes(), pair.failures()), (run(true), run(false)));
                let expected = match (before, step) {
                    (_, None) => before,
                    (Health::Unknown, Some(ok)) => if ok { Health::Up } else { Health::Down },
                    (Health::Up, Some(_)) => if run(false) >= fall { Health::Down } else { Health::Up },
                    (Health::Down, Some(_)) => if run(true) >= rise { Health::Up } else { Health::Down },
                };
                prop_assert_eq!(pair.health(), expected);
                prop_assert_eq!(transition.is_some(), before != expected);
                if transition.is_some() {
                    prop_assert_eq!(pair.since(), at(index));
                }
            }
        }
    }
}
