//! `adc-bench`: what a packet through adc costs on this machine.

use std::process::ExitCode;

use adc_tests::bench::{self, Options};
use clap::Parser;

/// Measures the loaded XDP program with `BPF_PROG_TEST_RUN`: nanoseconds per packet over a program that
/// only drops, bytes per flow, milliseconds per ring. Needs root and the objects of `cargo xtask build-ebpf`.
#[derive(Parser)]
struct Cli {
    /// Print one JSON object as the last line of standard output.
    #[arg(long)]
    json: bool,
    /// Fewer and shorter slices: to see that it works, not to quote.
    #[arg(long)]
    quick: bool,
    /// Only rows whose path contains this text, such as `tcp4` or `udp6-reply`.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Only rows with this number of flows (1, 1024, 65536 or 524288), and new flows.
    #[arg(long, value_name = "COUNT")]
    flows: Option<u32>,
    /// Established flows that the tables have room for [default: twice the most that are measured with].
    #[arg(long, value_name = "COUNT")]
    capacity: Option<u32>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    bench::run(&Options {
        json: cli.json,
        quick: cli.quick,
        only: cli.only,
        flows: cli.flows,
        capacity: cli.capacity,
    })
}
