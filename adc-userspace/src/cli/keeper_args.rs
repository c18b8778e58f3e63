//! `adc keeper`.

use std::path::PathBuf;

use clap::Args;

use super::args::LogFormatArg;

#[derive(Args, Debug)]
pub(super) struct KeeperArgs {
    /// Run directory of the agent
    #[arg(long, value_name = "DIRECTORY")]
    pub(super) run_dir: PathBuf,
    /// How log records are written to standard error
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub(super) log_format: LogFormatArg,
    /// What an earlier program left; only ever given by one
    #[arg(long, value_name = "DESCRIPTOR")]
    pub(super) handover: Option<i32>,
}
