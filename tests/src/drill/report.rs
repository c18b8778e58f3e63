//! The table.

use std::time::Duration;

use serde::Serialize;

use super::{
    plan::{Expected, Fault, Mode, Profile, name},
    trial::Observed,
};

/// What the instruments can not tell from zero: two questions for the VIP, and a thread that is run late.
const RESOLUTION: Duration = Duration::from_millis(10);

/// All rows.
#[derive(Debug, Default, Serialize)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
}

/// A fault, with one profile and one mode.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    fault: Fault,
    profile: Profile,
    mode: Mode,
    /// Flows were replicated.
    sync: bool,
    expected: Expected,
    /// Why it did not happen.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
    runs: usize,
    /// Runs in which the other node took over.
    takeovers: usize,
    takeover_ms_median: Option<f64>,
    takeover_ms_max: Option<f64>,
    packets_lost_median: usize,
    packets_lost_max: usize,
    /// Of the packets lost in all runs, those on their way to a backend.
    packets_lost_forward: usize,
    /// The longest time without a reply at the client.
    silence_ms_median: f64,
    connections: usize,
    /// In the worst run.
    connections_survived: usize,
    /// Runs in which iperf3 went on.
    iperf3_went_on: usize,
    dual_active_ms_max: f64,
    /// What was promised and not kept.
    missed: Vec<String>,
}

impl Row {
    /// Sums up the runs.
    pub(super) fn new(
        (fault, profile, mode): (Fault, Profile, Mode),
        sync: bool,
        connections: usize,
        observed: &[Observed],
        troubles: Vec<String>,
    ) -> Self {
        let promise = fault.promise(profile);
        let connections = if promise.keeps_connections {
            connections
        } else {
            0
        };
        let takeovers = observed.iter().filter_map(|one| one.takeover);
        let takeovers = sorted(takeovers.collect());
        let lost = sorted(observed.iter().map(Observed::lost).collect());
        let silences = observed.iter().map(|one| one.stream.longest_gap);
        let both = observed.iter().map(|one| one.both_active);
        let survived = observed.iter().map(|one| one.survived).min();
        let mut row = Self {
            fault,
            profile,
            mode,
            sync,
            expected: promise.expected,
            skipped: None,
            runs: observed.len(),
            takeovers: takeovers.len(),
            takeover_ms_median: median(&takeovers).map(milliseconds),
            takeover_ms_max: takeovers.last().copied().map(milliseconds),
            packets_lost_median: median(&lost).unwrap_or_default(),
            packets_lost_max: lost.last().copied().unwrap_or_default(),
            packets_lost_forward: observed.iter().map(|one| one.stream.lost_forward).sum(),
            silence_ms_median: milliseconds(
                median(&sorted(silences.collect())).unwrap_or_default(),
            ),
            connections,
            connections_survived: survived.unwrap_or_default(),
            iperf3_went_on: observed.iter().filter(|one| one.bulk).count(),
            dual_active_ms_max: milliseconds(both.max().unwrap_or_default()),
            missed: Vec::new(),
        };
        row.missed = row.misses();
        row.missed.extend(troubles);
        row
    }

    /// A row without runs.
    pub(super) fn skipped(what: (Fault, Profile, Mode), reason: &str) -> Self {
        let mut row = Self::new(what, false, 0, &[], Vec::new());
        row.skipped = Some(reason.to_owned());
        row
    }

    /// Whether all was as promised.
    pub(super) fn is_kept(&self) -> bool {
        self.missed.is_empty()
    }

    fn misses(&self) -> Vec<String> {
        let mut missed = Vec::new();
        match self.expected {
            Expected::Failover | Expected::OneActive if self.takeovers < self.runs => {
                let without = self.runs - self.takeovers;
                missed.push(format!("no takeover in {without} of {} runs", self.runs));
            }
            Expected::None if self.takeovers > 0 => {
                let with = self.takeovers;
                missed.push(format!(
                    "the other node took over in {with} of {} runs",
                    self.runs
                ));
            }
            Expected::Failover | Expected::None | Expected::OneActive => {}
            Expected::Open => return missed,
        }
        let promise = self.fault.promise(self.profile);
        if let Some(most) = promise.may_lose
            && self.packets_lost_max > most
        {
            let lost = self.packets_lost_max;
            missed.push(format!("{lost} packets lost, {most} allowed"));
        }
        let flows_are_there = self.expected == Expected::None || self.sync;
        if flows_are_there && self.connections_survived < self.connections {
            let lost = self.connections - self.connections_survived;
            missed.push(format!("{lost} connections lost"));
        }
        if flows_are_there && promise.keeps_connections && self.iperf3_went_on < self.runs {
            missed.push("iperf3 did not go on".to_owned());
        }
        let limit = self.profile.lease().map(|lease| lease + RESOLUTION);
        if let Some(limit) = limit.map(milliseconds)
            && self.dual_active_ms_max > limit
        {
            missed.push(format!("two active nodes for longer than {limit} ms"));
        }
        missed
    }

    fn cells(&self) -> [String; 11] {
        let takeover = match (self.takeover_ms_median, self.takeover_ms_max) {
            (Some(median), Some(max)) => format!("{median:.1} / {max:.1}"),
            (Some(_) | None, _) => "-".to_owned(),
        };
        let verdict = if let Some(reason) = &self.skipped {
            format!("skipped: {reason}")
        } else if self.expected == Expected::Open && self.is_kept() {
            "nothing is promised".to_owned()
        } else if self.is_kept() {
            "yes".to_owned()
        } else {
            self.missed.join("; ")
        };
        let keeps = self.fault.promise(self.profile).keeps_connections;
        let of = |some: usize, all: usize| {
            if keeps {
                format!("{some}/{all}")
            } else {
                "-".to_owned()
            }
        };
        [
            name(self.fault),
            name(self.profile) + if self.sync { "" } else { ", no sync" },
            name(self.mode),
            match self.expected {
                Expected::Failover => "takeover".to_owned(),
                Expected::None => "none".to_owned(),
                Expected::OneActive => "one active".to_owned(),
                Expected::Open => "open".to_owned(),
            },
            self.runs.to_string(),
            takeover,
            format!("{} / {}", self.packets_lost_median, self.packets_lost_max),
            of(self.connections_survived, self.connections),
            of(self.iperf3_went_on, self.runs),
            format!("{:.1}", self.dual_active_ms_max),
            verdict,
        ]
    }
}

const HEADINGS: [&str; 11] = [
    "fault",
    "profile",
    "mode",
    "expected",
    "runs",
    "takeover ms (median / max)",
    "packets lost (median / max)",
    "connections",
    "iperf3",
    "both active ms (max)",
    "as promised",
];

impl Table {
    /// One JSON object.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self)
            .unwrap_or_else(|error| panic!("cannot print the table as JSON: {error}"))
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let lines = self.lines();
        let width = |column: usize| lines.iter().map(|cells| cells[column].len()).max();
        let widths: Vec<usize> = (0..HEADINGS.len()).filter_map(width).collect();
        let line = |cells: &[String; 11]| {
            let padded = cells.iter().zip(&widths);
            let padded: Vec<String> = padded
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            padded.join("  ").trim_end().to_owned()
        };
        lines.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// For the documentation.
    pub(super) fn markdown(&self) -> String {
        let line = |cells: &[String; 11]| format!("| {} |", cells.join(" | "));
        let mut lines: Vec<String> = self.lines().iter().map(line).collect();
        lines.insert(1, format!("|{}", "---|".repeat(HEADINGS.len())));
        lines.join("\n")
    }

    fn lines(&self) -> Vec<[String; 11]> {
        let mut lines = vec![HEADINGS.map(ToOwned::to_owned)];
        lines.extend(self.rows.iter().map(Row::cells));
        lines
    }
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort();
    values
}

/// Of an even number of values the lower one in the middle.
fn median<T: Copy>(sorted: &[T]) -> Option<T> {
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

/// To a hundredth.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::instruments::StreamReport;

    fn observed(takeover: Option<u64>, lost: usize) -> Observed {
        Observed {
            takeover: takeover.map(Duration::from_millis),
            stream: StreamReport {
                sent: 1000,
                lost_forward: lost,
                lost_reply: 0,
                longest_gap: Duration::from_millis(30),
            },
            survived: 10,
            bulk: true,
            both_active: Duration::ZERO,
        }
    }

    fn row(fault: Fault, observed: &[Observed]) -> Row {
        Row::new(
            (fault, Profile::Fast, Mode::Nat),
            false,
            10,
            observed,
            Vec::new(),
        )
    }

    #[test]
    fn a_row_has_the_median_and_the_worst() {
        let runs = [
            observed(Some(90), 80),
            observed(Some(110), 100),
            observed(Some(70), 300),
        ];
        let row = row(Fault::Crash, &runs);
        assert_eq!(row.takeover_ms_median, Some(90.0));
        assert_eq!(row.takeover_ms_max, Some(110.0));
        assert_eq!((row.packets_lost_median, row.packets_lost_max), (100, 300));
        assert!(row.is_kept(), "{:?}", row.missed);
    }

    #[test]
    fn what_is_not_kept_is_named() {
        let wrong = |fault, observed| row(fault, &[observed]).missed.join("; ");
        let found = wrong(Fault::Crash, observed(None, 500));
        assert!(found.contains("no takeover"), "{found}");
        let found = wrong(Fault::OnePathCut, observed(Some(5), 0));
        assert!(found.contains("took over"), "{found}");
        let found = wrong(Fault::PlannedFailover, observed(Some(5), 2));
        assert!(found.contains("2 packets lost, 1 allowed"), "{found}");
        let fewer = Observed {
            survived: 9,
            ..observed(None, 0)
        };
        let found = wrong(Fault::OnePathCut, fewer);
        assert!(found.contains("1 connections lost"), "{found}");
        let both = Observed {
            both_active: Duration::from_millis(150),
            ..observed(Some(100), 0)
        };
        let found = wrong(Fault::Sigstop, both);
        assert!(found.contains("two active nodes"), "{found}");
    }

    #[test]
    fn the_json_has_the_promised_keys() {
        let rows = vec![row(Fault::Crash, &[observed(Some(90), 80)])];
        let json: serde_json::Value = serde_json::from_str(&Table { rows }.json()).unwrap();
        let row = &json["rows"][0];
        assert_eq!(row["fault"], "crash");
        assert_eq!(row["profile"], "fast");
        assert_eq!(row["mode"], "nat");
        assert_eq!(row["runs"], 1);
        assert_eq!(row["takeover_ms_median"], 90.0);
        assert_eq!(row["packets_lost_median"], 80);
        assert_eq!(row["connections"], 10);
        assert_eq!(row["connections_survived"], 10);
        assert_eq!(row["dual_active_ms_max"], 0.0);
    }
}
