//! Counting what ran and printing the summary.

use std::{
    fmt,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::layer::Layer;
use crate::process::shown;

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Tests that passed; a layer without tests is one.
    pub(crate) passed: u64,
    /// Tests that failed; a layer that broke before its tests is one.
    pub(crate) failed: u64,
}

impl Counts {
    /// One check that passed.
    pub(crate) const PASS: Self = Self {
        passed: 1,
        failed: 0,
    };
    /// One check that failed.
    pub(crate) const FAIL: Self = Self {
        passed: 0,
        failed: 1,
    };
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// What became of a layer.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It ran.
    Ran(Counts),
    /// It could not run, and why.
    Skipped(String),
}

/// Sums libtest's `test result: ok. 3 passed; 0 failed; …` lines as they come.
#[derive(Debug, Default)]
struct Stream {
    counts: Counts,
}

impl Stream {
    /// Takes one line of output.
    fn line(&mut self, line: &str) {
        let Some((_, result)) = line.split_once("test result: ") else {
            return;
        };
        let number = |what: &str| -> u64 {
            let words: Vec<&str> = result
                .split([' ', ';', '.'])
                .filter(|w| !w.is_empty())
                .collect();
            words
                .windows(2)
                .find(|pair| pair[1] == what)
                .and_then(|pair| pair[0].parse().ok())
                .unwrap_or(0)
        };
        self.counts += Counts {
            passed: number("passed"),
            failed: number("failed"),
        };
    }
}

/// Runs a command whose output holds libtest results: passes it on line by line, shows each line to
/// `watch`, and counts. A failing exit that no failed test explains (a compile error, a crash, a timeout)
/// counts as one failure.
pub(crate) fn count_tests(command: &mut Command, mut watch: impl FnMut(&str)) -> Result<Counts> {
    eprintln!("    $ {}", shown(command));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting `{}`", shown(command)))?;
    let stdout = child.stdout.take().context("child has no stdout")?;
    let mut stream = Stream::default();
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    // Bytes, not `lines()`: a serial console or a test may print what is not UTF-8.
    while reader
        .read_until(b'\n', &mut line)
        .context("reading test output")?
        > 0
    {
        let text = String::from_utf8_lossy(&line);
        // `print!`, so that our own tests, whose output is counted too, capture it.
        print!("{text}");
        stream.line(&text);
        watch(&text);
        line.clear();
    }
    let status = child.wait().context("waiting for tests")?;
    if status.code() == Some(TIMED_OUT) {
        eprintln!("    timed out");
    }
    if !status.success() && stream.counts.failed == 0 {
        eprintln!("    `{}`: {status}", shown(command));
        stream.counts += Counts::FAIL;
    }
    Ok(stream.counts)
}

/// Exit code of coreutils' `timeout` when time was up.
const TIMED_OUT: i32 = 124;

/// Everything that ran, for the summary.
#[derive(Debug, Default)]
pub(super) struct Report {
    rows: Vec<(Layer, Outcome, Duration)>,
}

impl Report {
    /// Adds a layer.
    pub(super) fn add(&mut self, layer: Layer, outcome: Outcome, elapsed: Duration) {
        self.rows.push((layer, outcome, elapsed));
    }

    fn totals(&self) -> Counts {
        let mut totals = Counts::default();
        for (_, outcome, _) in &self.rows {
            match outcome {
                Outcome::Ran(counts) => totals += *counts,
                Outcome::Skipped(_) => {}
            }
        }
        totals
    }

    /// Whether the run failed; a skipped layer counts if `strict`.
    pub(super) fn is_failure(&self, strict: bool) -> bool {
        let skipped = self
            .rows
            .iter()
            .any(|(_, outcome, _)| matches!(outcome, Outcome::Skipped(_)));
        self.totals().failed > 0 || (strict && skipped)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n{:12} {:8} {:>7} {:>7} {:>8}",
            "layer", "result", "passed", "failed", "time"
        )?;
        let mut total = Duration::ZERO;
        for (layer, outcome, elapsed) in &self.rows {
            total += *elapsed;
            let seconds = elapsed.as_secs_f64();
            match outcome {
                Outcome::Ran(Counts { passed, failed }) => {
                    let result = if *failed == 0 { "ok" } else { "FAILED" };
                    writeln!(
                        f,
                        "{:12} {result:8} {passed:>7} {failed:>7} {seconds:>6.1} s",
                        layer.name()
                    )?;
                }
                Outcome::Skipped(_) => {
                    writeln!(
                        f,
                        "{:12} {:8} {:>7} {:>7} {seconds:>6.1} s",
                        layer.name(),
                        "SKIPPED",
                        "-",
                        "-"
                    )?;
                }
            }
        }
        for (layer, outcome, _) in &self.rows {
            if let Outcome::Skipped(reason) = outcome {
                writeln!(f, "SKIPPED {layer}: {reason}")?;
            }
        }
        let Counts { passed, failed } = self.totals();
        writeln!(f, "total time {:.1} s", total.as_secs_f64())?;
        writeln!(f, "{passed} passed, {failed} failed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(outcomes: Vec<Outcome>) -> Report {
        let mut report = Report::default();
        for outcome in outcomes {
            report.add(Layer::Unit, outcome, Duration::from_secs(1));
        }
        report
    }

    #[test]
    fn libtest_results_are_summed_over_binaries() {
        let mut stream = Stream::default();
        for line in [
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s\r",
        ] {
            stream.line(line);
        }
        assert_eq!(
            stream.counts,
            Counts {
                passed: 7,
                failed: 2
            }
        );
    }

    #[test]
    fn a_crash_before_any_result_is_one_failure() {
        let counts = count_tests(Command::new("sh").args(["-c", "exit 101"]), |_| ()).unwrap();
        assert_eq!(counts, Counts::FAIL);
    }

    #[test]
    fn a_failed_test_is_not_counted_twice() {
        let script = "echo 'test result: FAILED. 1 passed; 1 failed; 0 ignored'; exit 101";
        let counts = count_tests(Command::new("sh").args(["-c", script]), |_| ()).unwrap();
        assert_eq!(
            counts,
            Counts {
                passed: 1,
                failed: 1
            }
        );
    }

    #[test]
    fn a_skipped_layer_fails_only_a_strict_run_and_is_printed() {
        let report = report(vec![
            Outcome::Ran(Counts::PASS),
            Outcome::Skipped("not root".into()),
        ]);
        assert!(!report.is_failure(false));
        assert!(report.is_failure(true));
        assert!(report.to_string().contains("SKIPPED unit: not root"));
    }

    #[test]
    fn the_last_line_is_the_plain_total() {
        let report = report(vec![
            Outcome::Ran(Counts {
                passed: 10,
                failed: 0,
            }),
            Outcome::Ran(Counts {
                passed: 2,
                failed: 1,
            }),
        ]);
        assert_eq!(
            report.to_string().lines().last(),
            Some("12 passed, 1 failed")
        );
        assert!(report.is_failure(false));
    }
}
