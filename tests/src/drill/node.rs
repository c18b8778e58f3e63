//! One of the two nodes, and what can be done to it.

use std::{
    fs::{self, DirEntry},
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::MetadataExt as _,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::cut::Cutter;
use crate::{
    agent::{Agent, Config},
    net::Link,
};

/// An adc node with an interface on the switch, and one on the cable to the other.
#[derive(Debug)]
pub(super) struct Node {
    /// Its agent.
    pub(super) agent: Agent,
    /// Its interface on the switch.
    pub(super) link: Link,
    /// Its interface on the cable.
    pub(super) cable: Link,
    /// The switch's end of `link`.
    pub(super) port: Link,
    /// Its own address on the switch, towards clients.
    pub(super) own: Ipv4Addr,
    pub(super) config: Config,
    /// The addresses that move.
    pub(super) moving: Vec<IpAddr>,
}

impl Node {
    /// What it is for the group; empty if it does not say.
    pub(super) fn role(&self) -> String {
        let output = self.agent.cli(&["ha", "status", "-o", "json"]);
        let status: serde_json::Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        let role = status["groups"][0]["role"].as_str();
        role.unwrap_or_default().to_owned()
    }

    /// Active, with all addresses.
    pub(super) fn is_active(&self) -> bool {
        let here = self.link.addresses();
        self.role() == "active" && self.moving.iter().all(|address| here.contains(address))
    }

    /// Ready to take over, with none of the addresses.
    pub(super) fn is_backup(&self) -> bool {
        let here = self.link.addresses();
        self.role() == "backup" && !self.moving.iter().any(|address| here.contains(address))
    }

    /// Runs its configuration from now on; if it does not run, from its next start on.
    pub(super) fn take_config(&mut self) {
        if self.agent.is_ready() {
            self.agent.reload(&self.config);
        } else {
            self.agent.write_config(&self.config);
        }
    }

    /// Everything that runs on it.
    pub(super) fn pids(&self) -> Vec<Pid> {
        let path = format!("/run/netns/{}", self.link.namespace.name());
        let Ok(own) = fs::metadata(&path).map(|namespace| namespace.ino()) else {
            return Vec::new(); // it is gone, and nothing can run there
        };
        let lives_here = |entry: &DirEntry| {
            let namespace = fs::metadata(entry.path().join("ns/net"));
            namespace.is_ok_and(|namespace| namespace.ino() == own)
        };
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ours = processes.filter(lives_here);
        ours.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .map(Pid::from_raw)
            .collect()
    }

    /// Prepared to take its interfaces down.
    pub(super) fn cutters(&self) -> [Cutter; 2] {
        [&self.link, &self.cable].map(Cutter::new)
    }

    /// Everything on it dies, and its interfaces go down.
    pub(super) fn crash(&self) {
        let cutters = self.cutters();
        self.kill_all();
        for cutter in cutters {
            cutter.down();
        }
    }

    /// A node that crashed comes back.
    pub(super) fn reboot(&mut self) {
        self.forget();
        self.boot();
    }

    /// What a node that crashed does not have when it comes back: addresses of the group, pins, anything in `/run`.
    pub(super) fn forget(&mut self) {
        // Reaps what was killed.
        self.agent.kill9();
        self.kill_all();
        for directory in [self.config.pin_path(), &self.config.run_dir()] {
            if let Err(error) = fs::remove_dir_all(directory) {
                let path = directory.display();
                assert!(!directory.exists(), "cannot remove {path}: {error}");
            }
        }
        let here = self.link.addresses();
        for address in self.moving.iter().filter(|address| here.contains(address)) {
            self.link.remove_address(*address);
        }
    }

    /// Its interfaces come up, and the agent is started.
    pub(super) fn boot(&mut self) {
        self.cable.up();
        self.link.up();
        self.agent.spawn();
    }

    /// Waits until its agent answers.
    pub(super) fn wait_until_ready(&mut self) {
        self.agent.wait_until_ready();
    }

    /// SIGKILL to everything that runs on it.
    fn kill_all(&self) {
        signal(&self.pids(), Signal::SIGKILL);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Not only the agent: what it has started may live on without it.
        self.kill_all();
    }
}

/// Sends a signal to each; those that have ended are none of our business.
pub(super) fn signal(pids: &[Pid], signal: Signal) {
    for pid in pids {
        kill(*pid, signal).ok();
    }
}
