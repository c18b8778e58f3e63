//! `adc-sync-bench`: what flow replication costs per new flow. Needs root, `adc` and the XDP object.

use clap::Parser;

/// Opens new flows through a pair of adc nodes, and prints what it costs to tell the other node of them.
#[derive(Parser)]
struct Cli {
    /// New flows a second
    #[arg(long, default_value_t = 100_000)]
    rate: u32,
}

fn main() {
    adc_tests::sync_bench::run(Cli::parse().rate);
}
