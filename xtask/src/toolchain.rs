//! Finding a toolchain that can compile for `bpfel-unknown-none`.
//!
//! The target is tier 3: rustup ships no `core` for it, so either cargo builds `core` from source
//! (`-Z build-std`, needs `rust-src`) or the distribution ships a compiled one, as Debian does for the
//! compiler it maintains for browsers (`rustc-web`).

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, anyhow};
use clap::ValueEnum;

use crate::{
    linker::{BPF_LINKER_VERSION, LINKER_LLVM_MAJOR, Linker},
    process::{find_program, output},
};

/// Target triple of the object.
pub(crate) const BPF_TARGET: &str = "bpfel-unknown-none";

/// A way to compile for BPF, in the order they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Route {
    /// rustup's nightly with rust-src, building `core`
    Nightly,
    /// Debian's rustc-web with the prebuilt `core` of libstd-rust-web-dev-bpf
    Debian,
    /// Debian's rustc-web with rust-web-src, building `core`
    DebianBuildStd,
}

/// What a compiler says about itself.
struct Compiler {
    release: String,
    llvm_major: u32,
    sysroot: PathBuf,
}

impl Route {
    /// All routes, best first.
    pub(crate) const ALL: [Self; 3] = [Self::Nightly, Self::Debian, Self::DebianBuildStd];

    /// What the route uses, as shown to people.
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::Nightly => "rustup nightly with rust-src (-Z build-std=core)",
            Self::Debian => "Debian rustc-web with the prebuilt core of libstd-rust-web-dev-bpf",
            Self::DebianBuildStd => "Debian rustc-web with rust-web-src (-Z build-std=core)",
        }
    }

    /// The command that would make the route available.
    pub(crate) const fn remedy(self) -> &'static str {
        match self {
            Self::Nightly => {
                "rustup toolchain install nightly --profile minimal --component rust-src"
            }
            Self::Debian => {
                "apt-get install --no-install-recommends rustc-web cargo-web libstd-rust-web-dev-bpf"
            }
            Self::DebianBuildStd => {
                "apt-get install --no-install-recommends rustc-web cargo-web rust-web-src"
            }
        }
    }

    /// Checks that the route can work; the error says what is missing.
    pub(crate) fn probe(self) -> Result<()> {
        let compiler = self.compiler()?;
        if older_than(&compiler.release, env!("CARGO_PKG_RUST_VERSION")) {
            return Err(anyhow!(
                "its rustc is {}, adc needs {} or later",
                compiler.release,
                env!("CARGO_PKG_RUST_VERSION")
            ));
        }
        if compiler.llvm_major > LINKER_LLVM_MAJOR {
            return Err(anyhow!(
                "its rustc {} uses LLVM {}, bpf-linker {BPF_LINKER_VERSION} reads up to LLVM {LINKER_LLVM_MAJOR}",
                compiler.release,
                compiler.llvm_major
            ));
        }
        let rustlib = compiler.sysroot.join("lib/rustlib");
        match self {
            Self::Nightly | Self::DebianBuildStd => {
                let source = rustlib.join("src/rust/library/core/src/lib.rs");
                if !source.is_file() {
                    return Err(anyhow!("no rust-src: {} is missing", source.display()));
                }
            }
            Self::Debian => {
                let directory = rustlib.join(BPF_TARGET).join("lib");
                if !has_file(&directory, |name| name.starts_with("libcore-")) {
                    return Err(anyhow!("no prebuilt core in {}", directory.display()));
                }
            }
        }
        Ok(())
    }

    fn compiler(self) -> Result<Compiler> {
        let compiler = self.describe_compiler()?;
        // Debian's rustup package puts its proxies in /usr/bin as well.
        if self != Self::Nightly && compiler.sysroot != Path::new("/usr") {
            return Err(anyhow!("/usr/bin/rustc is a rustup proxy"));
        }
        Ok(compiler)
    }

    fn describe_compiler(self) -> Result<Compiler> {
        let rustc = || match self {
            Self::Nightly => rustup_nightly("rustc"),
            Self::Debian | Self::DebianBuildStd => Ok(clean_command("/usr/bin/rustc")),
        };
        if self != Self::Nightly {
            for program in ["/usr/bin/rustc", "/usr/bin/cargo"] {
                if !Path::new(program).exists() {
                    return Err(anyhow!("{program} does not exist"));
                }
            }
        }
        let version = output(rustc()?.arg("-vV")).map_err(|error| match self {
            Self::Nightly => error.context("rustup has no usable nightly toolchain"),
            Self::Debian | Self::DebianBuildStd => error,
        })?;
        let sysroot = output(rustc()?.args(["--print", "sysroot"]))?;
        Compiler::parse(&version, &sysroot)
    }

    /// A cargo command of this route: environment scrubbed, compiler chosen, linker and LLVM found.
    /// `subcommand` is `build` or `clippy`.
    pub(crate) fn cargo(self, subcommand: &str, linker: &Linker) -> Result<Command> {
        let mut command = match (self, subcommand) {
            (Self::Nightly, _) => {
                let mut command = rustup_nightly("cargo")?;
                command.arg(subcommand);
                command
            }
            // `cargo clippy` would find rustup's cargo-clippy first; calling the program does not.
            (Self::Debian | Self::DebianBuildStd, "clippy") => {
                let mut command = clean_command("/usr/bin/cargo-clippy");
                command.arg(subcommand).env("CARGO", "/usr/bin/cargo");
                command
            }
            (Self::Debian | Self::DebianBuildStd, _) => {
                let mut command = clean_command("/usr/bin/cargo");
                command.arg(subcommand);
                command
            }
        };
        if self != Self::Nightly {
            command.env("RUSTC", "/usr/bin/rustc");
            // aya-ebpf needs feature(asm_experimental_arch) for the BPF target.
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        if self != Self::Debian {
            command.args(["-Z", "build-std=core"]);
        }
        let flags = [
            format!("--cfg=bpf_target_arch=\"{}\"", env::consts::ARCH),
            "-Cdebuginfo=2".to_owned(),
            "-Clink-arg=--btf".to_owned(),
            // 32-bit ALU and jumps (Linux 5.1): fewer shifts for every port and checksum.
            "-Ctarget-cpu=v3".to_owned(),
        ];
        command
            .args(["--profile", "bpf", "--target", BPF_TARGET, "-p", "adc-ebpf"])
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", linker.program())
            .env("LD_LIBRARY_PATH", linker.llvm_directory());
        Ok(command)
    }
}

impl Compiler {
    /// Reads `rustc -vV` and `rustc --print sysroot`.
    fn parse(version: &str, sysroot: &str) -> Result<Self> {
        let field = |name: &str| {
            version
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .with_context(|| format!("`rustc -vV` printed no `{name}`"))
        };
        let llvm = field("LLVM version")?;
        let llvm_major = llvm
            .split('.')
            .next()
            .and_then(|major| major.parse().ok())
            .with_context(|| format!("`rustc -vV` printed LLVM version `{llvm}`"))?;
        Ok(Self {
            release: field("release")?.to_owned(),
            llvm_major,
            sysroot: PathBuf::from(sysroot.trim()),
        })
    }
}

/// Whether version `a` (as `1.97.0-nightly`) precedes `b` (as `1.95`).
fn older_than(a: &str, b: &str) -> bool {
    let numbers = |version: &str| -> Vec<u32> {
        version
            .split(['.', '-', '+'])
            .map_while(|part| part.parse().ok())
            .collect()
    };
    numbers(a) < numbers(b)
}

fn has_file(directory: &Path, accept: impl Fn(&str) -> bool) -> bool {
    fs::read_dir(directory).is_ok_and(|mut entries| {
        entries.any(|entry| entry.is_ok_and(|entry| accept(&file_name(&entry.path()))))
    })
}

/// The last component of a path; empty when it has none.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// A program of rustup's nightly toolchain.
pub(crate) fn rustup_nightly(program: &str) -> Result<Command> {
    let rustup = find_program("rustup").context("rustup is not installed")?;
    let mut command = clean_command(rustup);
    // Probing must not download a toolchain.
    command.env("RUSTUP_AUTO_INSTALL", "0");
    command.args(["run", "nightly", program]);
    Ok(command)
}

/// A command without the variables by which an outer cargo or rustup would steer the compiler; the
/// user's settings for cargo's network, terminal and jobs stay.
fn clean_command(program: impl Into<OsString>) -> Command {
    let mut command = Command::new(program.into());
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(steers_the_compiler) {
            command.env_remove(name);
        }
    }
    command
}

fn steers_the_compiler(name: &str) -> bool {
    const NAMES: [&str; 8] = [
        "RUSTC",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTDOC",
        "RUSTFLAGS",
        "RUSTDOCFLAGS",
        "RUSTUP_TOOLCHAIN",
        "RUST_RECURSION_COUNT",
        "LD_LIBRARY_PATH",
    ];
    const KEPT: [&str; 6] = [
        "CARGO_HOME",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTR",
        "CARGO_TERM_",
        "CARGO_BUILD_JOBS",
    ];
    NAMES.contains(&name)
        || (name.starts_with("CARGO") && !KEPT.iter().any(|kept| name.starts_with(kept)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiler_description_is_read() {
        let text = "rustc 1.96.0 (ac68 2026-05-25)\nbinary: rustc\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        let compiler = Compiler::parse(text, "/usr\n").unwrap();
        assert_eq!(compiler.release, "1.96.0");
        assert_eq!(compiler.llvm_major, 22);
        assert_eq!(compiler.sysroot, Path::new("/usr"));
        assert!(Compiler::parse("rustc 1.0", "/usr").is_err());
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(older_than("1.85.0", "1.95"));
        assert!(!older_than("1.95.0", "1.95"));
        assert!(!older_than("1.97.0-nightly", "1.95"));
        assert!(!older_than("1.100.0", "1.95"));
    }

    #[test]
    fn outer_toolchain_is_scrubbed_and_network_settings_are_not() {
        for name in [
            "CARGO",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "RUSTUP_TOOLCHAIN",
        ] {
            assert!(steers_the_compiler(name), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_NET_OFFLINE", "RUSTUP_HOME", "PATH"] {
            assert!(!steers_the_compiler(name), "{name}");
        }
    }
}
