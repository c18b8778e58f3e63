//! The real agent, run as an operator would run it: a file, a process, the CLI.

mod cli;
mod config;
mod keeper;
mod metrics;

pub use cli::CliOutput;
pub use config::{Backend, Config, Monitor, Pool, Service};
pub use metrics::Metrics;

use std::{
    fs,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    drive::get_in,
    net::Namespace,
    process::Process,
    topology::Topology,
    wait::{eventually, eventually_some, is_cancelled},
};

/// Environment variable that names the agent's binary.
pub const BINARY: &str = "ADC_BIN";
/// Generous: a debug build loads and verifies its program in a second or two.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// An `adc run` in the adc node's namespace, and how to talk to it.
#[derive(Debug)]
pub struct Agent {
    namespace: Namespace,
    directory: PathBuf,
    binary: PathBuf,
    config_path: PathBuf,
    socket: PathBuf,
    metrics: SocketAddr,
    process: Option<Process>,
    kept: bool,
    /// Variables that it is started with.
    pub environment: Vec<(String, String)>,
    /// What must be found wrong with the checksums of no packet, in the end.
    flawless: &'static [&'static str],
}

/// The binary named by `ADC_BIN`, or the one that cargo put beside the running test.
///
/// # Errors
/// Where it was looked for and how to build it.
pub fn binary() -> Result<PathBuf, String> {
    if let Some(given) = std::env::var_os(BINARY) {
        let path = PathBuf::from(given);
        let missing = || format!("{BINARY}={} does not exist", path.display());
        return path.canonicalize().map_err(|_not_found| missing());
    }
    let this = std::env::current_exe().map_err(|error| format!("where is this test? {error}"))?;
    // <target>/<profile>/deps/net_x-<hash> or <target>/<profile>/adc-demo
    let found = this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join("adc"))
        .find(|path| path.is_file());
    found.ok_or_else(|| {
        format!(
            "needs the agent: no `adc` beside {}; build it with `cargo build -p adc-userspace` or set {BINARY}",
            this.display()
        )
    })
}

impl Agent {
    /// Writes the configuration, starts the agent and waits until it answers.
    #[track_caller]
    pub fn start(topology: &Topology, config: &Config) -> Self {
        let mut agent = Self::prepare(topology, config);
        agent.spawn();
        agent.wait_until_ready();
        agent
    }

    /// Writes the configuration without starting anything.
    #[track_caller]
    pub fn prepare(topology: &Topology, config: &Config) -> Self {
        Self::prepare_in(&topology.adc, config)
    }

    /// The same on any node.
    #[track_caller]
    pub fn prepare_in(namespace: &Namespace, config: &Config) -> Self {
        let directory = config.directory().to_owned();
        fs::create_dir_all(&directory)
            .unwrap_or_else(|error| panic!("cannot make {}: {error}", directory.display()));
        let agent = Self {
            namespace: namespace.clone(),
            binary: binary().unwrap_or_else(|reason| panic!("{reason}")),
            config_path: directory.join("adc.toml"),
            socket: config.socket(),
            metrics: config.metrics,
            directory,
            process: None,
            kept: false,
            environment: Vec::new(),
            flawless: &["failed", "arrived_broken"],
        };
        agent.write_config(config);
        agent
    }

    /// Replaces the configuration file; the agent is not told.
    #[track_caller]
    pub fn write_config(&self, config: &Config) {
        self.write_config_text(&config.text());
    }

    /// Replaces the configuration file by any text.
    #[track_caller]
    pub fn write_config_text(&self, text: &str) {
        fs::write(&self.config_path, text)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", self.config_path.display()));
    }

    /// The configuration file.
    pub fn config_path(&self) -> &Path {
        &self.config_path
    }

    /// The control socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The binary that is run.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Starts `adc run` and does not wait for anything.
    #[track_caller]
    pub fn spawn(&mut self) {
        self.process = Some(self.spawn_beside("agent"));
    }

    /// Starts another `adc run` with the same file, as if by mistake.
    #[track_caller]
    pub fn spawn_beside(&self, label: &str) -> Process {
        Process::spawn(
            &self.namespace,
            label,
            Command::new(&self.binary)
                .arg("run")
                .arg("-c")
                .arg(&self.config_path)
                .envs(self.environment.iter().cloned()),
            &self.directory,
        )
    }

    /// Waits until `adc status` is answered.
    #[track_caller]
    pub fn wait_until_ready(&mut self) {
        eventually(START_TIMEOUT, "the agent answers `adc status`", || {
            let process = self.process.as_mut();
            let ended = process.and_then(Process::try_wait);
            assert!(
                ended.is_none(),
                "the agent ended ({ended:?}) before it was ready"
            );
            self.is_ready()
        });
    }

    /// Does it answer? A degraded node is an answer too.
    pub fn is_ready(&self) -> bool {
        matches!(self.cli(&["status"]).code, 0 | 7)
    }

    /// The running agent.
    ///
    /// # Panics
    /// If it was never started.
    #[track_caller]
    pub fn process(&mut self) -> &mut Process {
        match self.process.as_mut() {
            Some(process) => process,
            None => panic!("the agent was not started"),
        }
    }

    /// SIGKILL, and waits.
    #[track_caller]
    pub fn kill9(&mut self) {
        self.process().kill9();
    }

    /// Starts it (again) and waits until it answers.
    #[track_caller]
    pub fn restart(&mut self) {
        self.spawn();
        self.wait_until_ready();
    }

    /// SIGTERM, and waits for the end: the data path and the keeper go on.
    #[track_caller]
    pub fn leave(&mut self) -> ExitStatus {
        self.process().terminate(STOP_TIMEOUT)
    }

    /// `adc stop`, and waits for the end: nothing is left.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.ok(&["stop"]);
        self.process().wait(STOP_TIMEOUT)
    }

    /// Runs this binary from the next start on.
    pub fn use_binary(&mut self, binary: PathBuf) {
        self.binary = binary;
    }

    /// Writes a configuration and sends SIGHUP; returns when it runs.
    #[track_caller]
    pub fn reload(&mut self, config: &Config) {
        let before = self.generation();
        self.write_config(config);
        self.process().signal(Signal::SIGHUP);
        eventually(
            START_TIMEOUT,
            "the agent runs the new configuration",
            || self.generation() > before,
        );
    }

    /// Generation of the running configuration.
    #[track_caller]
    pub fn generation(&self) -> u64 {
        let status = self.json(&["status"]);
        status["config"]["generation"]
            .as_u64()
            .unwrap_or_else(|| panic!("`adc status` has no config.generation: {status}"))
    }

    /// One backend, as `adc backend list` shows it.
    #[track_caller]
    pub fn backend(&self, pool: &str, name: &str) -> Value {
        let backends = self.json(&["backend", "list", "--pool", pool]);
        let mut all = backends.as_array().into_iter().flatten();
        let found = all.find(|backend| backend["name"] == name);
        match found {
            Some(backend) => backend.clone(),
            None => panic!("no backend {pool}/{name} in {backends}"),
        }
    }

    /// Waits until so many backends of a pool take new flows; returns how long that took.
    #[track_caller]
    pub fn wait_for_available(&self, pool: &str, count: usize) -> Duration {
        let what = format!("{count} backends of pool {pool} take new flows");
        eventually(START_TIMEOUT, &what, || self.available(pool) == count)
    }

    /// How many backends of a pool take new flows.
    #[track_caller]
    pub fn available(&self, pool: &str) -> usize {
        let backends = self.json(&["backend", "list", "--pool", pool]);
        let backends = backends.as_array().into_iter().flatten();
        backends
            .filter(|backend| backend["weight"]["effective"].as_u64() > Some(0))
            .count()
    }

    /// A counter of a backend: `flows_scheduled`, `flows_established`, `forward_packets`, ...
    #[track_caller]
    pub fn traffic(&self, pool: &str, name: &str, counter: &str) -> u64 {
        let backend = self.backend(pool, name);
        backend["traffic"][counter]
            .as_u64()
            .unwrap_or_else(|| panic!("no traffic.{counter} in {backend}"))
    }

    /// Live flows that are bound to a backend.
    #[track_caller]
    pub fn flows(&self, pool: &str, name: &str) -> u64 {
        let backend = self.backend(pool, name);
        backend["flows"]
            .as_u64()
            .unwrap_or_else(|| panic!("no flows in {backend}"))
    }

    /// Live flows of all services.
    #[track_caller]
    pub fn flow_count(&self) -> u64 {
        let count = self.json(&["flow", "count"]);
        count["total"]
            .as_u64()
            .unwrap_or_else(|| panic!("no total in {count}"))
    }

    /// What the metrics listener serves now.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        let fetch = || {
            get_in(
                &self.namespace,
                self.metrics,
                "/metrics",
                Duration::from_secs(5),
            )
            .ok()
        };
        let (response, _) = eventually_some(START_TIMEOUT, "/metrics is served", fetch);
        assert_eq!(response.status, 200, "{}", response.body);
        Metrics::parse(&response.body)
    }

    /// Hosts of this test send broken checksums, on purpose.
    pub fn expect_broken_arrivals(&mut self) {
        self.flawless = &["failed"];
    }

    /// Leaves it running when dropped, and its keeper.
    pub fn keep(&mut self) {
        self.process().keep();
        self.kept = true;
    }
}

impl Agent {
    /// Nothing that hosts send may make the agent's program break a checksum, and they send none that is broken.
    fn assert_checksums(&self) {
        let address = self.metrics;
        let timeout = Duration::from_secs(5);
        let Ok(response) = get_in(&self.namespace, address, "/metrics", timeout) else {
            return;
        };
        let metrics = Metrics::parse(&response.body);
        for &result in self.flawless {
            let labels = [("result", result)];
            let packets = metrics.sum("adc_self_check_packets_total", &labels);
            assert_eq!(packets, 0, "packets whose checksums were found {result}");
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if is_cancelled() {
            self.end();
            return;
        }
        if !std::thread::panicking() {
            // The keeper must end whatever this finds.
            let checked = catch_unwind(AssertUnwindSafe(|| self.assert_checksums()));
            self.end();
            if let Err(found) = checked {
                resume_unwind(found);
            }
            return;
        }
        for arguments in [["status"].as_slice(), &["backend", "list"], &["drops"]] {
            let output = self.cli(arguments);
            eprintln!(
                "--- adc {}\n{}{}",
                arguments.join(" "),
                output.stdout,
                output.stderr
            );
        }
        self.end();
    }
}
