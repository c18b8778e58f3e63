//! Slices, which of them count, and the machine they are taken on.

use std::{
    fs,
    time::{Duration, Instant},
};

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};

use super::{Effort, bed::Program};

/// How far above the lowest baseline a baseline slice may be, in per cent, for its neighbours to count.
const NOISE: u32 = 12;

/// Nanoseconds per packet of one slice of what is measured and of the baseline slices around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    before: u32,
    time: u32,
    after: u32,
}

/// Everything measured for one row, noise included.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<Sample>);

/// What a row comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) min: u32,
    pub(crate) median: f64,
    pub(crate) baseline_median: f64,
    /// Median of the differences.
    pub(crate) over_baseline: f64,
    /// Least of the differences.
    pub(crate) over_baseline_min: f64,
    /// Slices that count. If 0, the figures above are of all slices, noise and all.
    pub(crate) quiet: usize,
    pub(crate) slices: usize,
}

impl Sample {
    /// Decided without looking at what is measured.
    fn is_quiet(self, floor: u32) -> bool {
        let bound = floor * (100 + NOISE) / 100;
        self.before <= bound && self.after <= bound
    }

    fn baseline(self) -> f64 {
        f64::from(self.before + self.after) / 2.0
    }

    fn over_baseline(self) -> f64 {
        f64::from(self.time) - self.baseline()
    }
}

impl Samples {
    pub(crate) fn summary(&self, floor: u32) -> Summary {
        let quiet: Vec<Sample> = self
            .0
            .iter()
            .copied()
            .filter(|one| one.is_quiet(floor))
            .collect();
        let counted = if quiet.is_empty() { &self.0 } else { &quiet };
        let of = |value: fn(Sample) -> f64| median(counted.iter().copied().map(value).collect());
        Summary {
            min: counted.iter().map(|one| one.time).min().unwrap_or(0),
            median: of(|one| f64::from(one.time)),
            baseline_median: of(Sample::baseline),
            over_baseline: of(Sample::over_baseline),
            over_baseline_min: counted
                .iter()
                .map(|one| one.over_baseline())
                .fold(f64::INFINITY, f64::min),
            quiet: quiet.len(),
            slices: self.0.len(),
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.get(middle) {
        None => 0.0,
        Some(upper) if values.len() % 2 == 1 => *upper,
        Some(upper) => f64::midpoint(values[middle - 1], *upper),
    }
}

/// The lowest baseline seen, for each shape of traffic ([`super::path::Path::bits`]): IPv4 or IPv6, forward,
/// reply or new.
#[derive(Debug, Default)]
pub(crate) struct Floors(std::collections::HashMap<u32, u32>);

impl Floors {
    /// The floor of a shape, [`u32::MAX`] before anything was measured.
    pub(crate) fn of(&mut self, shape: u32) -> &mut u32 {
        self.0.entry(shape).or_insert(u32::MAX)
    }

    pub(crate) fn get(&self, shape: u32) -> u32 {
        self.0.get(&shape).copied().unwrap_or(u32::MAX)
    }
}

/// Alternates baseline and `target` until enough slices are quiet or the time is up.
pub(crate) fn collect(
    target: Program,
    effort: Effort,
    floor: &mut u32,
    mut run: impl FnMut(Program) -> u32,
) -> Samples {
    let end = Instant::now() + effort.limit;
    let mut samples = Vec::new();
    // One of each to warm caches and branch predictors; the first rows also find the floor this way.
    run(target);
    for _ in 0..WARM_BASELINES {
        *floor = (*floor).min(run(Program::Baseline));
    }
    let mut before = run(Program::Baseline);
    loop {
        let time = run(target);
        let after = run(Program::Baseline);
        *floor = (*floor).min(before).min(after);
        samples.push(Sample {
            before,
            time,
            after,
        });
        before = after;
        let quiet = samples.iter().filter(|one| one.is_quiet(*floor)).count();
        if quiet >= effort.quiet || Instant::now() >= end {
            return Samples(samples);
        }
    }
}

const WARM_BASELINES: usize = 3;

/// Moves this thread to the last CPU and ahead of other work there; returns the CPU.
pub(crate) fn take_a_cpu() -> usize {
    let cpu = std::thread::available_parallelism().map_or(0, |count| count.get() - 1);
    let mut set = CpuSet::new();
    set.set(cpu).expect("a CPU number");
    sched_setaffinity(Pid::from_raw(0), &set).expect("moving to one CPU");
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameter outlives the call.
    let refused = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) };
    if refused != 0 {
        eprintln!(
            "adc-bench: no real-time priority; other work on CPU {cpu} will show up as noise"
        );
    }
    cpu
}

/// One line on where this was measured.
pub(crate) fn machine(cpu: usize) -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown CPU", |(_, model)| model);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "{model}, CPU {cpu}, Linux {}, load {}",
        kernel.trim(),
        load.split(' ').next().unwrap_or_default()
    )
}

/// How long something took, several times.
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn new(mut times: Vec<Duration>) -> Self {
        assert!(!times.is_empty(), "nothing was measured");
        times.sort_unstable();
        Self(times)
    }

    pub(crate) fn min_ms(&self) -> f64 {
        self.0[0].as_secs_f64() * 1e3
    }

    pub(crate) fn median_ms(&self) -> f64 {
        self.0[self.0.len() / 2].as_secs_f64() * 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn sample(before: u32, time: u32, after: u32) -> Sample {
        Sample {
            before,
            time,
            after,
        }
    }

    #[test]
    fn noisy_neighbours_discard_a_slice_and_its_own_time_does_not() {
        let samples = Samples(vec![
            sample(30, 100, 30),
            sample(30, 5, 34),
            sample(30, 900, 33),
            sample(34, 5, 30),
        ]);
        let summary = samples.summary(30);
        assert_eq!((summary.quiet, summary.slices), (2, 4));
        assert_eq!(summary.min, 100);
        assert!((summary.median - 500.0).abs() < 1e-9);
        assert!((summary.over_baseline - f64::midpoint(70.0, 868.5)).abs() < 1e-9);
    }

    #[test]
    fn without_a_quiet_slice_all_are_shown_and_none_is_claimed() {
        let summary = Samples(vec![sample(60, 130, 60)]).summary(30);
        assert_eq!((summary.quiet, summary.min), (0, 130));
    }

    #[test]
    fn collection_goes_on_until_enough_slices_are_quiet() {
        let mut baselines = [30, 30, 30, 30, 60, 30, 30, 30].into_iter();
        let effort = Effort {
            packets: 1,
            quiet: 2,
            limit: Duration::from_mins(1),
        };
        let mut floor = u32::MAX;
        let samples = collect(Program::Adc, effort, &mut floor, |program| match program {
            Program::Adc | Program::Yardstick => 100,
            Program::Baseline => baselines.next().unwrap(),
        });
        assert_eq!(floor, 30);
        assert_eq!(samples.0.len(), 4);
        assert_eq!(samples.summary(floor).quiet, 2);
    }
}
