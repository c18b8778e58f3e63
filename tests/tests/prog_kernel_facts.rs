//! What the data plane takes for granted about the kernel it runs on. When one of these fails, every other
//! program test fails for a reason that is harder to read.

use std::{error::Error, fs, path::Path};

use aya::{
    maps::MapType,
    programs::ProgramType,
    sys::{is_map_supported, is_program_supported},
};

type TestResult = Result<(), Box<dyn Error>>;

/// The oldest kernel adc promises to run on: Debian 12's.
const OLDEST: (u32, u32) = (6, 1);

#[test]
fn kernel_is_not_older_than_promised() -> TestResult {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
    let major = numbers.next().ok_or("no major version")??;
    let minor = numbers.next().ok_or("no minor version")??;
    assert!((major, minor) >= OLDEST, "{release}");
    Ok(())
}

#[test]
fn matrix_runs_the_kernel_it_was_asked_for() -> TestResult {
    // Set by the kernel matrix; elsewhere any kernel is fine.
    if let Some(series) = std::env::var_os("ADC_KERNEL_MATRIX") {
        let series = series.into_string().map_err(|_text| "not UTF-8")?;
        let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
        assert!(
            release.starts_with(&format!("{series}.")),
            "{release} is not {series}"
        );
    }
    Ok(())
}

#[test]
fn kernel_describes_its_types() {
    // The maps are declared through BTF, map-in-map only works that way.
    assert!(Path::new("/sys/kernel/btf/vmlinux").is_file());
}

#[test]
fn programs_are_compiled_to_machine_code() -> TestResult {
    // 0 is the interpreter; with CONFIG_BPF_JIT_ALWAYS_ON it can not be chosen.
    let jit = fs::read_to_string("/proc/sys/net/core/bpf_jit_enable")?;
    assert_ne!(jit.trim(), "0", "sysctl net.core.bpf_jit_enable");
    Ok(())
}

#[test]
fn kernel_has_the_program_type() -> TestResult {
    assert!(is_program_supported(ProgramType::Xdp)?);
    Ok(())
}

#[test]
fn kernel_has_the_map_types() -> TestResult {
    for map in [
        MapType::Array,
        MapType::PerCpuArray,
        MapType::Hash,
        MapType::LruHash,
        MapType::ArrayOfMaps,
        MapType::DevMap,
        MapType::RingBuf,
    ] {
        assert!(is_map_supported(map)?, "{map:?}");
    }
    Ok(())
}
