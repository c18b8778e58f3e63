//! The command line from the words typed to text, JSON and exit code, against a fake agent.

mod alone;
mod with_agent;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use nix::unistd::Uid;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{DecapCount, DecapOptions, Exit, Local, RunOptions};
use crate::{
    api::{
        proto::{ApiError, ConfigChecked, Problem},
        server::{Access, Limits, Server, SocketError},
        socket_path,
        testing::FakeControl,
    },
    config,
    doctor::{Finding, Severity},
    ha::{
        heartbeat::jitter::{Report, judge},
        keeper::KeeperOptions,
    },
    model::{AttachMode, Profile},
};

/// A node without an agent in it.
struct FakeNode;

impl Local for FakeNode {
    fn run(&self, options: RunOptions) -> anyhow::Result<()> {
        assert_eq!(options.mode, Some(AttachMode::Skb));
        let name = options.config.display().to_string();
        if name == "second.toml" {
            let error = anyhow::Error::new(SocketError::AlreadyRunning("/run/adc".into()));
            return Err(error.context("cannot start"));
        }
        config::parse("nonsense = 1\n", &options.config)?;
        Ok(())
    }

    fn keeper(&self, options: &KeeperOptions) -> anyhow::Result<()> {
        assert_eq!(options.run_dir, Path::new("/run/adc"));
        Ok(())
    }

    fn decap(&self, options: &DecapOptions) -> anyhow::Result<Vec<DecapCount>> {
        assert_eq!(options.port, 6081);
        if options.interface == "eth9" {
            anyhow::bail!("decapsulating on eth9: there is no such interface");
        }
        Ok(vec![DecapCount {
            outcome: "decapsulated",
            packets: options.vips.len() as u64,
            meaning: "Taken out.",
        }])
    }

    fn jitter_test(&self, profile: Profile, seconds: u32) -> anyhow::Result<Report> {
        let gap = if seconds == 7 { 9_000 } else { 2_000 };
        Ok(judge(profile, vec![Duration::from_micros(gap); 100]))
    }

    fn check(&self, path: &Path) -> Result<ConfigChecked, ApiError> {
        if path.ends_with("good.toml") {
            return Ok(ConfigChecked {
                services: 1,
                pools: 1,
                backends: 3,
                monitors: 1,
            });
        }
        let problem = Problem {
            file: Some(path.to_owned()),
            key: Some("service.www.port".into()),
            problem: "must not be 0".into(),
            ..Problem::default()
        };
        Err(ApiError::invalid_config("1 error", vec![problem]))
    }

    fn examine(&self, interfaces: &[String], _pin_path: &Path) -> Vec<Finding> {
        let finding = |name: &String| Finding {
            severity: Severity::Warning,
            subject: name.clone(),
            what: "transmit checksums are offloaded".into(),
            remedy: Some(format!("ethtool -K {name} tx off")),
        };
        interfaces.iter().map(finding).collect()
    }
}

struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {}", self.out))
    }
}

fn run(socket: &Path, words: &str) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let socket = socket.display().to_string();
    let words = ["adc", "--socket", &socket]
        .into_iter()
        .chain(words.split_whitespace());
    let exit = super::run(&FakeNode, words, &mut out, &mut err);
    Ran {
        exit,
        out: String::from_utf8(out).unwrap(),
        err: String::from_utf8(err).unwrap(),
    }
}

/// A server on threads of its own; the command line brings its own runtime.
struct Agent {
    control: Arc<FakeControl>,
    directory: TempDir,
    _runtime: Runtime,
}

impl Agent {
    fn start() -> Self {
        Self::of(FakeControl::default())
    }

    fn of(control: FakeControl) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let control = Arc::new(control);
        let entered = runtime.enter();
        let server = Server::bind(&socket_path(directory.path())).unwrap().with(
            Access::of_users(&[Uid::effective().as_raw()]),
            Limits::CONTROL,
        );
        drop(entered);
        runtime.spawn(server.serve(Arc::clone(&control), std::future::pending()));
        Self {
            control,
            directory,
            _runtime: runtime,
        }
    }

    fn run(&self, words: &str) -> Ran {
        run(&socket_path(self.directory.path()), words)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn nowhere() -> PathBuf {
    "/nonexistent/control.sock".into()
}
