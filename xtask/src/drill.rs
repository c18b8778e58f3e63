//! `cargo xtask drill`: faults happen to a pair of nodes, and what clients see of them is measured.

use std::process::ExitCode;

use anyhow::Result;

use crate::{demo::run_program, setup::Purpose};

/// Options of `drill`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print one JSON object as the only line of stdout
    #[arg(long)]
    json: bool,
    /// Print a table in Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// The nodes do not have each other's flows (no `[ha.sync]`)
    #[arg(long)]
    without_sync: bool,
    /// Only this fault, such as `crash`; may be repeated
    #[arg(long, value_name = "FAULT")]
    only: Vec<String>,
    /// How often each fault happens [default: 10]
    #[arg(long)]
    runs: Option<usize>,
    /// TCP connections that are held [default: 1000]
    #[arg(long)]
    connections: Option<usize>,
    /// How the nodes watch each other: `vrrp`, `standard`, `fast` or `ultra` [default: `fast`, and `vrrp` with
    /// keepalived]
    #[arg(long)]
    profile: Option<String>,
    /// Only with this forwarding mode: `nat` or `full-nat`
    #[arg(long)]
    mode: Option<String>,
}

impl Args {
    fn passed_on(&self) -> Vec<String> {
        let flags = [
            (self.json, "--json"),
            (self.markdown, "--markdown"),
            (self.without_sync, "--without-sync"),
        ];
        let flags = flags.into_iter().filter(|(given, _)| *given);
        let mut all: Vec<String> = flags.map(|(_, flag)| flag.to_owned()).collect();
        let only = self.only.iter().map(|fault| ("--only", fault.clone()));
        let numbers = [("--runs", self.runs), ("--connections", self.connections)];
        let numbers = numbers
            .into_iter()
            .filter_map(|(flag, number)| Some((flag, number?.to_string())));
        let words = [("--profile", &self.profile), ("--mode", &self.mode)];
        let words = words
            .into_iter()
            .filter_map(|(flag, word)| Some((flag, word.clone()?)));
        for (flag, value) in only.chain(numbers).chain(words) {
            all.extend([flag.to_owned(), value]);
        }
        all
    }
}

/// Runs the command; the exit code is that of `adc-drill`.
pub(crate) fn command(args: &Args) -> Result<ExitCode> {
    run_program("drill", "adc-drill", Purpose::Drill, &args.passed_on())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_passed_on() {
        let args = Args {
            json: true,
            markdown: false,
            without_sync: true,
            only: vec!["crash".into(), "sigstop".into()],
            runs: Some(3),
            connections: None,
            profile: None,
            mode: Some("nat".into()),
        };
        assert_eq!(
            args.passed_on().join(" "),
            "--json --without-sync --only crash --only sigstop --runs 3 --mode nat"
        );
    }
}
