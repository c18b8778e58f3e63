//! `adc ha jitter-test`.

use clap::{Args, ValueEnum};

use crate::{ha::heartbeat::jitter::MAX_SECONDS, model::Profile};

#[derive(Args, Debug)]
pub(super) struct JitterArgs {
    /// How long to measure; the odds of what is rare are the better known the longer
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SECONDS)))]
    pub(super) seconds: u32,
    /// The profile whose timings, and kind of thread, are measured
    #[arg(long, value_enum, default_value = "ultra")]
    pub(super) profile: ProfileArg,
}

/// A heartbeat profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ProfileArg {
    /// 1 s, 3 may be missing
    Standard,
    /// 20 ms, 5 may be missing
    Fast,
    /// 2 ms, 4 may be missing, with a real-time thread
    Ultra,
}

impl From<ProfileArg> for Profile {
    fn from(given: ProfileArg) -> Self {
        match given {
            ProfileArg::Standard => Self::Standard,
            ProfileArg::Fast => Self::Fast,
            ProfileArg::Ultra => Self::Ultra,
        }
    }
}
