//! `cargo xtask`: build, run, demonstrate, test and measure adc.
//!
//! One file per command. Progress goes to stderr, so that the last line of stdout of `demo --json`,
//! `drill --json` and `bench --json` is the JSON object and nothing else.

mod bench;
mod build_ebpf;
mod demo;
mod drill;
mod kernel_matrix;
mod linker;
mod process;
mod run;
mod setup;
mod test;
mod tidy;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Build, run, demonstrate, test and measure adc.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing (needs root and apt; otherwise prints the commands to run)
    Setup(setup::Args),
    /// Build the XDP object with the first toolchain that works
    BuildEbpf(build_ebpf::Args),
    /// Build everything and run `adc` with the given arguments
    Run(run::Args),
    /// Show a balancer with real clients and servers in network namespaces
    Demo(demo::Args),
    /// Let faults happen to a pair of nodes in network namespaces, and measure what clients see
    Drill(drill::Args),
    /// Run every test layer, or those named
    Test(test::Args),
    /// Measure the cost per packet and print ratios
    Bench(bench::Args),
    /// Check the house rules that no compiler checks
    Tidy,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Setup(args) => setup::command(&args),
        Command::BuildEbpf(args) => build_ebpf::command(&args),
        Command::Run(args) => run::command(&args),
        Command::Demo(args) => demo::command(&args),
        Command::Drill(args) => drill::command(&args),
        Command::Test(args) => test::command(&args),
        Command::Bench(args) => bench::command(&args),
        Command::Tidy => tidy::command(),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn arguments_after_two_dashes_go_to_adc() {
        let cli = Cli::try_parse_from(["xtask", "run", "--", "run", "-c", "adc.toml"]);
        assert!(cli.is_ok());
    }
}
