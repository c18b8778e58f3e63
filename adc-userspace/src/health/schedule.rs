//! When to probe next: the interval with its jitter. Pure.

use std::time::Duration;

/// Within this time of its start every pair has begun its first probe (or within its interval, if shorter).
const FIRST_PROBE_WITHIN: Duration = Duration::from_secs(1);

/// Start times of the probes of one (backend, monitor) pair.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    interval: Duration,
    jitter_percent: u8,
    random: fastrand::Rng,
}

impl Schedule {
    /// Equal seeds give equal schedules; pairs need different ones to be spread.
    pub(super) fn new(interval: Duration, jitter_percent: u8, seed: u64) -> Self {
        Self {
            interval,
            jitter_percent,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// How long to wait before the first probe: anything in the first second, so that a start with
    /// thousands of backends is quick but not one burst.
    pub(super) fn first_delay(&mut self) -> Duration {
        self.interval
            .min(FIRST_PROBE_WITHIN)
            .mul_f64(self.random.f64())
    }

    /// Time from the start of one probe to the start of the next: the interval, up to
    /// `jitter_percent` of it sooner or later, even on average.
    pub(super) fn next_interval(&mut self) -> Duration {
        let spread = f64::from(self.jitter_percent.min(100)) / 100.0;
        self.interval
            .mul_f64(1.0 + spread * (2.0 * self.random.f64() - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    proptest! {
        #[test]
        fn every_interval_stays_within_its_jitter(
            millis in 100u64..3_600_000, jitter in 0u8..=50, seed: u64,
        ) {
            let interval = Duration::from_millis(millis);
            let mut schedule = Schedule::new(interval, jitter, seed);
            let spread = interval.mul_f64(f64::from(jitter) / 100.0);
            let slack = Duration::from_micros(1);
            for _ in 0..100 {
                let next = schedule.next_interval();
                prop_assert!(next + spread + slack >= interval && next <= interval + spread + slack);
            }
        }

        #[test]
        fn the_first_probe_starts_within_a_second_or_the_interval(millis in 100u64..3_600_000, seed: u64) {
            let interval = Duration::from_millis(millis);
            prop_assert!(Schedule::new(interval, 10, seed).first_delay() < interval.min(SECOND));
        }
    }

    #[test]
    fn first_probes_of_many_backends_are_spread_evenly() {
        let mut tenths = [0u32; 10];
        for seed in 0..10_000 {
            let delay = Schedule::new(SECOND * 2, 10, seed).first_delay();
            tenths[usize::try_from(delay.as_millis() / 100).unwrap()] += 1;
        }
        for count in tenths {
            assert!((800..1_200).contains(&count), "{tenths:?}");
        }
    }

    #[test]
    fn jitter_does_not_shift_the_mean_interval() {
        let mut schedule = Schedule::new(SECOND, 50, 1);
        let total: Duration = (0..10_000).map(|_| schedule.next_interval()).sum();
        assert!((9_900..10_100).contains(&total.as_secs()), "{total:?}");
    }

    #[test]
    fn no_jitter_means_the_very_interval() {
        let mut schedule = Schedule::new(SECOND, 0, 9);
        assert_eq!(schedule.next_interval(), SECOND);
    }
}
