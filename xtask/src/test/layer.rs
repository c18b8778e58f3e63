//! The layers, cheapest first, and how each is run.

use std::{fmt, path::Path, process::Command};

use anyhow::Result;
use clap::ValueEnum;

use super::report::{Counts, Outcome, count_tests};
use crate::{
    build_ebpf,
    kernel_matrix::Matrix,
    process::{is_root, run},
    setup::{self, Purpose},
    tidy,
    workspace::Workspace,
};

/// How long compiling and running a layer's tests may take before they are taken for hung, in seconds.
const TESTS_TIMEOUT: u32 = 1200;

/// A layer of the pyramid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layer {
    /// Install what is missing
    Setup,
    /// rustfmt
    Fmt,
    /// House rules
    Tidy,
    /// Compile the XDP object
    BuildEbpf,
    /// Lints, host crates
    Clippy,
    /// Lints, BPF target
    ClippyBpf,
    /// Documentation
    Doc,
    /// Unit and property tests
    Unit,
    /// The program in the kernel
    Prog,
    /// Real traffic
    Net,
    /// The program in older kernels
    Kernels,
}

/// What layers share during one run.
pub(super) struct Context {
    workspace: Workspace,
    strict: bool,
    /// Why the object is not there; the layers that need it are then skipped for that reason.
    object: Result<(), String>,
}

impl Context {
    /// Before the first layer. In a `strict` run the test harness must fail where it would skip.
    pub(super) fn new(workspace: Workspace, strict: bool) -> Self {
        Self {
            workspace,
            strict,
            object: Err("the XDP object was not built in this run".to_owned()),
        }
    }

    /// A cargo command with the paths and switches the tests read.
    fn test_cargo(&self) -> Command {
        // `timeout` signals the whole process group, so a hung test binary does not outlive cargo.
        let cargo = self.workspace.cargo();
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=10", &TESTS_TIMEOUT.to_string()])
            .arg(cargo.get_program())
            .arg("test");
        for (name, value) in cargo.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
            .current_dir(&self.workspace.root)
            .env("ADC_BIN", self.workspace.adc_binary("debug"))
            .env("ADC_XDP_OBJECT", self.workspace.xdp_object())
            .env("ADC_BENCH_OBJECT", self.workspace.bench_object());
        if self.strict {
            command.env("ADC_TESTS_MANDATORY", "1");
        }
        command
    }
}

impl Layer {
    /// All layers in the order they run. The object comes before the lints: the agent embeds it, so
    /// building it later would check the agent twice.
    pub(super) const ALL: [Self; 11] = [
        Self::Setup,
        Self::Fmt,
        Self::Tidy,
        Self::BuildEbpf,
        Self::Clippy,
        Self::ClippyBpf,
        Self::Doc,
        Self::Unit,
        Self::Prog,
        Self::Net,
        Self::Kernels,
    ];

    /// Name on the command line and in the summary.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Fmt => "fmt",
            Self::Tidy => "tidy",
            Self::BuildEbpf => "build-ebpf",
            Self::Clippy => "clippy",
            Self::ClippyBpf => "clippy-bpf",
            Self::Doc => "doc",
            Self::Unit => "unit",
            Self::Prog => "prog",
            Self::Net => "net",
            Self::Kernels => "kernels",
        }
    }

    /// One line for `--list`.
    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::Setup => "install what is missing",
            Self::Fmt => "cargo fmt --check",
            Self::Tidy => {
                "house rules: file sizes, module docs, words, layering, docs against code"
            }
            Self::BuildEbpf => "compile the XDP object",
            Self::Clippy => "lints of the host crates, warnings denied",
            Self::ClippyBpf => "lints of the XDP program on its own target, warnings denied",
            Self::Doc => "rustdoc of the host crates, warnings denied",
            Self::Unit => "unit and property tests of every host crate",
            Self::Prog => "prog_*: packets through the program with BPF_PROG_TEST_RUN (root)",
            Self::Net => "net_*: real traffic through network namespaces (root)",
            Self::Kernels => "prog_* again, bonds and VLANs, in qemu, on Debian's older kernels",
        }
    }

    /// The layers whose results this one uses.
    pub(super) const fn needs(self) -> &'static [Self] {
        match self {
            Self::Setup | Self::Fmt | Self::Tidy | Self::Clippy | Self::Doc | Self::Unit => &[],
            Self::BuildEbpf | Self::ClippyBpf => &[Self::Setup],
            Self::Prog | Self::Net | Self::Kernels => &[Self::Setup, Self::BuildEbpf],
        }
    }

    /// Runs the layer; an error before or beside the tests is one failure.
    pub(super) fn run(self, context: &mut Context) -> Outcome {
        self.attempt(context).unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            Outcome::Ran(Counts::FAIL)
        })
    }

    fn attempt(self, context: &mut Context) -> Result<Outcome> {
        let workspace = &context.workspace;
        match self {
            Self::Setup => {
                // What is missing shows in the layers that need it; here it is no test failure.
                return Ok(match setup::prepare(workspace, Purpose::Test) {
                    Ok(()) => Outcome::Ran(Counts::PASS),
                    Err(error) => Outcome::Skipped(format!("{error:#}")),
                });
            }
            Self::Fmt => run(workspace.cargo().args(["fmt", "--all", "--check"]))?,
            Self::Tidy => tidy::check_workspace(&workspace.root)?,
            Self::BuildEbpf => {
                if let Err(error) = build_ebpf::available(workspace) {
                    context.object = Err("there is no XDP object".to_owned());
                    return Ok(Outcome::Skipped(format!("{error:#}")));
                }
                let built = build_ebpf::build_for_tests(workspace);
                context.object = match &built {
                    Ok(()) => Ok(()),
                    Err(_) => Err("layer build-ebpf failed".to_owned()),
                };
                built?;
            }
            Self::Clippy => run(workspace.cargo().args([
                "clippy",
                "--workspace",
                "--exclude=adc-ebpf",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ]))?,
            Self::ClippyBpf => match build_ebpf::clippy(workspace) {
                Ok(mut command) => run(&mut command)?,
                Err(error) => return Ok(Outcome::Skipped(format!("{error:#}"))),
            },
            Self::Doc => run(workspace
                .cargo()
                .args(["doc", "--no-deps", "--workspace", "--exclude=adc-ebpf"])
                .env("RUSTDOCFLAGS", "-D warnings"))?,
            Self::Unit => return Ok(Outcome::Ran(unit(context)?)),
            Self::Prog => return program_tests(context, "prog_"),
            Self::Net => return program_tests(context, "net_"),
            Self::Kernels => return kernels(context),
        }
        Ok(Outcome::Ran(Counts::PASS))
    }
}

/// Unit, property and documentation tests, and the integration targets that belong to no later layer.
fn unit(context: &Context) -> Result<Counts> {
    let mut counts = count(context.test_cargo().args([
        "--no-fail-fast",
        "-p",
        "adc-common",
        "-p",
        "adc-userspace",
        "-p",
        "xtask",
    ]))?;
    let mut rest = context.test_cargo();
    rest.args(["--no-fail-fast", "-p", "adc-tests", "--lib", "--bins"]);
    for target in &context.workspace.test_targets {
        if !target.starts_with("prog_") && !target.starts_with("net_") {
            rest.args(["--test", target]);
        }
    }
    counts += count(&mut rest)?;
    Ok(counts)
}

fn count(command: &mut Command) -> Result<Counts> {
    count_tests(command, |_| ())
}

/// The integration targets whose name starts with `prefix`, as root, with object and agent built.
fn program_tests(context: &Context, prefix: &str) -> Result<Outcome> {
    if let Err(reason) = &context.object {
        return Ok(Outcome::Skipped(reason.clone()));
    }
    let has_target = |name: &String| name.starts_with(prefix);
    if !context.workspace.test_targets.iter().any(has_target) {
        return Ok(Outcome::Skipped(format!(
            "adc-tests has no test target {prefix}*"
        )));
    }
    if !is_root() {
        return Ok(Outcome::Skipped(
            "needs root: sudo -E env \"PATH=$PATH\" cargo xtask test".to_owned(),
        ));
    }
    run(context
        .workspace
        .cargo()
        .args(["build", "-p", "adc-userspace"]))?;
    let counts = count(context.test_cargo().args([
        "--no-fail-fast",
        "-p",
        "adc-tests",
        "--test",
        &format!("{prefix}*"),
    ]))?;
    Ok(Outcome::Ran(counts))
}

fn kernels(context: &Context) -> Result<Outcome> {
    if let Err(reason) = &context.object {
        return Ok(Outcome::Skipped(reason.clone()));
    }
    if !Path::new("/usr/bin/dpkg-deb").exists() || !Path::new("/usr/bin/apt-get").exists() {
        return Ok(Outcome::Skipped(
            "the kernels come as Debian packages, and this system has no apt".to_owned(),
        ));
    }
    if std::env::consts::ARCH != "x86_64" {
        return Ok(Outcome::Skipped(
            "the matrix has x86_64 kernels only".to_owned(),
        ));
    }
    match Matrix::prepare(&context.workspace) {
        Ok(matrix) => matrix.run(&context.workspace).map(Outcome::Ran),
        Err(error) => Ok(Outcome::Skipped(format!("{error:#}"))),
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_names_are_what_the_command_line_takes() {
        for layer in Layer::ALL {
            assert_eq!(Layer::from_str(layer.name(), false), Ok(layer));
        }
        assert_eq!(Layer::ALL.len(), Layer::value_variants().len());
    }

    #[test]
    fn what_a_layer_needs_runs_before_it() {
        for (position, layer) in Layer::ALL.iter().enumerate() {
            for need in layer.needs() {
                assert!(
                    Layer::ALL[..position].contains(need),
                    "{layer} needs {need}"
                );
            }
        }
    }
}
