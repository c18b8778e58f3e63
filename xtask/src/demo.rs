//! `cargo xtask demo`: everything from nothing to a balancer under real HTTP load.

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};

use crate::{
    build_ebpf,
    process::{is_root, run, run_through},
    setup::{self, Purpose},
    workspace::Workspace,
};

/// Options of `demo`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave the network and the agent up, and print commands to try
    #[arg(long)]
    keep: bool,
    /// Print one JSON object as the last line of stdout
    #[arg(long)]
    json: bool,
}

/// Runs the command; the exit code is that of `adc-demo`.
pub(crate) fn command(args: &Args) -> Result<ExitCode> {
    let flags = [(args.keep, "--keep"), (args.json, "--json")];
    let flags: Vec<String> = flags
        .into_iter()
        .filter(|(given, _)| *given)
        .map(|(_, flag)| flag.to_owned())
        .collect();
    run_program("demo", "adc-demo", Purpose::Demo, &flags)
}

/// Prepares the machine for `purpose`, builds objects, agent and `program` of adc-tests optimised, and runs it as
/// root with the paths of what was built. `verb` names the xtask command in messages.
pub(crate) fn run_program(
    verb: &str,
    program: &str,
    purpose: Purpose,
    args: &[String],
) -> Result<ExitCode> {
    if !is_root() {
        bail!(
            "`cargo xtask {verb}` makes network namespaces and loads XDP programs: run it as root, `sudo -E env \"PATH=$PATH\" cargo xtask {verb}`"
        );
    }
    let workspace = Workspace::find()?;
    setup::prepare(&workspace, purpose)?;
    build_ebpf::build(&workspace, None)?;
    run(workspace.cargo().args([
        "build",
        "--release",
        "-p",
        "adc-userspace",
        "-p",
        "adc-tests",
        "--bin",
        "adc",
        "--bin",
        program,
    ]))?;
    run_through(
        Command::new(workspace.target.join("release").join(program))
            .args(args)
            .env("ADC_BIN", workspace.adc_binary("release"))
            .env("ADC_XDP_OBJECT", workspace.xdp_object())
            .env("ADC_BENCH_OBJECT", workspace.bench_object()),
    )
}
