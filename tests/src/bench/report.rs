//! The table for people and the object for programs.

use serde::Serialize;

use super::{
    Row,
    measure::{Floors, Samples, Summary},
    path::Path,
    ring::Rings,
};

#[derive(Serialize)]
struct Report {
    rows: Vec<ReportRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_memory_bytes_v4: Option<f64>,
    ring_build_ms_1000_backends: f64,
    ring_swap_ms: f64,
    ring_swap_return_ms: f64,
}

#[derive(Serialize)]
struct ReportRow {
    path: String,
    flows: u32,
    ns_min: u32,
    ns_median: f64,
    baseline_ns_median: f64,
    over_baseline_ns: f64,
    over_baseline_ns_min: f64,
    quiet: usize,
    slices: usize,
}

/// Prints the table, and the object after it if asked to.
pub(crate) fn print(
    json: bool,
    rows: &[Row],
    floors: &Floors,
    flow_bytes: Option<f64>,
    rings: &Rings,
) {
    println!(
        "{:<18} {:>9} {:>8} {:>8} {:>9} {:>8} {:>8} {:>8}",
        "path", "flows", "ns min", "median", "baseline", "net", "net min", "quiet"
    );
    for row in rows {
        let summary = row.samples.summary(floors.get(row.path));
        println!("{}", line(row.path, row.flows, summary));
    }
    if let Some(bytes) = flow_bytes {
        println!("memory: {bytes:.1} bytes per IPv4 flow, both entries and the hash table");
    }
    println!("ring of 1000 backends, median and least:");
    for (what, times) in [
        ("built", &rings.build),
        ("swapped in, seen by packets", &rings.swap),
        ("swapped in, call returned", &rings.swap_return),
    ] {
        println!(
            "  {what:<28} {:>7.2} ms {:>7.2} ms",
            times.median_ms(),
            times.min_ms()
        );
    }
    if json {
        let report = Report {
            rows: rows.iter().map(|row| report_row(row, floors)).collect(),
            flow_memory_bytes_v4: flow_bytes,
            ring_build_ms_1000_backends: rings.build.median_ms(),
            ring_swap_ms: rings.swap.median_ms(),
            ring_swap_return_ms: rings.swap_return.median_ms(),
        };
        println!(
            "{}",
            serde_json::to_string(&report).expect("numbers and strings")
        );
    }
}

/// The row's line as soon as it is measured.
pub(crate) fn progress(path: Path, flows: u32, samples: &Samples, floors: &Floors) -> String {
    line(path, flows, samples.summary(floors.get(path)))
}

fn line(path: Path, flows: u32, summary: Summary) -> String {
    let Summary {
        min,
        median,
        baseline_median,
        over_baseline,
        over_baseline_min,
        quiet,
        slices,
    } = summary;
    let name = path.name();
    let quiet = format!("{quiet}/{slices}");
    format!(
        "{name:<18} {flows:>9} {min:>8} {median:>8.1} {baseline_median:>9.1} {over_baseline:>8.1} {over_baseline_min:>8.1} {quiet:>8}"
    )
}

fn report_row(row: &Row, floors: &Floors) -> ReportRow {
    let summary = row.samples.summary(floors.get(row.path));
    ReportRow {
        path: row.path.name(),
        flows: row.flows,
        ns_min: summary.min,
        ns_median: summary.median,
        baseline_ns_median: summary.baseline_median,
        over_baseline_ns: summary.over_baseline,
        over_baseline_ns_min: summary.over_baseline_min,
        quiet: summary.quiet,
        slices: summary.slices,
    }
}
