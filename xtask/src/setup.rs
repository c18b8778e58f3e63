//! `cargo xtask setup`: installs what is missing, and says what it does.
//!
//! Programs are looked for by name, so a machine that has them from elsewhere is left alone. Only
//! Debian-like systems are changed, with apt, and never by removing a package.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::{
    linker::{BPF_LINKER_VERSION, find_bpf_linker},
    process::{find_program, is_root, output, run, step},
    toolchain::Route,
    workspace::Workspace,
};

/// Options of `setup`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only what this needs; everything by default
    #[arg(long = "for", value_name = "PURPOSE")]
    purpose: Option<Purpose>,
}

/// What the machine is being prepared for; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Purpose {
    /// Compile the XDP object
    Build,
    /// Run the demonstration and the benchmark
    Demo,
    /// Run the drill of a pair of nodes
    Drill,
    /// Run every test layer
    Test,
}

/// A program, the Debian package that has it, and the first purpose that needs it.
struct Tool {
    program: &'static str,
    package: &'static str,
    purpose: Purpose,
}

const TOOLS: [Tool; 16] = [
    tool("ip", "iproute2", Purpose::Demo),
    tool("tc", "iproute2", Purpose::Demo),
    tool("ethtool", "ethtool", Purpose::Demo),
    tool("curl", "curl", Purpose::Demo),
    tool("nginx", "nginx", Purpose::Demo),
    // The kernel calls modprobe when veth is a module.
    tool("modprobe", "kmod", Purpose::Demo),
    tool("ping", "iputils-ping", Purpose::Test),
    // Loses packets for net_proxy_protocol.
    tool("nft", "nftables", Purpose::Drill),
    tool("iperf3", "iperf3", Purpose::Drill),
    // Its library gives the drill's processes a clock of their own.
    tool("faketime", "faketime", Purpose::Drill),
    tool("tshark", "tshark", Purpose::Test),
    tool("traceroute", "traceroute", Purpose::Test),
    // The other router of net_vrrp, and a stranger of the drill.
    tool("keepalived", "keepalived", Purpose::Drill),
    // The routing daemons of net_announce.
    tool("bird", "bird2", Purpose::Test),
    tool("vtysh", "frr", Purpose::Test),
    // Process 1 of the node of net_systemd.
    tool("systemctl", "systemd", Purpose::Test),
];

/// Packages that bring a service, and its unit.
const SERVICES: [(&str, &str); 3] = [
    ("nginx", "nginx.service"),
    ("bird2", "bird.service"),
    ("frr", "frr.service"),
];

const fn tool(program: &'static str, package: &'static str, purpose: Purpose) -> Tool {
    Tool {
        program,
        package,
        purpose,
    }
}

/// Runs the command.
pub(crate) fn command(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    prepare(&workspace, args.purpose.unwrap_or(Purpose::Test))?;
    step("setup: everything is in place");
    Ok(ExitCode::SUCCESS)
}

/// Installs what is missing for `purpose`. The error lists the commands that need someone with more
/// rights, or another package manager.
pub(crate) fn prepare(workspace: &Workspace, purpose: Purpose) -> Result<()> {
    let packages = missing_packages(purpose);
    let installed = if packages.is_empty() {
        Ok(())
    } else {
        install_packages(&packages)
    };
    // Needs no root, so it is done even if the packages have to be left to someone else.
    if find_bpf_linker(&workspace.target).is_err() {
        run(&mut install_linker(workspace))?;
        find_bpf_linker(&workspace.target).context("bpf-linker was installed and is not found")?;
    }
    installed
}

fn missing_packages(purpose: Purpose) -> Vec<&'static str> {
    let mut packages = Vec::new();
    if !Route::ALL.iter().any(|route| route.probe().is_ok()) {
        packages.extend(["rustc-web", "cargo-web", "libstd-rust-web-dev-bpf"]);
    }
    // Lints for the BPF target; a rustup nightly with rust-src brings its own.
    if purpose == Purpose::Test
        && Route::Nightly.probe().is_err()
        && !Path::new("/usr/bin/cargo-clippy").exists()
    {
        packages.push("rust-web-clippy");
    }
    for tool in &TOOLS {
        if tool.purpose <= purpose
            && find_program(tool.program).is_none()
            && !packages.contains(&tool.package)
        {
            packages.push(tool.package);
        }
    }
    packages
}

fn install_packages(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    let by_hand = format!("apt-get install --no-install-recommends {list}");
    if find_program("apt-get").is_none() {
        bail!(
            "missing, and this system has no apt: install what Debian calls {list} (for the BPF object, `{}` does as well)",
            Route::Nightly.remedy()
        );
    }
    if !is_root() {
        bail!("missing packages; run `sudo {by_hand}`, then this again");
    }
    step(format_args!("setup: installing {list}"));
    let services: Vec<_> = SERVICES
        .iter()
        .filter(|(package, _)| packages.contains(package))
        .collect();
    let idle = (!services.is_empty())
        .then(|| ServicesStayStopped::new(Path::new("/usr/sbin/policy-rc.d")))
        .transpose()?;
    // Without lists the first try fails at once; with stale ones when a package file is gone.
    if let Err(error) = run(&mut apt_install(packages)) {
        eprintln!("    {error:#}; refreshing the package lists");
        run(apt("update").arg("-q"))?;
        run(&mut apt_install(packages)).with_context(|| format!("run `{by_hand}` and read why"))?;
    }
    drop(idle);
    for (_, unit) in services {
        disable(unit);
    }
    Ok(())
}

fn apt(verb: &str) -> Command {
    let mut command = Command::new("apt-get");
    // Another apt may hold the lock for a moment, as unattended-upgrades does after boot.
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-o", "DPkg::Lock::Timeout=300", verb]);
    command
}

fn apt_install(packages: &[&str]) -> Command {
    let mut command = apt("install");
    command
        .args(["-y", "-q", "--no-install-recommends", "--no-remove"])
        .args(packages);
    command
}

/// Debian starts a service on installation and at boot; only the demonstration and the tests shall run it.
fn disable(unit: &str) {
    if find_program("systemctl").is_none() {
        return;
    }
    if let Err(error) = output(Command::new("systemctl").args(["disable", unit])) {
        eprintln!("    {unit} may start at boot: {error:#}");
    }
}

/// While alive, Debian's package scripts start no services (policy-rc.d answers 101, "forbidden").
struct ServicesStayStopped {
    policy: PathBuf,
}

impl ServicesStayStopped {
    /// `None` when the administrator has a policy of their own, as container images do.
    fn new(policy: &Path) -> Result<Option<Self>> {
        use std::os::unix::fs::PermissionsExt as _;
        if policy.exists() {
            return Ok(None);
        }
        let doing = || format!("writing {}", policy.display());
        // Bound to this process, so that it forbids nothing should we be killed before we remove it.
        let script = format!(
            "#!/bin/sh\n[ -d /proc/{} ] && exit 101\nexit 0\n",
            std::process::id()
        );
        fs::write(policy, script).with_context(doing)?;
        fs::set_permissions(policy, fs::Permissions::from_mode(0o755)).with_context(doing)?;
        Ok(Some(Self {
            policy: policy.to_path_buf(),
        }))
    }
}

impl Drop for ServicesStayStopped {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.policy) {
            eprintln!("remove {} by hand: {error}", self.policy.display());
        }
    }
}

/// `cargo install`, into cargo's directory when it has no bpf-linker, else into our target directory:
/// another project may need the release that is there.
fn install_linker(workspace: &Workspace) -> Command {
    step(format_args!(
        "setup: compiling bpf-linker {BPF_LINKER_VERSION} (a minute or two)"
    ));
    let mut command = workspace.cargo();
    command
        .args(["install", "--locked", "bpf-linker", "--version"])
        .arg(BPF_LINKER_VERSION)
        .env("CARGO_TARGET_DIR", workspace.target.join("tools/build"));
    if find_program("bpf-linker").is_some() {
        command.arg("--root").arg(workspace.target.join("tools"));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_purpose_needs_at_least_what_the_one_before_needs() {
        let needed = |purpose: Purpose| TOOLS.iter().filter(move |tool| tool.purpose <= purpose);
        assert_eq!(needed(Purpose::Build).count(), 0);
        assert!(needed(Purpose::Demo).any(|tool| tool.program == "nginx"));
        assert_eq!(needed(Purpose::Test).count(), TOOLS.len());
    }

    #[test]
    fn packages_are_installed_without_questions_and_without_removing_any() {
        let command = apt_install(&["nginx"]);
        let words: Vec<_> = command.get_args().collect();
        assert!(words.contains(&"--no-remove".as_ref()));
        assert!(words.contains(&"-y".as_ref()));
    }

    #[test]
    fn services_are_forbidden_while_installing_and_allowed_after() {
        let directory = tempfile::tempdir().unwrap();
        let policy = directory.path().join("policy-rc.d");
        let guard = ServicesStayStopped::new(&policy).unwrap();
        let status = Command::new(&policy).status().unwrap();
        assert_eq!(status.code(), Some(101));
        drop(guard);
        assert!(!policy.exists());
    }

    #[test]
    fn an_administrators_policy_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let policy = directory.path().join("policy-rc.d");
        fs::write(&policy, "theirs").unwrap();
        drop(ServicesStayStopped::new(&policy).unwrap());
        assert_eq!(fs::read_to_string(&policy).unwrap(), "theirs");
    }
}
