//! Embeds the XDP objects: the agent's, and beside it the decapsulator's (`adc-xdp-decap`).
//!
//! The agent's is `$ADC_EBPF_OBJECT`, or `<target directory>/bpf/adc-xdp` as `cargo xtask build-ebpf`
//! leaves it. It is copied to `$OUT_DIR/adc-xdp`. When there is none, an empty file takes its place, so
//! that `cargo check`, `test` and `clippy` work without a BPF toolchain; the agent then refuses to run
//! with a message that says how to build it.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

/// The program of the agent.
const INGRESS: &str = "adc-xdp";
/// The decapsulator for backends.
const DECAP: &str = "adc-xdp-decap";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=ADC_EBPF_OBJECT");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let given = env::var_os("ADC_EBPF_OBJECT").filter(|path| !path.is_empty());
    if let Some(object) = given.map(PathBuf::from) {
        println!("cargo::rerun-if-changed={}", object.display());
        fs::copy(&object, out.join(INGRESS))
            .map_err(|error| format!("ADC_EBPF_OBJECT={}: {error}", object.display()))?;
        return embed(&object.with_file_name(DECAP), &out.join(DECAP));
    }
    // The directory is watched, not the file: cargo takes a missing file for a changed one, and would
    // run this again on every build.
    let directory = target_directory(&out)?.join("bpf");
    fs::create_dir_all(&directory)?;
    println!("cargo::rerun-if-changed={}", directory.display());
    for name in [INGRESS, DECAP] {
        embed(&directory.join(name), &out.join(name))?;
    }
    Ok(())
}

/// Copies an object, or leaves an empty file where there is none.
fn embed(object: &Path, embedded: &Path) -> Result<(), Box<dyn Error>> {
    if object.is_file() {
        fs::copy(object, embedded)?;
    } else {
        fs::write(embedded, [])?;
    }
    Ok(())
}

/// `OUT_DIR` is `<target>[/<triple>]/<profile>/build/<package>-<hash>/out`.
fn target_directory(out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let above = out.ancestors().nth(4).ok_or("OUT_DIR is too short")?;
    let triple = env::var_os("TARGET").ok_or("TARGET is not set")?;
    let target = match above.file_name() {
        Some(name) if name == triple => above.parent().ok_or("OUT_DIR is too short")?,
        _ => above,
    };
    Ok(target.to_path_buf())
}
