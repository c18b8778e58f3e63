//! The table for people and the object for programs.

use serde::Serialize;

use super::{
    Row,
    measure::{Floors, Summary},
    ring::Rings,
};

#[derive(Serialize)]
struct Report {
    rows: Vec<ReportRow>,
    yardstick: Vec<ReportRow>,
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

/// All that was measured.
pub(crate) struct Results<'a> {
    pub(crate) rows: &'a [Row],
    pub(crate) yardstick: &'a [Row],
    pub(crate) floors: &'a Floors,
    pub(crate) flow_bytes: Option<f64>,
    pub(crate) rings: &'a Rings,
}

/// Prints the table, and the object after it if asked to.
pub(crate) fn print(json: bool, results: &Results<'_>) {
    let Results {
        rows,
        yardstick,
        floors,
        flow_bytes,
        rings,
    } = *results;
    println!(
        "{:<22} {:>9} {:>8} {:>8} {:>9} {:>8} {:>8} {:>8}",
        "path", "flows", "ns min", "median", "baseline", "net", "net min", "quiet"
    );
    for row in rows.iter().chain(yardstick) {
        println!("{}", line(row, floors));
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
            rows: report_rows(rows, floors),
            yardstick: report_rows(yardstick, floors),
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

/// The row's line of the table.
pub(crate) fn line(row: &Row, floors: &Floors) -> String {
    let Summary {
        min,
        median,
        baseline_median,
        over_baseline,
        over_baseline_min,
        quiet,
        slices,
    } = row.samples.summary(floors.get(row.shape));
    let (name, flows) = (&row.name, row.flows);
    let quiet = format!("{quiet}/{slices}");
    format!(
        "{name:<22} {flows:>9} {min:>8} {median:>8.1} {baseline_median:>9.1} {over_baseline:>8.1} {over_baseline_min:>8.1} {quiet:>8}"
    )
}

fn report_rows(rows: &[Row], floors: &Floors) -> Vec<ReportRow> {
    let report_row = |row: &Row| {
        let summary = row.samples.summary(floors.get(row.shape));
        ReportRow {
            path: row.name.clone(),
            flows: row.flows,
            ns_min: summary.min,
            ns_median: summary.median,
            baseline_ns_median: summary.baseline_median,
            over_baseline_ns: summary.over_baseline,
            over_baseline_ns_min: summary.over_baseline_min,
            quiet: summary.quiet,
            slices: summary.slices,
        }
    };
    rows.iter().map(report_row).collect()
}
