//! `adc ha`.

use clap::{Args, Subcommand};

use super::jitter_args::JitterArgs;
use crate::model::GroupName;

#[derive(Debug, Subcommand)]
pub(super) enum HaCommand {
    /// What this node is for every group, and why
    Status,
    /// Hand a group over to another node, and leave it there as long as that node is well
    Failover {
        /// Which
        group: GroupName,
        /// Return when another node has it; fail if none takes it
        #[arg(long)]
        wait: bool,
    },
    /// Hand a group over if this node has it, and do not take it until released, whatever happens
    Hold(HaGroupArg),
    /// Forget failover and hold: the priorities decide again
    Release(HaGroupArg),
    /// Whether this machine wakes a thread in time for a heartbeat profile; exit code 7 if it does not
    JitterTest(JitterArgs),
}

/// One HA group.
#[derive(Args, Debug)]
pub(super) struct HaGroupArg {
    /// Which
    pub(super) group: GroupName,
}
