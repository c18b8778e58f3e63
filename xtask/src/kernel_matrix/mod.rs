//! The kernel matrix: the `prog_*` tests, and those that need devices which not every kernel has, inside qemu, on the
//! kernels that Debian ships.
//!
//! Emulated (TCG), so it needs no virtualisation support and says nothing about speed. Nothing is
//! installed: kernels, qemu and busybox are unpacked from Debian packages into `<target>/kernels/`.

mod initramfs;
mod modules;
mod packages;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::{
    process::{output, run, step},
    test::{Counts, count_tests},
    workspace::Workspace,
};
use initramfs::DONE;
use packages::Tools;

/// Kernel series of the matrix: Debian 12's own and its newer one, which is Debian 13's own.
const SERIES: [&str; 2] = ["6.1", "6.12"];

/// The tests with a network of their own that run in the guests: bonds and VLANs, which many a kernel lacks.
const DEVICE_TESTS: &str = "net_lower_devices";

/// How long one kernel may take from power-on to power-off, in seconds.
const BOOT_TIMEOUT: u32 = 1800;

/// Guest memory.
const MEMORY: &str = "2G";

/// Everything that is needed to boot, on disk.
pub(crate) struct Matrix {
    tools: Tools,
    kernels: Vec<(&'static str, PathBuf)>,
    directory: PathBuf,
}

impl Matrix {
    /// Fetches what is missing from Debian's archive.
    pub(crate) fn prepare(workspace: &Workspace) -> Result<Self> {
        let directory = workspace.target.join("kernels");
        let tools = Tools::fetch(&directory)?;
        let kernels = SERIES
            .into_iter()
            .map(|series| Ok((series, packages::fetch_kernel(&directory, series)?)))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            tools,
            kernels,
            directory,
        })
    }

    /// Runs the tests on every kernel; one that does not get to the end is a failure.
    pub(crate) fn run(&self, workspace: &Workspace) -> Result<Counts> {
        let tests = test_binaries(workspace)?;
        let busybox = self.tools.busybox();
        let mut modules = Vec::new();
        for (series, kernel) in &self.kernels {
            // <root>/boot/vmlinuz-…
            let root = kernel.ancestors().nth(2).unwrap_or(kernel);
            modules.push((*series, modules::in_load_order(root, &busybox)?));
        }
        let image = initramfs::build(workspace, &self.tools, &tests, &modules, &self.directory)?;
        let mut counts = Counts::default();
        for (series, kernel) in &self.kernels {
            step(format_args!(
                "kernels: Linux {series}, {}",
                kernel.display()
            ));
            let one = self.boot(series, kernel, &image)?;
            step(format_args!(
                "kernels: Linux {series}: {} passed, {} failed",
                one.passed, one.failed
            ));
            counts += one;
        }
        Ok(counts)
    }

    fn boot(&self, series: &str, kernel: &Path, image: &Path) -> Result<Counts> {
        let mut qemu = Command::new("timeout");
        qemu.args(["--kill-after=10", &BOOT_TIMEOUT.to_string()]);
        self.tools.add_qemu(&mut qemu);
        qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"])
            .args(["-m", MEMORY, "-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-monitor", "none", "-serial", "stdio"])
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(image)
            // loglevel: a kernel message in the middle of a result line would spoil the count.
            .arg("-append")
            .arg(format!(
                "console=ttyS0 quiet loglevel=1 panic=-1 adc_series={series}"
            ));
        let mut finished = false;
        let mut counts = count_tests(&mut qemu, |line| finished |= line.trim() == DONE)?;
        if counts == Counts::default() {
            eprintln!("    Linux {series} ran no test");
            counts += Counts::FAIL;
        } else if !finished && counts.failed == 0 {
            eprintln!("    Linux {series} did not get to the end of the tests");
            counts += Counts::FAIL;
        }
        Ok(counts)
    }
}

/// What cargo prints per artifact; other messages lack the fields.
#[derive(Deserialize)]
struct Artifact {
    executable: Option<PathBuf>,
    target: Target,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Builds the agent and the tests, and returns the tests' executables.
fn test_binaries(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    run(workspace.cargo().args(["build", "-p", "adc-userspace"]))?;
    let messages = output(workspace.cargo().args([
        "test",
        "--no-run",
        "--message-format=json",
        "-p",
        "adc-tests",
        "--test",
        "prog_*",
        "--test",
        DEVICE_TESTS,
    ]))?;
    let binaries = executables(&messages);
    if binaries.is_empty() {
        bail!("adc-tests has no test target prog_*");
    }
    Ok(binaries)
}

fn executables(messages: &str) -> Vec<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Artifact>(line).ok())
        .filter(|artifact| artifact.target.kind.iter().any(|kind| kind == "test"))
        .filter(|artifact| {
            let name = &artifact.target.name;
            name.starts_with("prog_") || name == DEVICE_TESTS
        })
        .filter_map(|artifact| artifact.executable)
        .collect()
}

/// The name a test binary has without cargo's hash.
fn test_name(binary: &Path) -> Result<String> {
    let name = binary
        .file_name()
        .and_then(|name| name.to_str())
        .with_context(|| format!("{} has no name", binary.display()))?;
    Ok(name
        .rsplit_once('-')
        .map_or(name, |(stem, _)| stem)
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_executables_of_the_guests_tests_are_taken_from_cargo() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"adc_tests","kind":["lib"]},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"prog_packets","kind":["test"]},"executable":"/t/prog_packets-0a1b"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"net_lower_devices","kind":["test"]},"executable":"/t/net_lower_devices-0a1b"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"net_arms","kind":["test"]},"executable":"/t/net_arms-0a1b"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"adc-demo","kind":["bin"]},"executable":"/t/adc-demo"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(
            executables(messages),
            [
                Path::new("/t/prog_packets-0a1b"),
                Path::new("/t/net_lower_devices-0a1b"),
            ]
        );
    }

    #[test]
    fn test_name_drops_the_hash_of_cargo() {
        let name = test_name(Path::new("/t/deps/prog_packets-0a1b")).unwrap();
        assert_eq!(name, "prog_packets");
    }
}
