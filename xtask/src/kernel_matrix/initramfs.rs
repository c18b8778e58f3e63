//! The guest: a root file system in memory with a shell, the tests, what they link to and what they read.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::{modules::Module, packages::Tools, test_name};
use crate::{
    process::{find_program, output},
    workspace::Workspace,
};

/// The last line the guest prints when every test binary has run, whatever it found.
pub(super) const DONE: &str = "adc-matrix: done";

/// Where the tests and the objects are in the guest.
const GUEST_DIRECTORY: &str = "/adc";

/// Programs of this machine that the tests in the guest call: busybox's `ip` knows neither namespaces nor bonds.
const PROGRAMS: [&str; 2] = ["ip", "ethtool"];

/// Runs as process 1 of the guest. Test binaries run one by one; their own output carries the results,
/// and an exit code that it does not explain is turned into one failed result.
const INIT: &str = r#"#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys /dev /tmp /run
$b mount -t proc proc /proc
$b mount -t sysfs sysfs /sys
$b mount -t devtmpfs devtmpfs /dev
$b mount -t tmpfs tmpfs /tmp
$b mount -t tmpfs tmpfs /run
$b mount -t bpf bpf /sys/fs/bpf
$b ip link set lo up
export PATH=/bin HOME=/tmp TMPDIR=/tmp RUST_BACKTRACE=0
export ADC_TESTS_MANDATORY=1
export ADC_KERNEL_MATRIX=$($b sed -n 's/.*adc_series=\([^ ]*\).*/\1/p' /proc/cmdline)
export ADC_XDP_OBJECT=/adc/adc-xdp ADC_BENCH_OBJECT=/adc/adc-xdp-bench ADC_BIN=/adc/adc
$b echo "adc-matrix: Linux $($b uname -r)"
for module in /adc/modules/$ADC_KERNEL_MATRIX/*; do
  $b insmod $module || $b echo "adc-matrix: $module was not loaded"
done
for test in /adc/tests/*; do
  $b echo "adc-matrix: $test"
  $test
  code=$?
  # 101 is libtest's own "some test failed".
  if [ $code != 0 ] && [ $code != 101 ]; then
    $b echo "adc-matrix: exit code $code"
    $b echo "test result: FAILED. 0 passed; 1 failed;"
  fi
done
$b echo "adc-matrix: done"
$b poweroff -f
"#;

/// Makes the image anew from `tests` and the built objects.
pub(super) fn build(
    workspace: &Workspace,
    tools: &Tools,
    tests: &[PathBuf],
    modules: &[(&str, Vec<Module>)],
    directory: &Path,
) -> Result<PathBuf> {
    let staging = directory.join("initramfs");
    if staging.exists() {
        fs::remove_dir_all(&staging).with_context(|| format!("emptying {}", staging.display()))?;
    }
    let guest = Guest { staging };
    guest.add_text(Path::new("/init"), INIT)?;
    guest.add(&tools.busybox(), Path::new("/bin/busybox"))?;
    let home = Path::new(GUEST_DIRECTORY);
    let mut libraries = BTreeSet::new();
    for test in tests {
        let inside = home.join("tests").join(test_name(test)?);
        guest.add(test, &inside)?;
        guest.strip(&inside)?;
        libraries.extend(needed_by(test)?);
    }
    let agent = workspace.adc_binary("debug");
    let inside = home.join("adc");
    guest.add(&agent, &inside)?;
    guest.strip(&inside)?;
    libraries.extend(needed_by(&agent)?);
    for name in PROGRAMS {
        let program = find_program(name)
            .with_context(|| format!("needs `{name}`; `cargo xtask setup` installs it"))?;
        guest.add(&program, &Path::new("/bin").join(name))?;
        libraries.extend(needed_by(&program)?);
    }
    for (series, modules) in modules {
        let directory = home.join("modules").join(series);
        for (number, module) in modules.iter().enumerate() {
            let file = directory.join(format!("{number:02}-{}.ko", module.name));
            guest.add_bytes(&file, &module.contents)?;
        }
    }
    for library in libraries {
        guest.add(&library, &library)?;
    }
    guest.add(&workspace.xdp_object(), &home.join("adc-xdp"))?;
    let capture = home.join("adc-xdp-capture");
    guest.add(&workspace.capture_object(), &capture)?;
    let handover = home.join("adc-xdp-handover");
    guest.add(&workspace.handover_object(), &handover)?;
    guest.add(&workspace.bench_object(), &home.join("adc-xdp-bench"))?;
    guest.add(&workspace.decap_object(), &home.join("adc-xdp-decap"))?;
    // Tests find their data by the path they were compiled at.
    add_data(&guest, &workspace.root.join("tests"))?;
    let image = directory.join("initramfs.cpio");
    guest.pack(&tools.busybox(), &image)?;
    Ok(image)
}

/// The guest's files, staged in a directory of the host.
struct Guest {
    staging: PathBuf,
}

impl Guest {
    /// Where the absolute guest path `inside` is staged; its directory exists.
    fn host_path(&self, inside: &Path) -> Result<PathBuf> {
        let relative = inside
            .strip_prefix("/")
            .with_context(|| format!("guest path {} is not absolute", inside.display()))?;
        let path = self.staging.join(relative);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        }
        Ok(path)
    }

    fn add(&self, file: &Path, inside: &Path) -> Result<()> {
        let to = self.host_path(inside)?;
        fs::copy(file, &to)
            .with_context(|| format!("copying {} to {}", file.display(), to.display()))?;
        Ok(())
    }

    fn add_bytes(&self, inside: &Path, contents: &[u8]) -> Result<()> {
        let to = self.host_path(inside)?;
        fs::write(&to, contents).with_context(|| format!("writing {}", to.display()))
    }

    fn add_text(&self, inside: &Path, text: &str) -> Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let to = self.host_path(inside)?;
        let doing = || format!("writing {}", to.display());
        fs::write(&to, text).with_context(doing)?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).with_context(doing)
    }

    /// Debug information is most of a test binary, and the image is held in memory twice at boot.
    fn strip(&self, inside: &Path) -> Result<()> {
        if find_program("strip").is_some() {
            let file = self.host_path(inside)?;
            output(Command::new("strip").arg("--strip-debug").arg(file))?;
        }
        Ok(())
    }

    fn pack(&self, busybox: &Path, image: &Path) -> Result<()> {
        let script = "\"$0\" find . | \"$0\" cpio -o -H newc > \"$1\"";
        output(
            Command::new("sh")
                .current_dir(&self.staging)
                .args(["-c", script])
                .arg(busybox)
                .arg(image),
        )?;
        Ok(())
    }
}

/// The libraries and the loader that `program` is linked to.
fn needed_by(program: &Path) -> Result<Vec<PathBuf>> {
    shared_libraries(&output(Command::new("ldd").arg(program))?)
}

/// Paths of the libraries and of the loader in the output of `ldd`.
fn shared_libraries(ldd: &str) -> Result<Vec<PathBuf>> {
    let mut libraries = Vec::new();
    for line in ldd.lines() {
        if line.contains("not found") {
            bail!(
                "the test needs a library that is not there: {}",
                line.trim()
            );
        }
        // `libc.so.6 => /lib/…/libc.so.6 (0x…)` or `/lib64/ld-linux-x86-64.so.2 (0x…)`.
        let path = line.split_once("=> ").map_or(line, |(_, path)| path);
        let path = path.split_whitespace().next().unwrap_or_default();
        if path.starts_with('/') {
            libraries.push(PathBuf::from(path));
        }
    }
    Ok(libraries)
}

fn add_data(guest: &Guest, directory: &Path) -> Result<()> {
    let listing = || format!("listing {}", directory.display());
    for entry in fs::read_dir(directory).with_context(listing)? {
        let path = entry.with_context(listing)?.path();
        if path.is_dir() {
            add_data(guest, &path)?;
        } else if path.extension().is_none_or(|extension| extension != "rs") {
            guest.add(&path, &path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_loader_are_read_from_ldd() {
        let ldd = "\tlinux-vdso.so.1 (0x00007ffc)\n\
                   \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f11)\n\
                   \t/lib64/ld-linux-x86-64.so.2 (0x00007f12)\n";
        assert_eq!(
            shared_libraries(ldd).unwrap(),
            [
                Path::new("/lib/x86_64-linux-gnu/libc.so.6"),
                Path::new("/lib64/ld-linux-x86-64.so.2"),
            ]
        );
    }

    #[test]
    fn missing_library_is_an_error_before_boot() {
        let error = shared_libraries("\tlibz.so.1 => not found\n").unwrap_err();
        assert!(error.to_string().contains("libz.so.1"));
    }

    #[test]
    fn guest_ends_with_the_line_that_is_waited_for() {
        assert!(INIT.contains(&format!("echo \"{DONE}\"")));
    }
}
