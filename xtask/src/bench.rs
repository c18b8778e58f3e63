//! `cargo xtask bench`: the cost per packet, measured in the kernel.

use std::process::ExitCode;

use anyhow::Result;

use crate::{demo::run_program, setup::Purpose};

/// Options of `bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    json: bool,
    /// What to pass on to `adc-bench`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Runs the command; the exit code is that of `adc-bench`.
pub(crate) fn command(args: &Args) -> Result<ExitCode> {
    let mut passed: Vec<String> = Vec::new();
    if args.json {
        passed.push("--json".to_owned());
    }
    passed.extend(args.args.iter().cloned());
    run_program("bench", "adc-bench", Purpose::Demo, &passed)
}
