//! Whether this machine wakes a thread in time for a profile: `adc ha jitter-test`.
//!
//! The sender makes the gaps, not the network: a thread that is not run for as long as a peer waits is taken for dead.

#[cfg(test)]
mod tests;

use std::{
    io, thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::realtime;
use crate::model::Profile;

/// The longest run, in seconds: the gaps are kept.
pub const MAX_SECONDS: u32 = 3_600;

/// Part of the gaps that the tail is judged by.
const TAIL: f64 = 0.01;

/// False trips a day that are too many: one a month.
const TOO_MANY_PER_DAY: f64 = 1.0 / 30.0;

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// `standard`, `fast` or `ultra`.
    pub profile: &'static str,
    /// The thread was real-time and its memory locked.
    pub real_time: bool,
    /// Gaps that were measured.
    pub gaps: usize,
    /// Microseconds that a gap should have.
    pub interval_us: u64,
    /// Microseconds after which the peer would take over.
    pub detection_us: u64,
    /// Gaps at some points of their distribution, the smallest first.
    pub distribution: Vec<Point>,
    /// Gaps that the peer would have taken for death.
    pub trips: usize,
    /// How many of them a day are to be expected.
    pub trips_per_day: f64,
    /// Why the profile must not be used here; `None` = it may be.
    pub refused: Option<String>,
}

/// A point of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Per cent of the gaps that are no longer than `gap_us`.
    pub percent: f64,
    /// Microseconds.
    pub gap_us: u64,
}

/// Runs a thread like the heartbeat's for `seconds` (at most [`MAX_SECONDS`]) and judges when it was woken.
///
/// # Errors
/// The thread could not be started or made real-time.
pub fn test(profile: Profile, seconds: u32) -> io::Result<Report> {
    let lasting = Duration::from_secs(seconds.clamp(1, MAX_SECONDS).into());
    let thread = thread::Builder::new()
        .name("jitter-test".into())
        .spawn(move || measure(profile, lasting))?;
    let gaps = thread
        .join()
        .map_err(|_panic| io::Error::other("the measuring thread ended by itself"))??;
    Ok(judge(profile, gaps))
}

/// The times between wake-ups.
fn measure(profile: Profile, lasting: Duration) -> io::Result<Vec<Duration>> {
    realtime::prepare(profile.is_real_time())?;
    let interval = profile.timing().interval;
    let mut gaps = Vec::new();
    let begin = Instant::now();
    let (mut last, mut due) = (begin, begin);
    while last.duration_since(begin) < lasting {
        due += interval;
        // The same as a wait for heartbeats that do not come.
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let now = Instant::now();
        gaps.push(now.duration_since(last));
        last = now;
        due = due.max(now.checked_sub(interval).unwrap_or(now));
    }
    Ok(gaps)
}

/// Judges measured gaps. Pure.
pub fn judge(profile: Profile, mut gaps: Vec<Duration>) -> Report {
    const POINTS: [f64; 5] = [50.0, 99.0, 99.9, 99.99, 100.0];
    gaps.sort_unstable();
    let timing = profile.timing();
    let detection = timing.detection();
    let trips = gaps.iter().filter(|gap| **gap >= detection).count();
    let trips_per_day = expected_per_day(&gaps, timing.interval, detection, trips);
    let point = |percent| Point {
        percent,
        gap_us: micros(at(&gaps, percent / 100.0)),
    };
    let longest = gaps.last().copied().unwrap_or_default();
    let refused = refusal(longest, detection, trips, trips_per_day);
    Report {
        profile: profile.name(),
        real_time: profile.is_real_time(),
        gaps: gaps.len(),
        interval_us: micros(timing.interval),
        detection_us: micros(detection),
        distribution: POINTS.map(point).to_vec(),
        trips,
        trips_per_day,
        refused,
    }
}

fn refusal(longest: Duration, detection: Duration, trips: usize, per_day: f64) -> Option<String> {
    let (longest, detection_us) = (micros(longest), micros(detection));
    if trips > 0 {
        return Some(format!(
            "the thread was not run for {longest} µs, and after {detection_us} µs the peer takes over: that happened {trips} times"
        ));
    }
    if longest * 2 >= detection_us {
        return Some(format!(
            "the longest gap, {longest} µs, is more than half of the {detection_us} µs that the peer waits: too little is left for the network"
        ));
    }
    (per_day > TOO_MANY_PER_DAY).then(|| {
        format!(
            "{per_day:.2} false takeovers a day are to be expected, and one a month is too many"
        )
    })
}

/// Fits an exponential tail to the longest gaps: `P(gap > d) = P(gap > u) · e^(-(d - u) / s)`. `s` is the mean excess over
/// `u`, or what the longest gap says if that is more (of n such gaps the longest exceeds `u` by about `s · ln n`): stalls
/// that a hypervisor makes are few and long, and a mean would hide them.
fn expected_per_day(
    gaps: &[Duration],
    interval: Duration,
    detection: Duration,
    trips: usize,
) -> f64 {
    const DAY: f64 = 86_400.0;
    let a_day = DAY / interval.as_secs_f64();
    if gaps.is_empty() {
        return 0.0;
    }
    if trips > 0 {
        return a_day * count(trips) / count(gaps.len());
    }
    let edge = at(gaps, 1.0 - TAIL);
    let tail: Vec<f64> = gaps
        .iter()
        .filter(|gap| **gap > edge)
        .map(|gap| gap.saturating_sub(edge).as_secs_f64())
        .collect();
    let (Some(longest), true) = (tail.last(), detection > edge) else {
        return 0.0;
    };
    let mean = tail.iter().sum::<f64>() / count(tail.len());
    let scale = mean.max(longest / (count(tail.len()) + 1.0).ln());
    let beyond = detection.saturating_sub(edge).as_secs_f64();
    a_day * count(tail.len()) / count(gaps.len()) * (-beyond / scale).exp()
}

/// The gap that the given part of all gaps (sorted) do not exceed.
fn at(gaps: &[Duration], part: f64) -> Duration {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a length, rounded up"
    )]
    let rank = (count(gaps.len()) * part).ceil() as usize;
    let found = gaps.get(rank.saturating_sub(1)).or(gaps.last());
    found.copied().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
