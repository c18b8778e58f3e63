//! `cargo xtask run -- ARGS`: builds everything and runs `adc`.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{
    build_ebpf,
    process::{run, run_through},
    setup::{self, Purpose},
    workspace::Workspace,
};

/// Options of `run`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build with optimisation
    #[arg(long)]
    release: bool,
    /// What to pass to `adc`
    #[arg(last = true)]
    args: Vec<String>,
}

/// Runs the command; the exit code is adc's.
pub(crate) fn command(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    setup::prepare(&workspace, Purpose::Build)?;
    build_ebpf::build(&workspace, None)?;
    let profile = if args.release { "release" } else { "dev" };
    run(workspace
        .cargo()
        .args(["build", "-p", "adc-userspace", "--profile", profile]))?;
    let directory = if args.release { "release" } else { "debug" };
    run_through(Command::new(workspace.adc_binary(directory)).args(&args.args))
}
