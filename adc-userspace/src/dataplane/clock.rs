//! The clock that the packet walk uses.

use adc_common::abi::Tick;
use nix::time::{ClockId, clock_gettime};

/// Now, as the XDP program would stamp it (to a timer tick).
pub fn now() -> Tick {
    Tick::from_nanos(nanos())
}

/// Now, in nanoseconds.
pub fn nanos() -> u64 {
    // CLOCK_MONOTONIC can not fail on Linux; were it to, time would stand still and nothing would expire.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        let nanos = u64::try_from(time.tv_nsec()).unwrap_or(0);
        seconds * 1_000_000_000 + nanos
    })
}
