//! Coarse time, as stored in flows.

use super::abi_newtype;

abi_newtype! {
    /// A point in (or a span of) `CLOCK_MONOTONIC` in units of 2^20 ns (1.048576 ms), modulo 2^32 (52 days).
    ///
    /// A shift is all the packet path pays for it. Spans are valid up to 2^31 ticks (26 days); flow
    /// timeouts are far below that, and the sweep removes a flow long before its age could wrap.
    pub struct Tick(pub u32) align 4
}

impl Tick {
    /// log2 of the nanoseconds in one tick.
    pub const SHIFT: u32 = 20;

    /// From nanoseconds of `CLOCK_MONOTONIC`.
    #[inline(always)]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "ticks are defined modulo 2^32"
    )]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self((nanos >> Self::SHIFT) as u32)
    }

    /// A span of whole seconds, rounded up; at most 26 days are meaningful.
    pub const fn from_secs(secs: u32) -> Self {
        Self::from_nanos(secs as u64 * 1_000_000_000 + (1 << Self::SHIFT) - 1)
    }

    /// This span in nanoseconds.
    pub const fn nanos(self) -> u64 {
        (self.0 as u64) << Self::SHIFT
    }

    /// The span from `earlier` to `self`; zero if `earlier` is in fact later (clocks of two CPUs may
    /// differ by a tick).
    #[inline(always)]
    pub const fn since(self, earlier: Self) -> Self {
        let span = self.0.wrapping_sub(earlier.0);
        if span > u32::MAX / 2 {
            Self(0)
        } else {
            Self(span)
        }
    }
}
