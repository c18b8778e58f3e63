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

use bed::{Bed, Objects, Program};
use measure::{Floors, Samples};
use path::{CAPACITY, FLOW_COUNTS, Kind, Path, Tables};

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
    let mut yardstick = Vec::new();
    let mut flow_bytes = None;
    for tables in Tables::ALL {
        let wanted: Vec<(Path, u32)> = tables
            .rows()
            .filter(|(path, flows)| options.wants(&path.name(), path.kind, *flows))
            .collect();
        let is_measure = tables == Tables::TCP4 && options.wants_yardstick();
        if wanted.is_empty() && !is_measure {
            continue;
        }
        let mut bed = Bed::new(&objects, tables, options.capacity.unwrap_or(CAPACITY));
        if tables == Tables::TCP4 {
            flow_bytes = Some(bed.bytes_per_flow());
        }
        for (path, flows) in wanted {
            rows.push(row(&mut bed, path, flows, effort, &mut floors));
        }
        if is_measure {
            yardstick = yardstick_rows(&mut bed, options, effort, &mut floors);
        }
    }
    let results = report::Results {
        rows: &rows,
        yardstick: &yardstick,
        floors: &floors,
        flow_bytes,
        rings: &rings,
    };
    report::print(options.json, &results);
    ExitCode::SUCCESS
}

/// Name of the yardstick's rows.
const YARDSTICK: &str = "yardstick-lru40";

/// One line of the table.
pub(crate) struct Row {
    name: String,
    /// Which baseline it is compared with.
    shape: u32,
    flows: u32,
    samples: Samples,
}

impl Options {
    fn wants(&self, name: &str, kind: Kind, flows: u32) -> bool {
        let named = self.only.as_ref().is_none_or(|only| name.contains(only));
        let counted = self.flows.is_none_or(|only| only == flows);
        named && (counted || kind == Kind::New)
    }

    fn wants_yardstick(&self) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| YARDSTICK.contains(only))
    }
}

/// Proves that the path is the one meant, measures it, and proves that it still was.
fn row(bed: &mut Bed, path: Path, flows: u32, effort: Effort, floors: &mut Floors) -> Row {
    bed.prepare(path, flows);
    bed.check_one_packet(path);
    let before = bed.reasons();
    let mut sent = 0;
    let shape = path.bits();
    let samples = measure::collect(Program::Adc, effort, floors.of(shape), |program| {
        let slice = bed.run(program, effort.packets);
        if program == Program::Adc {
            sent += u64::from(effort.packets);
        }
        slice
    });
    bed.check_reasons(path, &before, sent);
    let row = Row {
        name: path.name(),
        shape,
        flows,
        samples,
    };
    eprintln!("{}", report::line(&row, floors));
    row
}

/// What a lookup of the flows of `nat-tcp4-forward` costs in a map like other balancers'.
fn yardstick_rows(
    bed: &mut Bed,
    options: &Options,
    effort: Effort,
    floors: &mut Floors,
) -> Vec<Row> {
    let path = Path {
        tables: Tables::TCP4,
        kind: Kind::Forward,
    };
    let mut rows = Vec::new();
    for flows in FLOW_COUNTS {
        if options.flows.is_some_and(|only| only != flows) {
            continue;
        }
        bed.prepare(path, flows);
        bed.prepare_yardstick(flows);
        let shape = path.bits();
        let samples = measure::collect(Program::Yardstick, effort, floors.of(shape), |program| {
            bed.run(program, effort.packets)
        });
        let row = Row {
            name: YARDSTICK.to_owned(),
            shape,
            flows,
            samples,
        };
        eprintln!("{}", report::line(&row, floors));
        rows.push(row);
    }
    rows
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
