//! `adc-drill`: two adc nodes in network namespaces, faults, and what clients see of them.

use std::process::ExitCode;

use adc_tests::drill::{self, Fault, Mode, Options, Output, Profile};
use clap::Parser;

/// Lets faults happen to a pair of adc nodes in network namespaces, and measures what clients see of them.
///
/// Each is measured with a stream of 1 000 UDP packets a second each way, TCP connections that are held, and iperf3, all through
/// the VIP. Fails if a promise was not kept. Progress goes to standard error.
#[derive(Parser)]
struct Cli {
    /// Only this fault (may be repeated)
    #[arg(long, value_enum)]
    only: Vec<Fault>,
    /// Only this mode; by default all faults with `nat`, and those that matter to flows with `full-nat`
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// How the nodes watch each other; by default `fast`, and `vrrp` where one of them is keepalived
    #[arg(long, value_enum)]
    profile: Option<Profile>,
    /// The nodes do not have each other's flows (no `[ha.sync]`)
    #[arg(long)]
    without_sync: bool,
    /// How often each fault happens
    #[arg(long, default_value_t = 10)]
    runs: usize,
    /// TCP connections that are held
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Print a table in Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = match (cli.json, cli.markdown) {
        (true, _) => Output::Json,
        (false, true) => Output::Markdown,
        (false, false) => Output::Text,
    };
    drill::run(&Options {
        only: cli.only,
        mode: cli.mode,
        profile: cli.profile,
        sync: !cli.without_sync,
        runs: cli.runs,
        connections: cli.connections,
        output,
    })
}
