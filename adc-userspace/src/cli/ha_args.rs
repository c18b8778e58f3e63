//! `adc ha`.

use clap::Subcommand;

use super::jitter_args::JitterArgs;

#[derive(Debug, Subcommand)]
pub(super) enum HaCommand {
    /// Whether this machine wakes a thread in time for a heartbeat profile; exit code 7 if it does not
    JitterTest(JitterArgs),
}
