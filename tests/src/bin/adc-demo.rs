//! `adc-demo`: real web servers behind adc, and what clients see of a crash, a drain and an addition.

use std::process::ExitCode;

use adc_tests::demo::{self, Options};
use clap::{Parser, Subcommand};

/// Shows adc at work: a client, adc and web servers in network namespaces of this machine.
#[derive(Parser)]
struct Cli {
    /// Leave the network up at the end and print commands to try.
    #[arg(long)]
    keep: bool,
    /// Print one JSON object as the last line of standard output; the story goes to standard error.
    #[arg(long)]
    json: bool,
    /// Tear down what `--keep` left up, and do nothing else.
    #[arg(long, conflicts_with_all = ["keep", "json"])]
    down: bool,
    #[command(subcommand)]
    command: Option<Hidden>,
}

#[derive(Subcommand)]
enum Hidden {
    /// The web server that is used where nginx is not installed.
    #[command(hide = true)]
    Serve { name: String, port: u16 },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Some(Hidden::Serve { name, port }) => demo::serve(&name, port),
        None if cli.down => demo::tear_down_kept(),
        None => demo::run(Options {
            keep: cli.keep,
            json: cli.json,
        }),
    }
}
