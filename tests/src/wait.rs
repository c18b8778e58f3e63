//! Waiting for a condition, never for a fixed time.

use std::{
    panic::panic_any,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// How often a condition is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

static CANCELLED: AtomicBool = AtomicBool::new(false);

/// What a cancelled wait panics with.
#[derive(Clone, Copy, Debug)]
pub struct Cancelled;

/// Makes every wait of this process, running or to come, unwind with [`Cancelled`]: how Ctrl-C
/// leads to an orderly teardown.
pub fn cancel() {
    CANCELLED.store(true, Ordering::Relaxed);
}

/// Has [`cancel`] been called?
pub fn is_cancelled() -> bool {
    CANCELLED.load(Ordering::Relaxed)
}

/// Waits until `condition` holds and returns how long that took.
///
/// # Panics
/// After `timeout`, naming `description`.
#[track_caller]
pub fn eventually(
    timeout: Duration,
    description: &str,
    mut condition: impl FnMut() -> bool,
) -> Duration {
    eventually_some(timeout, description, || condition().then_some(())).1
}

/// Waits until `attempt` yields a value; returns it and how long that took.
///
/// # Panics
/// After `timeout`, naming `description`.
#[track_caller]
pub fn eventually_some<T>(
    timeout: Duration,
    description: &str,
    mut attempt: impl FnMut() -> Option<T>,
) -> (T, Duration) {
    let started = Instant::now();
    loop {
        if is_cancelled() {
            panic_any(Cancelled);
        }
        if let Some(value) = attempt() {
            return (value, started.elapsed());
        }
        assert!(
            started.elapsed() < timeout,
            "gave up after {timeout:?} waiting until {description}"
        );
        thread::sleep(POLL_INTERVAL);
    }
}

/// Whether the condition comes true in that time; no, if the test is cancelled before.
pub fn soon(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if started.elapsed() >= patience || is_cancelled() {
            return false;
        }
        thread::sleep(POLL_INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_comes_true_is_seen() {
        let mut looks = 0;
        eventually(Duration::from_secs(5), "three looks were taken", || {
            looks += 1;
            looks == 3
        });
        assert_eq!(looks, 3);
    }

    #[test]
    #[should_panic(expected = "waiting until pigs fly")]
    fn a_condition_that_never_holds_is_named() {
        eventually(Duration::from_millis(30), "pigs fly", || false);
    }
}
