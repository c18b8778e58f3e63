//! What the command line needs from this node rather than from a running agent.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::{
    api::proto::{ApiError, ConfigChecked},
    model::AttachMode,
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

/// How bad a finding of `adc doctor` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingSeverity {
    /// As it should be.
    Ok,
    /// Works, but worse than it could.
    Warning,
    /// `adc run` will not work.
    Error,
}

/// One thing that `adc doctor` looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad.
    pub severity: FindingSeverity,
    /// What was looked at: `interface eth0`, `kernel`, `bpffs`.
    pub subject: String,
    /// What was found.
    pub what: String,
    /// What to do about it; `None` if nothing.
    pub remedy: Option<String>,
}

/// The parts of the program that the command line starts on this node. `main.rs` implements it with the
/// real ones; tests with fakes.
pub trait Local {
    /// Runs the agent until it is told to stop.
    ///
    /// An [`ApiError`], `ConfigErrors` or `SocketError` inside the error chooses the exit code; anything
    /// else is [`super::Exit::Failed`].
    fn run(&self, options: RunOptions) -> anyhow::Result<()>;

    /// Checks the configuration file at `path`, without an agent and without changing anything.
    fn check(&self, path: &Path) -> Result<ConfigChecked, ApiError>;

    /// Looks at this node; no interfaces = those that could be used.
    fn examine(&self, interfaces: &[String], pin_path: &Path) -> Vec<Finding>;
}

impl FindingSeverity {
    /// As written in CLI and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}
