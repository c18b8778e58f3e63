//! Embeds the XDP objects: the ones of the agent, and that of `adc decap`.
//!
//! The object is `$ADC_EBPF_OBJECT`, or `<target directory>/bpf/adc-xdp` as `cargo xtask build-ebpf`
//! leaves it; the others lie beside it. They are copied to `$OUT_DIR`. When there is none, an empty file takes its place, so
//! that `cargo check`, `test` and `clippy` work without a BPF toolchain; the agent then refuses to run
//! with a message that says how to build it.

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

/// The program.
const OBJECT: &str = "adc-xdp";

/// The program that stands in for it while somebody captures.
const CAPTURE: &str = "adc-xdp-capture";

/// The program that stands before two others while flows move between layouts.
const HANDOVER: &str = "adc-xdp-handover";

/// The decapsulator for backends.
const DECAP: &str = "adc-xdp-decap";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=ADC_EBPF_OBJECT");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let given = env::var_os("ADC_EBPF_OBJECT").filter(|path| !path.is_empty());
    let object = if let Some(object) = given {
        let object = PathBuf::from(object);
        println!("cargo::rerun-if-changed={}", object.display());
        if !object.is_file() {
            return Err(format!("ADC_EBPF_OBJECT={} is no file", object.display()).into());
        }
        object
    } else {
        // The directory is watched, not the file: cargo takes a missing file for a changed one, and would
        // run this again on every build.
        let directory = target_directory(&out)?.join("bpf");
        fs::create_dir_all(&directory)?;
        println!("cargo::rerun-if-changed={}", directory.display());
        directory.join(OBJECT)
    };
    embed(&object, &out.join(OBJECT))?;
    embed(&object.with_file_name(CAPTURE), &out.join(CAPTURE))?;
    embed(&object.with_file_name(HANDOVER), &out.join(HANDOVER))?;
    embed(&object.with_file_name(DECAP), &out.join(DECAP))
}

/// Copies an object, or makes an empty file in its place.
fn embed(object: &Path, embedded: &Path) -> Result<(), Box<dyn Error>> {
    if object.is_file() {
        fs::copy(object, embedded)
            .map_err(|error| format!("embedding {}: {error}", object.display()))?;
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
