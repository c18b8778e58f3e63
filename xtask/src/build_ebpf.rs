//! `cargo xtask build-ebpf`: compiles `adc-ebpf` and puts the objects where the agent's build script
//! and the tests look for them, `<target>/bpf/`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail};

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
}

/// Runs the command.
pub(crate) fn command(args: &Args) -> Result<ExitCode> {
    build(&Workspace::find()?, args.route)?;
    Ok(ExitCode::SUCCESS)
}

/// Builds with `only`, or with the first route that works.
pub(crate) fn build(workspace: &Workspace, only: Option<Route>) -> Result<()> {
    let scratch = scratch_directory(workspace);
    let linker = Linker::find(&workspace.target, &scratch)
        .context("the BPF linker is missing; `cargo xtask setup --for build` installs it")?;
    let mut refused = Vec::new();
    for route in candidates(only) {
        let attempt = route.probe().and_then(|()| {
            step(format_args!("BPF object: {}", route.describe()));
            compile(workspace, *route, &linker, &scratch)
        });
        match attempt {
            Ok(()) => return Ok(()),
            Err(error) => {
                let reason = format!("{}: {error:#}", route.describe());
                eprintln!("    not used: {reason}");
                refused.push(reason);
            }
        }
    }
    let mut message = String::from("no route to a BPF object works:\n");
    for reason in &refused {
        message.push_str("  - ");
        message.push_str(reason);
        message.push('\n');
    }
    message.push_str(
        "if a toolchain is what is missing, run `cargo xtask setup --for build`, or one of:",
    );
    for route in candidates(only) {
        message.push_str("\n  ");
        message.push_str(route.remedy());
    }
    bail!(message)
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

fn compile(workspace: &Workspace, route: Route, linker: &Linker, scratch: &Path) -> Result<()> {
    let mut command = route.cargo("build", linker)?;
    command
        .current_dir(&workspace.root)
        .env("CARGO_TARGET_DIR", scratch);
    run(&mut command)?;
    let built = scratch.join(BPF_TARGET).join("bpf");
    for object in [workspace.xdp_object(), workspace.bench_object()] {
        publish(&built, &object)?;
    }
    Ok(())
}

/// Copies `built/NAME` to `object`, unless it is the same: a new time stamp would rebuild the agent.
fn publish(built: &Path, object: &Path) -> Result<()> {
    let name = object.file_name().context("object path has no name")?;
    let source = built.join(name);
    let bytes = fs::read(&source).with_context(|| {
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
