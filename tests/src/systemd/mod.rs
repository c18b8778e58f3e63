//! A node whose first process is systemd, with the unit that adc comes with.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    agent::{Config, binary},
    net::{Namespace, run_unchecked},
    process::Process,
    wait::{eventually, eventually_some, is_cancelled},
};

/// How the node is set up.
const BOOT: &str = include_str!("boot.sh");
/// The unit.
const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../dist/adc.service");
/// To boot, or to carry out a command.
const PATIENCE: Duration = Duration::from_secs(30);

/// It runs until it is dropped, with everything that it has started.
#[derive(Debug)]
pub struct Systemd {
    /// Process 1, as others call it.
    first: Pid,
    /// What agents and keepers print.
    log: PathBuf,
    _process: Process,
}

impl Systemd {
    /// Boots it on a node. Nothing is started yet; `adc` and its configuration are where the unit wants them, and state,
    /// run directory and pins where they are by default.
    ///
    /// # Panics
    /// If it does not come up.
    #[track_caller]
    pub fn boot(node: &Namespace, config: &Config) -> Self {
        let directory = config.directory();
        fs::create_dir_all(directory).expect("the node's directory");
        let (script, file) = (directory.join("boot.sh"), directory.join("systemd.toml"));
        fs::write(&script, BOOT).expect("boot.sh");
        fs::write(&file, with_default_directories(&config.text())).expect("the configuration");
        let binary = binary().unwrap_or_else(|reason| panic!("{reason}"));
        let mut command = Command::new("unshare");
        command
            .args([
                "--pid",
                "--mount",
                "--cgroup",
                "--fork",
                "--kill-child=KILL",
            ])
            .arg("sh")
            .args([&script, directory, &binary, &file])
            .arg(UNIT);
        let process = Process::spawn(node, "systemd", &mut command, directory);
        let (first, _) = eventually_some(PATIENCE, "systemd has a process", || {
            only_child(process.pid())
        });
        let systemd = Self {
            first,
            log: directory.join("adc.log"),
            _process: process,
        };
        eventually(PATIENCE, "systemd has come up", || {
            let state = systemd.try_run("systemctl", &["is-system-running"]);
            String::from_utf8_lossy(&state.stdout).trim() == "running"
        });
        systemd
    }

    /// Runs `systemctl`, and returns what it printed.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn systemctl(&self, arguments: &[&str]) -> String {
        let output = self.try_run("systemctl", arguments);
        if !output.status.success() {
            let status = self.try_run("systemctl", &["status", "adc"]);
            let status = String::from_utf8_lossy(&status.stdout);
            panic!("systemctl {arguments:?}: {output:?}\n{status}");
        }
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A property of the unit `adc`.
    #[track_caller]
    pub fn property(&self, name: &str) -> String {
        let shown = self.systemctl(&["show", "--value", "--property", name, "adc"]);
        shown.trim().to_owned()
    }

    /// What `adc -o json ...` prints; null if there is nobody to ask.
    pub fn adc(&self, arguments: &[&str]) -> Value {
        let output = self.try_run("adc", &[&["-o", "json"], arguments].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// Names of the processes that run, systemd itself left out.
    pub fn processes(&self) -> Vec<String> {
        let proc = format!("/proc/{}/root/proc", self.first);
        let entries = fs::read_dir(proc).into_iter().flatten().flatten();
        let of_processes = entries.filter(|entry| {
            let name = entry.file_name();
            let pid = name.to_string_lossy().parse::<u32>();
            pid.is_ok_and(|pid| pid != 1)
        });
        let names =
            of_processes.filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok());
        names.map(|name| name.trim().to_owned()).collect()
    }

    /// Runs a program on the node, as its root sees it.
    fn try_run(&self, program: &str, arguments: &[&str]) -> Output {
        let first = self.first.to_string();
        let enter = [
            "--target", &first, "--mount", "--net", "--pid", "--root", "--wd",
        ];
        run_unchecked("nsenter", &[&enter, &[program][..], arguments].concat())
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        if std::thread::panicking() && !is_cancelled() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("--- log of adc:\n{log}");
        }
        // The kernel ends every other process of its pid namespace with it.
        kill(self.first, Signal::SIGKILL).ok();
    }
}

/// Without the lines that name directories of a test.
fn with_default_directories(text: &str) -> String {
    let ours = ["state_dir", "run_dir", "pin_path"];
    let lines = text.lines();
    let lines = lines.filter(|line| !ours.iter().any(|key| line.starts_with(key)));
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn only_child(parent: u32) -> Option<Pid> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let children = fs::read_to_string(Path::new(&path)).ok()?;
    children.trim().parse().ok().map(Pid::from_raw)
}
