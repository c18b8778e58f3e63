//! Where the repository and its build output are, and which test targets it has.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::process::output;

/// The repository's root and cargo's target directory.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    /// Directory of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Cargo's target directory, whatever the environment or configuration made of it.
    pub(crate) target: PathBuf,
    /// Names of the integration test targets of `adc-tests`, sorted.
    pub(crate) test_targets: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Workspace {
    /// Asks cargo, starting from the directory xtask was built in.
    pub(crate) fn find() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("Cargo.toml");
        let text = output(
            host_cargo()
                .args(["metadata", "--no-deps", "--format-version=1"])
                .arg("--manifest-path")
                .arg(manifest),
        )?;
        let metadata: Metadata =
            serde_json::from_str(&text).context("parsing the output of `cargo metadata`")?;
        let mut test_targets: Vec<String> = metadata
            .packages
            .into_iter()
            .filter(|package| package.name == "adc-tests")
            .flat_map(|package| package.targets)
            .filter(|target| target.kind.iter().any(|kind| kind == "test"))
            .map(|target| target.name)
            .collect();
        test_targets.sort();
        Ok(Self {
            root: metadata.workspace_root,
            target: metadata.target_directory,
            test_targets,
        })
    }

    /// A host cargo command that runs in the root and writes to this target directory.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = host_cargo();
        command
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }

    /// The XDP object under test.
    pub(crate) fn xdp_object(&self) -> PathBuf {
        self.target.join("bpf").join("adc-xdp")
    }

    /// The object with the program that captures. Tests look for it beside the one under test.
    pub(crate) fn capture_object(&self) -> PathBuf {
        self.target.join("bpf").join("adc-xdp-capture")
    }

    /// The object with the program of a hand-over between layouts.
    pub(crate) fn handover_object(&self) -> PathBuf {
        self.target.join("bpf").join("adc-xdp-handover")
    }

    /// The object with another layout of the maps, which tests of the migration begin with.
    pub(crate) fn earlier_object(&self) -> PathBuf {
        self.target.join("bpf").join("adc-xdp-earlier")
    }

    /// The object with the benchmark's wrapper programs.
    pub(crate) fn bench_object(&self) -> PathBuf {
        self.target.join("bpf").join("adc-xdp-bench")
    }

    /// The decapsulator for backends.
    pub(crate) fn decap_object(&self) -> PathBuf {
        self.target.join("bpf").join("adc-xdp-decap")
    }

    /// The `adc` binary of a cargo profile's output directory (`debug`, `release`).
    pub(crate) fn adc_binary(&self, profile: &str) -> PathBuf {
        self.target.join(profile).join("adc")
    }
}

/// The cargo that runs us, without what `cargo run` added to the environment. Left in place, those
/// variables differ from a plain `cargo build`, and build scripts that watch them (ring's does)
/// rebuild every time the two alternate.
fn host_cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_set_by_cargo_run) {
            command.env_remove(name);
        }
    }
    command
}

fn is_set_by_cargo_run(name: &str) -> bool {
    const PREFIXES: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
    const NAMES: [&str; 3] = ["CARGO_CRATE_NAME", "CARGO_PRIMARY_PACKAGE", "OUT_DIR"];
    NAMES.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workspace_is_found_from_any_directory() {
        let workspace = Workspace::find().unwrap();
        assert!(workspace.root.join("xtask/Cargo.toml").is_file());
        assert!(workspace.target.is_absolute());
    }

    #[test]
    fn only_variables_of_cargo_run_are_dropped() {
        assert!(is_set_by_cargo_run("CARGO_PKG_NAME"));
        assert!(!is_set_by_cargo_run("CARGO_HOME"));
        assert!(!is_set_by_cargo_run("CARGO_TARGET_DIR"));
    }
}
