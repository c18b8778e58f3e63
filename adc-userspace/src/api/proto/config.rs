//! Configuration requests and answers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ConfigSummary, Difference, Edit};
use crate::model::Config;

/// Body of `POST /api/v1/config/check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigCheck {
    /// The configuration, TOML.
    pub text: String,
}

/// Body of `PUT /api/v1/config`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigApply {
    /// The configuration; absent = the agent reads its own file again, as on SIGHUP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ConfigSource>,
    /// Forget all runtime edits; otherwise those that still make sense stay.
    #[serde(default)]
    pub reset_edits: bool,
}

/// A configuration that comes with the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigSource {
    /// The TOML.
    pub text: String,
    /// Where the caller read it; for messages only, the agent does not open it.
    pub path: PathBuf,
}

/// A valid configuration, counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigChecked {
    /// Services in it.
    pub services: usize,
    /// Pools in it.
    pub pools: usize,
    /// Backends in all pools.
    pub backends: usize,
    /// Monitors in it.
    pub monitors: usize,
}

/// A plan: what applying something does to the maps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanView {
    /// For people, one step a line, in order; empty = nothing to do.
    pub lines: Vec<String>,
    /// The steps as data.
    pub steps: Value,
}

/// What a change did, or on a dry run would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_field_names,
    reason = "`applied` is what scripts look for in the JSON"
)]
pub struct Applied {
    /// False on a dry run.
    pub applied: bool,
    /// Generation that runs now.
    pub generation: u64,
    /// Hash of what runs now.
    pub hash: String,
    /// What changes in the maps.
    pub plan: PlanView,
    /// What was there: the edited service or backend, or `{"hash": ...}` of the configuration.
    pub before: Value,
    /// What is there now; null = removed.
    pub after: Value,
    /// What people should know, e.g. runtime edits that a new file made void.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What runs and what it was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigView {
    /// Generation, hash, file.
    pub summary: ConfigSummary,
    /// File and edits together as TOML: saved and applied, it gives the same again.
    pub text: String,
    /// The runtime edits in it.
    pub edits: Vec<Edit>,
    /// The same, validated, every default filled in.
    pub config: Config,
}

/// What runs against what the file says now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigDiff {
    /// The file.
    pub path: PathBuf,
    /// Runtime edits on top of the file.
    pub edits: Vec<Edit>,
    /// Every value that is not the same in the file and in what runs.
    pub differences: Vec<Difference>,
    /// What `adc config apply` would do: the file as it is on disk now, edits kept.
    pub plan: PlanView,
}

impl From<&Config> for ConfigChecked {
    fn from(config: &Config) -> Self {
        Self {
            services: config.services.len(),
            pools: config.pools.len(),
            backends: config.pools.values().map(|pool| pool.backends.len()).sum(),
            monitors: config.monitors.len(),
        }
    }
}
