//! Whether one VIP is announced.

use std::time::{Duration, Instant};

/// How long a change must last before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holds {
    /// Served, before the VIP is announced.
    pub(crate) up: Duration,
    /// Not served, before it is withdrawn.
    pub(crate) down: Duration,
}

/// Announced or not, and since when that is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gate {
    announced: bool,
    /// Since when the VIP is, without a break, what its announcement does not say.
    doubted: Option<Instant>,
}

impl Gate {
    /// As it was found: what an earlier agent announced stays announced while it is served.
    pub(crate) fn found(announced: bool) -> Self {
        Self {
            announced,
            doubted: None,
        }
    }

    /// Whether the VIP is to be announced.
    pub(crate) fn announced(self) -> bool {
        self.announced
    }

    /// Takes in whether the VIP is served; gives when to look again if nothing else happens.
    pub(crate) fn judge(&mut self, served: bool, now: Instant, holds: Holds) -> Option<Instant> {
        if served == self.announced {
            self.doubted = None;
            return None;
        }
        let hold = if served { holds.up } else { holds.down };
        let due = *self.doubted.get_or_insert(now) + hold;
        if now < due {
            return Some(due);
        }
        *self = Self::found(served);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDS: Holds = Holds {
        up: Duration::from_secs(3),
        down: Duration::from_secs(1),
    };

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_vip_is_announced_when_it_was_served_long_enough_and_says_when_that_is() {
        let start = Instant::now();
        let mut gate = Gate::found(false);
        assert_eq!(gate.judge(true, start, HOLDS), Some(start + HOLDS.up));
        assert_eq!(
            gate.judge(true, start + ms(2_999), HOLDS),
            Some(start + HOLDS.up)
        );
        assert!(!gate.announced());
        assert_eq!(gate.judge(true, start + HOLDS.up, HOLDS), None);
        assert!(gate.announced());
    }

    #[test]
    fn a_vip_is_withdrawn_when_it_was_not_served_long_enough() {
        let start = Instant::now();
        let mut gate = Gate::found(true);
        assert_eq!(gate.judge(false, start, HOLDS), Some(start + HOLDS.down));
        assert!(gate.announced());
        assert_eq!(gate.judge(false, start + HOLDS.down, HOLDS), None);
        assert!(!gate.announced());
    }

    #[test]
    fn one_that_flaps_faster_than_the_hold_times_moves_nothing() {
        let start = Instant::now();
        let (mut up, mut down) = (Gate::found(true), Gate::found(false));
        for step in 0..1_000 {
            let now = start + ms(step * 900);
            let served = step % 2 == 0;
            up.judge(served, now, HOLDS);
            down.judge(served, now, HOLDS);
            assert!(up.announced(), "step {step}");
            assert!(!down.announced(), "step {step}");
        }
    }

    #[test]
    fn without_hold_times_the_route_follows_at_once() {
        let now = Instant::now();
        let none = Holds {
            up: Duration::ZERO,
            down: Duration::ZERO,
        };
        let mut gate = Gate::found(false);
        assert_eq!(gate.judge(true, now, none), None);
        assert!(gate.announced());
        assert_eq!(gate.judge(false, now, none), None);
        assert!(!gate.announced());
    }
}
