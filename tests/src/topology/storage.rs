//! Files, pins and the machine-wide lock of a topology.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use nix::{
    mount::{MsFlags, mount},
    sys::statfs::statfs,
};
use tempfile::TempDir;

use crate::net::{leftovers, prefix_of, remove, unique_name};

const BPFFS: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` of linux/magic.h.
const BPFFS_MAGIC: i64 = 0xcafe_4a11;
const LOCK: &str = "/run/adc-tests.lock";

/// Only one topology of tests exists at a time on a machine: timings and spreads are measured in
/// them, and the CPUs are few. Holds for test threads and for test processes.
#[derive(Debug)]
pub(super) struct SerialGuard(#[expect(dead_code, reason = "the lock is held by holding it")] File);

impl SerialGuard {
    /// Waits for its turn, then clears away what killed runs left behind.
    pub(super) fn acquire() -> Self {
        let file = File::create(LOCK).unwrap_or_else(|error| panic!("cannot open {LOCK}: {error}"));
        file.lock()
            .unwrap_or_else(|error| panic!("cannot lock {LOCK}: {error}"));
        let stale: Vec<_> = leftovers()
            .into_iter()
            .filter(|leftover| !leftover.demo)
            .collect();
        remove(&stale);
        Self(file)
    }
}

/// A temporary directory and a directory of pins.
#[derive(Debug)]
pub(super) struct Storage {
    directory: TempDir,
    pin_path: PathBuf,
    keep: bool,
}

impl Storage {
    pub(super) fn new() -> Self {
        mount_bpffs();
        let directory = tempfile::Builder::new()
            .prefix(&prefix_of(std::process::id()))
            .tempdir()
            .unwrap_or_else(|error| panic!("cannot make a temporary directory: {error}"));
        let name = unique_name("pins").replacen("adc", "adc-test-", 1);
        Self {
            directory,
            pin_path: Path::new(BPFFS).join(name),
            keep: false,
        }
    }

    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn pin_path(&self) -> &Path {
        &self.pin_path
    }

    pub(super) fn keep(&mut self) {
        self.directory.disable_cleanup(true);
        self.keep = true;
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        // Unpinning the links detaches the program; never panics, a test may be unwinding.
        match fs::remove_dir_all(&self.pin_path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                eprintln!("cannot remove {}: {error}", self.pin_path.display());
            }
            Ok(()) | Err(_) => {}
        }
    }
}

fn mount_bpffs() {
    let mounted = statfs(BPFFS).is_ok_and(|info| info.filesystem_type().0 == BPFFS_MAGIC);
    if !mounted {
        mount(
            Some("bpf"),
            BPFFS,
            Some("bpf"),
            MsFlags::empty(),
            None::<&str>,
        )
        .unwrap_or_else(|error| panic!("cannot mount bpffs at {BPFFS}: {error}"));
    }
}
