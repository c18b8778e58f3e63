//! Running `adc` verbs against the agent.

use std::{fs::File, io::Read, process::Command};

use serde_json::Value;

use super::Agent;

/// What a CLI call printed and how it ended.
#[derive(Clone, Debug)]
pub struct CliOutput {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Agent {
    /// Runs `adc --socket ... arguments...`.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str]) -> CliOutput {
        let output = Command::new(self.binary())
            .arg("--socket")
            .arg(self.socket())
            .args(arguments)
            .output()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.binary().display()));
        CliOutput {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a verb that must succeed.
    ///
    /// # Panics
    /// If it does not exit with 0.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.cli(arguments);
        assert_eq!(output.code, 0, "adc {}: {output:?}", arguments.join(" "));
        output.stdout
    }

    /// Runs a verb with `-o json`; the exit code of a degraded node (7) is fine.
    ///
    /// # Panics
    /// If it fails or prints something else than JSON.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.extend(["-o", "json"]);
        let output = self.cli(&all);
        assert!(
            matches!(output.code, 0 | 7),
            "adc {}: {output:?}",
            all.join(" ")
        );
        serde_json::from_str(&output.stdout).unwrap_or_else(|error| {
            panic!(
                "adc {} printed no JSON ({error}): {output:?}",
                all.join(" ")
            )
        })
    }

    /// Resident memory of the agent, in KiB.
    #[track_caller]
    pub fn resident_kib(&mut self) -> u64 {
        let path = format!("/proc/{}/status", self.process().pid());
        let mut text = String::new();
        File::open(&path)
            .and_then(|mut file| file.read_to_string(&mut text))
            .unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
        text.lines()
            .find_map(|line| {
                line.strip_prefix("VmRSS:")?
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            })
            .unwrap_or_else(|| panic!("{path} has no VmRSS"))
    }
}
