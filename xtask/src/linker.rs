//! Finding bpf-linker and the LLVM it reads rustc's bitcode with.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, anyhow};

use crate::{
    process::{find_program, output},
    toolchain::{file_name, rustup_nightly},
};

/// The linker release that matches LLVM 22, which rustc 1.95 to 1.97 use (docs/adr/0001).
pub(crate) const BPF_LINKER_VERSION: &str = "0.10.3";

/// LLVM that linker reads bitcode with; it can not read bitcode of a newer one.
pub(crate) const LINKER_LLVM_MAJOR: u32 = 22;

/// bpf-linker and the directory with the one LLVM it shall load.
#[derive(Debug)]
pub(crate) struct Linker {
    program: PathBuf,
    llvm_directory: PathBuf,
}

impl Linker {
    /// Path of bpf-linker.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// What `LD_LIBRARY_PATH` must be for it.
    pub(crate) fn llvm_directory(&self) -> &Path {
        &self.llvm_directory
    }

    /// Finds both. `scratch` is where a directory with only the right LLVM is made: the linker loads the
    /// first `libLLVM*` it meets in `LD_LIBRARY_PATH`, and system directories may hold several releases.
    pub(crate) fn find(target: &Path, scratch: &Path) -> Result<Self> {
        let program = find_bpf_linker(target)?;
        let library = find_llvm().with_context(|| {
            format!(
                "no libLLVM.so.{LINKER_LLVM_MAJOR} for bpf-linker: apt-get install libllvm{LINKER_LLVM_MAJOR}, or a rustup toolchain of rustc {} to 1.97",
                env!("CARGO_PKG_RUST_VERSION")
            )
        })?;
        let llvm_directory = scratch.join("llvm");
        let link = llvm_directory.join("libLLVM.so");
        if fs::read_link(&link).ok().as_ref() != Some(&library) {
            fs::create_dir_all(&llvm_directory)
                .with_context(|| format!("creating {}", llvm_directory.display()))?;
            if link.is_symlink() {
                fs::remove_file(&link).with_context(|| format!("replacing {}", link.display()))?;
            }
            std::os::unix::fs::symlink(&library, &link)
                .with_context(|| format!("linking {}", link.display()))?;
        }
        Ok(Self {
            program,
            llvm_directory,
        })
    }
}

/// The pinned bpf-linker: our own copy first (see `setup`), then `PATH`, then cargo's directory, which
/// `sudo` drops from `PATH`.
pub(crate) fn find_bpf_linker(target: &Path) -> Result<PathBuf> {
    let own = target.join("tools/bin/bpf-linker");
    let candidates = [
        own.is_file().then_some(own),
        find_program("bpf-linker"),
        cargo_home().map(|home| home.join("bin/bpf-linker")),
    ];
    let mut found = None;
    for program in candidates.into_iter().flatten().filter(|p| p.is_file()) {
        let version = output(Command::new(&program).arg("--version"))?;
        if version.trim() == format!("bpf-linker {BPF_LINKER_VERSION}") {
            return Ok(program);
        }
        found = Some(format!("{} is {}", program.display(), version.trim()));
    }
    Err(anyhow!(
        "bpf-linker {BPF_LINKER_VERSION} is not installed{}: cargo install --locked bpf-linker --version {BPF_LINKER_VERSION}",
        found.map_or_else(String::new, |found| format!(" ({found})"))
    ))
}

fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))
}

fn find_llvm() -> Option<PathBuf> {
    let sysroot = |rustc: Result<Command>| {
        let sysroot = output(rustc.ok()?.args(["--print", "sysroot"])).ok()?;
        Some(Path::new(sysroot.trim()).join("lib"))
    };
    let directories = [
        sysroot(Ok(Command::new("rustc"))),
        sysroot(rustup_nightly("rustc")),
        Some(format!("/usr/lib/{}-linux-gnu", env::consts::ARCH).into()),
        Some(format!("/usr/lib/llvm-{LINKER_LLVM_MAJOR}/lib").into()),
        Some("/usr/lib64".into()),
    ];
    let prefix = format!("libLLVM.so.{LINKER_LLVM_MAJOR}.");
    directories.into_iter().flatten().find_map(|directory| {
        fs::read_dir(directory)
            .ok()?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .find(|path| file_name(path).starts_with(&prefix))
    })
}
