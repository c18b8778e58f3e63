//! What the clients saw, counted.

use std::{collections::BTreeMap, net::SocketAddr, time::Instant};

use serde::Serialize;

use crate::{
    drive::{LoadReport, Request, Window},
    topology::BackendHost,
};

/// The numbers of one run, as `--json` prints them.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Outcome {
    /// Everything went as it should.
    pub(super) ok: bool,
    /// Requests made.
    pub(super) requests: usize,
    /// Requests that failed.
    pub(super) failed: usize,
    /// Of those, the ones that no detection window explains.
    pub(super) failed_outside_detection: usize,
    /// Answers by the address they came from.
    pub(super) backends: Vec<Share>,
}

/// What one backend answered.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Share {
    /// Address and port of the web server.
    pub(super) address: SocketAddr,
    /// Requests it answered.
    pub(super) requests: u64,
}

/// A part of the story.
#[derive(Debug)]
pub(super) struct Phase {
    pub(super) title: &'static str,
    /// Who must answer in it, and nobody else, by name; empty = anyone.
    pub(super) expected: &'static [&'static str],
    pub(super) from: Instant,
    pub(super) to: Instant,
}

/// The parts so far.
#[derive(Debug, Default)]
pub(super) struct Phases(pub(super) Vec<Phase>);

impl Phases {
    /// Remembers when `part` began and ended.
    pub(super) fn record<T>(
        &mut self,
        title: &'static str,
        expected: &'static [&'static str],
        part: impl FnOnce() -> T,
    ) -> T {
        let from = Instant::now();
        let result = part();
        let to = Instant::now();
        self.0.push(Phase {
            title,
            expected,
            from,
            to,
        });
        result
    }
}

impl Outcome {
    pub(super) fn new(
        report: &LoadReport,
        window: Window,
        hosts: &[BackendHost],
        server_port: u16,
    ) -> Self {
        let failed_outside = report.failed_outside(&[window]).len();
        let addresses = hosts.iter().map(|host| host.v4(server_port));
        let addresses = addresses.chain(hosts.iter().map(|host| host.v6(server_port)));
        let share = |address: SocketAddr| Share {
            address,
            requests: report
                .requests
                .iter()
                .filter(|request| answered_by(request, hosts, server_port) == Some(address))
                .count() as u64,
        };
        Self {
            ok: failed_outside == 0 && !report.requests.is_empty(),
            requests: report.requests.len(),
            failed: report.failed().len(),
            failed_outside_detection: failed_outside,
            backends: addresses.map(share).collect(),
        }
    }

    pub(super) fn json(&self) -> String {
        serde_json::to_string(self)
            .unwrap_or_else(|error| panic!("cannot print the outcome as JSON: {error}"))
    }
}

impl Phase {
    /// Answers by backend name to requests begun in this phase.
    pub(super) fn answers(&self, report: &LoadReport) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for request in self.requests(report) {
            if let Ok(name) = &request.outcome {
                *counts.entry(name.clone()).or_default() += 1;
            }
        }
        counts
    }

    /// Requests begun in this phase that failed.
    pub(super) fn failed(&self, report: &LoadReport) -> usize {
        self.requests(report)
            .filter(|request| request.outcome.is_err())
            .count()
    }

    fn requests<'a>(&self, report: &'a LoadReport) -> impl Iterator<Item = &'a Request> {
        let (from, to) = (self.from, self.to);
        let begun = move |request: &&Request| request.started >= from && request.started < to;
        report.requests.iter().filter(begun)
    }
}

/// The table: one row a phase, one column a server.
pub(super) fn table(phases: &[Phase], report: &LoadReport, hosts: &[BackendHost]) -> String {
    let mut lines = vec![row(
        "",
        hosts.iter().map(|host| host.name.clone()),
        "failed",
    )];
    for phase in phases {
        let answers = phase.answers(report);
        let cells = hosts
            .iter()
            .map(|host| answers.get(&host.name).copied().unwrap_or(0).to_string());
        lines.push(row(phase.title, cells, &phase.failed(report).to_string()));
    }
    lines.join("\n")
}

fn row(title: &str, cells: impl Iterator<Item = String>, failed: &str) -> String {
    let cells: String = cells.fold(String::new(), |line, cell| format!("{line}{cell:>8}"));
    format!("  {title:<34}{cells}{failed:>9}")
}

fn answered_by(request: &Request, hosts: &[BackendHost], port: u16) -> Option<SocketAddr> {
    let name = request.outcome.as_ref().ok()?;
    let host = hosts.iter().find(|host| &host.name == name)?;
    Some(if request.target.is_ipv4() {
        host.v4(port)
    } else {
        host.v6(port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_exactly_the_promised_keys() {
        let outcome = Outcome {
            ok: true,
            requests: 3,
            failed: 1,
            failed_outside_detection: 0,
            backends: vec![Share {
                address: ([10, 2, 0, 11], 8080).into(),
                requests: 2,
            }],
        };
        assert_eq!(
            outcome.json(),
            r#"{"ok":true,"requests":3,"failed":1,"failed_outside_detection":0,"backends":[{"address":"10.2.0.11:8080","requests":2}]}"#
        );
    }
}
