//! Routing daemons that speak BFD and nothing else: FRR's bfdd, and BIRD.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{Bird, frr};
use crate::{
    net::{Link, run},
    process::Process,
    wait::eventually,
};

/// What a peer is like.
#[derive(Clone, Copy, Debug)]
pub struct BfdTiming {
    /// Milliseconds between two packets, both ways.
    pub interval: u32,
    /// Missing packets that are silence.
    pub multiplier: u32,
}

/// FRR's bfdd.
#[derive(Debug)]
pub struct FrrBfd {
    directory: PathBuf,
    _daemons: Vec<Process>,
}

/// BIRD's `protocol bfd`.
#[derive(Debug)]
pub struct BirdBfd {
    control: PathBuf,
    bird: Bird,
}

impl FrrBfd {
    /// Starts zebra and bfdd where `link` is, with a session from `own` to each peer.
    ///
    /// # Panics
    /// If they are not installed, or do not start.
    #[track_caller]
    pub fn start(
        link: &Link,
        sessions: &[(IpAddr, IpAddr)],
        timing: BfdTiming,
        directory: &Path,
    ) -> Self {
        let directory = directory.join(format!("frr-{}", link.namespace.name()));
        fs::create_dir_all(&directory).expect("making a directory for FRR");
        let BfdTiming {
            interval,
            multiplier,
        } = timing;
        let device = &link.name;
        let sessions = sessions.iter().map(|(own, peer)| {
            format!(
                " peer {peer} local-address {own} interface {device}\n  receive-interval {interval}\n  transmit-interval {interval}\n  detect-multiplier {multiplier}\n  no shutdown\n"
            )
        });
        let bfdd = format!("bfd\n{}", sessions.collect::<String>());
        let namespace = &link.namespace;
        let configs = [("zebra", String::new()), ("bfdd", bfdd)];
        let daemons =
            configs.map(|(name, config)| frr::spawn(namespace, name, &config, &directory));
        Self {
            directory,
            _daemons: daemons.into(),
        }
    }

    /// What bfdd says of its session with a peer, if it has one.
    pub fn session(&self, peer: IpAddr) -> Option<Value> {
        let text = self.vtysh(&["show bfd peers json"]);
        let sessions: Value = serde_json::from_str(&text).ok()?;
        let mut sessions = sessions.as_array()?.iter();
        let peer = peer.to_string();
        sessions
            .find(|session| session["peer"] == peer.as_str())
            .cloned()
    }

    /// Whether it says that the session is up.
    pub fn is_up(&self, peer: IpAddr) -> bool {
        self.session(peer)
            .is_some_and(|session| session["status"] == "up")
    }

    /// Takes a session down on purpose, or ends that.
    pub fn shut(&self, own: IpAddr, peer: IpAddr, device: &str, shut: bool) {
        let no = if shut { "" } else { "no " };
        self.vtysh(&[
            "configure terminal",
            "bfd",
            &format!("peer {peer} local-address {own} interface {device}"),
            &format!("{no}shutdown"),
        ]);
    }

    fn vtysh(&self, lines: &[&str]) -> String {
        let directory = self.directory.display().to_string();
        let mut arguments = vec!["--vty_socket", directory.as_str(), "-d", "bfdd"];
        arguments.extend(lines.iter().flat_map(|line| ["-c", *line]));
        run("vtysh", &arguments)
    }
}

impl BirdBfd {
    /// Starts it where `link` is, with a session to each peer.
    ///
    /// # Panics
    /// If it is not installed.
    #[track_caller]
    pub fn start(link: &Link, peers: &[IpAddr], timing: BfdTiming, directory: &Path) -> Self {
        let BfdTiming {
            interval,
            multiplier,
        } = timing;
        let device = &link.name;
        let peers = peers.iter();
        let peers = peers.map(|peer| format!("  neighbor {peer} dev \"{device}\";\n"));
        let peers: String = peers.collect();
        let config = format!(
            "router id 192.0.2.254;\nprotocol device {{ }}\nprotocol bfd {{\n  interface \"*\" {{ interval {interval} ms; multiplier {multiplier}; }};\n{peers}}}\n"
        );
        let name = format!("bird-{}", link.namespace.name());
        let bird = Bird::start(&link.namespace, &name, &config, directory);
        let control = directory.join(format!("{name}.ctl"));
        eventually(super::LONG, "BIRD listens", || control.exists());
        Self { control, bird }
    }

    /// The line of `show bfd sessions` about a peer: address, interface, state, since, interval, timeout.
    pub fn session(&self, peer: IpAddr) -> Option<Vec<String>> {
        let control = self.control.display().to_string();
        let text = run("birdc", &["-s", &control, "show", "bfd", "sessions"]);
        let peer = peer.to_string();
        let mut lines = text.lines().map(|line| {
            let words = line.split_whitespace().map(str::to_owned);
            words.collect::<Vec<_>>()
        });
        lines.find(|words| words.first() == Some(&peer))
    }

    /// Whether it says that the session is up.
    pub fn is_up(&self, peer: IpAddr) -> bool {
        let session = self.session(peer);
        session.is_some_and(|words| words.get(2).is_some_and(|state| state == "Up"))
    }

    /// SIGKILL: it says nothing any more, and nobody has the port.
    pub fn kill9(&mut self) {
        self.bird.kill9();
    }
}
