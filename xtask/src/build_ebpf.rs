//! `cargo xtask build-ebpf`: compiles `adc-ebpf` and puts the objects where the agent's build script
//! and the tests look for them, `<target>/bpf/`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{
    linker::Linker,
    process::{run, step},
    toolchain::{BPF_TARGET, Route},
    workspace::Workspace,
};

/// Options of `build-ebpf`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Use this route only, instead of the first that works
    #[arg(long)]
    route: Option<Route>,
    /// Log a record per packet through aya-log: for developers, slow
    #[arg(long)]
    log: bool,
    /// Also build the object with another layout of the maps, for tests of the migration between layouts
    #[arg(long)]
    earlier: bool,
}

/// Runs the command.
pub(crate) fn command(args: &Args) -> Result<ExitCode> {
    let extras = Extras {
        log: args.log,
        earlier: args.earlier,
    };
    build_with(&Workspace::find()?, args.route, extras)?;
    Ok(ExitCode::SUCCESS)
}

/// What a build may be asked for beside the objects that are shipped.
#[derive(Clone, Copy, Default)]
struct Extras {
    log: bool,
    earlier: bool,
}

/// Builds with `only`, or with the first route that works.
pub(crate) fn build(workspace: &Workspace, only: Option<Route>) -> Result<()> {
    build_with(workspace, only, Extras::default())
}

/// The same, and what only tests need.
pub(crate) fn build_for_tests(workspace: &Workspace) -> Result<()> {
    let extras = Extras {
        earlier: true,
        ..Extras::default()
    };
    build_with(workspace, None, extras)
}

fn build_with(workspace: &Workspace, only: Option<Route>, extras: Extras) -> Result<()> {
    let scratch = scratch_directory(workspace);
    let linker = find_linker(workspace)?;
    let mut missing = Vec::new();
    let mut failed = Vec::new();
    for route in candidates(only) {
        if let Err(error) = route.probe() {
            eprintln!("    not used: {}: {error:#}", route.describe());
            missing.push((*route, error));
            continue;
        }
        step(format_args!("BPF object: {}", route.describe()));
        match compile(workspace, *route, &linker, &scratch, extras) {
            Ok(()) => return Ok(()),
            Err(error) => {
                eprintln!("    did not build: {error:#}");
                failed.push(route.describe());
            }
        }
    }
    if failed.is_empty() {
        return Err(nothing_to_build_with(&missing));
    }
    bail!(
        "adc-ebpf does not build with {}; the compiler's messages are above",
        failed.join(", nor with ")
    )
}

/// Whether a build can be tried; the error says what to install.
pub(crate) fn available(workspace: &Workspace) -> Result<()> {
    find_linker(workspace)?;
    let mut missing = Vec::new();
    for route in Route::ALL {
        match route.probe() {
            Ok(()) => return Ok(()),
            Err(error) => missing.push((route, error)),
        }
    }
    Err(nothing_to_build_with(&missing))
}

fn find_linker(workspace: &Workspace) -> Result<Linker> {
    Linker::find(&workspace.target, &scratch_directory(workspace))
        .context("`cargo xtask setup --for build` installs what is missing")
}

fn nothing_to_build_with(missing: &[(Route, anyhow::Error)]) -> anyhow::Error {
    let ways: Vec<String> = missing
        .iter()
        .map(|(route, error)| {
            let (describe, remedy) = (route.describe(), route.remedy());
            format!("\n  {remedy}\n    (now {describe}: {error:#})")
        })
        .collect();
    anyhow!(
        "no toolchain for the BPF object; `cargo xtask setup --for build` installs one, or do one of these by hand:{}",
        ways.concat()
    )
}

/// A `cargo clippy` for the BPF target; the error says why no route has one.
pub(crate) fn clippy(workspace: &Workspace) -> Result<Command> {
    let scratch = scratch_directory(workspace);
    let linker = Linker::find(&workspace.target, &scratch)?;
    let mut refused = Vec::new();
    for route in Route::ALL {
        let installed = route
            .probe()
            .and_then(|()| run_quietly(route.cargo("clippy", &linker)?.arg("--version")));
        match installed {
            Ok(()) => {
                let mut command = route.cargo("clippy", &linker)?;
                command
                    .current_dir(&workspace.root)
                    .env("CARGO_TARGET_DIR", &scratch)
                    .args(["--", "-D", "warnings"]);
                return Ok(command);
            }
            Err(error) => refused.push(format!("{}: {error:#}", route.describe())),
        }
    }
    bail!(
        "no clippy for {BPF_TARGET} (apt-get install rust-web-clippy): {}",
        refused.join("; ")
    )
}

fn run_quietly(command: &mut Command) -> Result<()> {
    crate::process::output(command).map(drop)
}

const fn candidates(only: Option<Route>) -> &'static [Route] {
    match only {
        None => &Route::ALL,
        Some(Route::Nightly) => &[Route::Nightly],
        Some(Route::Debian) => &[Route::Debian],
        Some(Route::DebianBuildStd) => &[Route::DebianBuildStd],
    }
}

/// Own target directory: the outer cargo may hold the lock of the workspace's.
fn scratch_directory(workspace: &Workspace) -> PathBuf {
    workspace.target.join("bpf-build")
}

fn compile(
    workspace: &Workspace,
    route: Route,
    linker: &Linker,
    scratch: &Path,
    extras: Extras,
) -> Result<()> {
    let mut command = route.cargo("build", linker)?;
    command
        .current_dir(&workspace.root)
        .env("CARGO_TARGET_DIR", scratch);
    if extras.log {
        command.args(["--features", "log"]);
    }
    run(&mut command)?;
    let built = scratch.join(BPF_TARGET).join("bpf");
    for object in [
        workspace.xdp_object(),
        workspace.capture_object(),
        workspace.handover_object(),
        workspace.bench_object(),
        workspace.decap_object(),
    ] {
        publish(&source_of(&built, &object)?, &object)?;
    }
    if extras.earlier {
        compile_earlier(workspace, route, linker, scratch)?;
    }
    Ok(())
}

/// The walk over maps of another layout. In a target directory of its own: cargo would otherwise compile everything anew for
/// the one or the other.
fn compile_earlier(
    workspace: &Workspace,
    route: Route,
    linker: &Linker,
    scratch: &Path,
) -> Result<()> {
    let scratch = scratch.join("earlier");
    let mut command = route.cargo("build", linker)?;
    command
        .current_dir(&workspace.root)
        .env("CARGO_TARGET_DIR", &scratch)
        .args(["--features", "earlier-layout", "--bin", "adc-xdp"]);
    run(&mut command)?;
    let built = scratch.join(BPF_TARGET).join("bpf");
    publish(
        &source_of(&built, &workspace.xdp_object())?,
        &workspace.earlier_object(),
    )
}

/// Where cargo put what is to be `object`.
fn source_of(built: &Path, object: &Path) -> Result<PathBuf> {
    let name = object.file_name().context("object path has no name")?;
    Ok(built.join(name))
}

/// Copies `source` to `object`, unless it is the same: a new time stamp would rebuild the agent.
fn publish(source: &Path, object: &Path) -> Result<()> {
    let bytes = fs::read(source).with_context(|| {
        format!(
            "reading {} (adc-ebpf has no such binary?)",
            source.display()
        )
    })?;
    if fs::read(object).is_ok_and(|old| old == bytes) {
        eprintln!(
            "    {} is up to date ({} bytes)",
            object.display(),
            bytes.len()
        );
        return Ok(());
    }
    let directory = object.parent().context("object path has no directory")?;
    fs::create_dir_all(directory).with_context(|| format!("creating {}", directory.display()))?;
    // Written aside and renamed: a concurrent `cargo build` embeds the old object or the new one.
    let aside = object.with_extension("new");
    fs::write(&aside, &bytes).with_context(|| format!("writing {}", aside.display()))?;
    fs::rename(&aside, object).with_context(|| format!("replacing {}", object.display()))?;
    eprintln!("    wrote {} ({} bytes)", object.display(), bytes.len());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_without_a_toolchain_names_every_way_out() {
        let missing = Route::ALL.map(|route| (route, anyhow!("not there")));
        let message = nothing_to_build_with(&missing).to_string();
        assert!(message.contains("cargo xtask setup"));
        for route in Route::ALL {
            assert!(message.contains(route.remedy()), "{message}");
        }
    }

    #[test]
    fn unchanged_object_keeps_its_time_stamp() {
        let directory = tempfile::tempdir().unwrap();
        let object = directory.path().join("bpf/adc-xdp");
        let built = directory.path().join("adc-xdp");
        fs::write(&built, "one").unwrap();
        publish(&built, &object).unwrap();
        let first = fs::metadata(&object).unwrap().modified().unwrap();
        publish(&built, &object).unwrap();
        assert_eq!(fs::metadata(&object).unwrap().modified().unwrap(), first);
        fs::write(&built, "two").unwrap();
        publish(&built, &object).unwrap();
        assert_eq!(fs::read_to_string(&object).unwrap(), "two");
    }
}
