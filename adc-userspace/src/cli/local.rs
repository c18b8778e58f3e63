//! What the command line needs from this node rather than from a running agent.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    api::proto::{ApiError, ConfigChecked},
    doctor::Finding,
    ha::{heartbeat::jitter::Report, keeper::KeeperOptions},
    model::{AttachMode, Profile},
    telemetry::LogFormat,
};

/// What `adc run` was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOptions {
    /// The configuration file.
    pub config: PathBuf,
    /// Overrides `dataplane.attach` of the file.
    pub mode: Option<AttachMode>,
    /// How log records are written.
    pub log_format: LogFormat,
}

/// What `adc decap` was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecapOptions {
    /// Interface that tunnel packets come in by.
    pub interface: String,
    /// How the program is attached.
    pub mode: AttachMode,
    /// Addresses that packets inside may be for; none = any.
    pub vips: BTreeSet<IpAddr>,
    /// UDP port that GUE arrives on.
    pub port: u16,
}

/// How many packets met which fate in the decapsulator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DecapCount {
    /// Name of the fate.
    pub outcome: &'static str,
    /// Packets.
    pub packets: u64,
    /// What it means.
    pub meaning: &'static str,
}

/// The parts of the program that the command line starts on this node. `main.rs` implements it with the
/// real ones; tests with fakes.
pub trait Local {
    /// Runs the agent until it is told to stop.
    ///
    /// An [`ApiError`], `ConfigErrors` or `SocketError` inside the error chooses the exit code; anything
    /// else is [`super::Exit::Failed`].
    fn run(&self, options: RunOptions) -> anyhow::Result<()>;

    /// Runs the keeper until it is told to stop.
    fn keeper(&self, options: &KeeperOptions) -> anyhow::Result<()>;

    /// Decapsulates until it is told to stop, and says what was done.
    fn decap(&self, options: &DecapOptions) -> anyhow::Result<Vec<DecapCount>>;

    /// Measures when a thread like the heartbeat's is woken.
    fn jitter_test(&self, profile: Profile, seconds: u32) -> anyhow::Result<Report>;

    /// Checks the configuration file at `path`, without an agent and without changing anything.
    fn check(&self, path: &Path) -> Result<ConfigChecked, ApiError>;

    /// Looks at this host and the named interfaces, for `adc doctor`.
    fn examine(&self, interfaces: &[String], pin_path: &Path) -> Vec<Finding>;
}
