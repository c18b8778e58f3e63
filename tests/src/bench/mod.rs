//! `adc-bench`: what a packet costs in the kernel, what a flow costs in memory, and how long a ring takes.
//!
//! Method (docs/performance.md): a wrapper program makes each frame anew and tail-calls the program under
//! test; the same wrapper in front of a program that only drops is the baseline. A slice of a million packets
//! of the one stands between two slices of the other, and whether a slice counts is decided by the baseline
//! slices alone.

mod bed;
mod fill;
mod frame;
mod measure;
mod memory;
mod object;
mod path;
mod report;
mod ring;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use bed::{Bed, Objects};
use measure::{Floors, Samples};
use path::{CAPACITY, Kind, Path, Tables};

use crate::require;

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// One JSON object as the last line of standard output.
    pub json: bool,
    /// Fewer and shorter slices: to see that it works, not to quote.
    pub quick: bool,
    /// Only rows whose path contains this text.
    pub only: Option<String>,
    /// Only rows with this number of flows.
    pub flows: Option<u32>,
    /// Established flows that the tables have room for; the default is twice the most there are.
    pub capacity: Option<u32>,
}

/// How much is measured per row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Packets in a slice.
    packets: u32,
    /// Quiet slices wanted.
    quiet: usize,
    /// When to give up on quiet slices.
    limit: Duration,
}

const FULL: Effort = Effort {
    packets: 1_000_000,
    quiet: 11,
    limit: Duration::from_secs(20),
};

const QUICK: Effort = Effort {
    packets: 200_000,
    quiet: 7,
    limit: Duration::from_secs(4),
};

/// Measures and reports.
pub fn run(options: &Options) -> ExitCode {
    if let Err(reason) = require::root() {
        eprintln!("adc-bench {reason}");
        return ExitCode::FAILURE;
    }
    let objects = Objects {
        adc: object("ADC_XDP_OBJECT", "adc-xdp"),
        wrapper: object("ADC_BENCH_OBJECT", "adc-xdp-bench"),
    };
    let effort = if options.quick { QUICK } else { FULL };
    // Before this thread goes ahead of all others: a swap waits for work of other threads.
    let rings = ring::measure(&objects, options.quick);
    let cpu = measure::take_a_cpu();
    eprintln!("{}", measure::machine(cpu));
    let mut floors = Floors::default();
    let mut rows = Vec::new();
    let mut flow_bytes = None;
    for tables in Tables::ALL {
        let kinds: Vec<Kind> = Kind::ALL
            .into_iter()
            .filter(|kind| {
                wanted(
                    options,
                    Path {
                        tables,
                        kind: *kind,
                    },
                )
            })
            .collect();
        if kinds.is_empty() {
            continue;
        }
        let mut bed = Bed::new(&objects, tables, options.capacity.unwrap_or(CAPACITY));
        if tables == Tables::TCP4 {
            flow_bytes = Some(bed.bytes_per_flow());
        }
        for kind in kinds {
            for flows in kind.flow_counts(options.flows) {
                let path = Path { tables, kind };
                let samples = row(&mut bed, path, flows, effort, &mut floors);
                rows.push(Row {
                    path,
                    flows,
                    samples,
                });
            }
        }
    }
    report::print(options.json, &rows, &floors, flow_bytes, &rings);
    ExitCode::SUCCESS
}

/// One line of the table.
pub(crate) struct Row {
    path: Path,
    flows: u32,
    samples: Samples,
}

fn wanted(options: &Options, path: Path) -> bool {
    options
        .only
        .as_ref()
        .is_none_or(|only| path.name().contains(only.as_str()))
}

/// Proves that the path is the one meant, measures it, and proves that it still was.
fn row(bed: &mut Bed, path: Path, flows: u32, effort: Effort, floors: &mut Floors) -> Samples {
    bed.prepare(path, flows);
    bed.check_one_packet(path);
    let before = bed.reasons();
    let mut sent = 0;
    let samples = measure::collect(effort, floors.of(path), |program| {
        let slice = bed.run(program, effort.packets);
        if program == bed::Program::Adc {
            sent += u64::from(effort.packets);
        }
        slice
    });
    bed.check_reasons(path, &before, sent);
    eprintln!("{}", report::progress(path, flows, &samples, floors));
    samples
}

fn object(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    // <target>/<profile>/adc-bench → <target>/bpf/NAME.
    let program = std::env::current_exe().expect("the path of this program");
    program
        .ancestors()
        .nth(2)
        .expect("a target directory")
        .join("bpf")
        .join(name)
}
