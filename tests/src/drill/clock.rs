//! A clock of their own for some processes: CLOCK_REALTIME of the machine is everybody's, and time namespaces leave it alone
//! (time_namespaces(7)), so the C library's functions are replaced by libfaketime's.

use std::{
    fs,
    path::{Path, PathBuf},
};

const LIBRARY: &str = "faketime/libfaketime.so.1";

/// What the processes take for the time of day.
#[derive(Debug)]
pub(super) struct Clock {
    library: PathBuf,
    /// Read at every look at the clock.
    file: PathBuf,
}

impl Clock {
    /// The machine's, for now.
    ///
    /// # Panics
    /// If libfaketime is not installed.
    #[track_caller]
    pub(super) fn new(directory: &Path) -> Self {
        let clock = Self {
            library: library().unwrap_or_else(|reason| panic!("{reason}")),
            file: directory.join("clock"),
        };
        clock.set("+0");
        clock
    }

    /// An hour later.
    pub(super) fn jump(&self) {
        self.set("+3600");
    }

    /// An hour ago.
    pub(super) fn jump_to_the_past(&self) {
        self.set("-3600");
    }

    /// The machine's again.
    pub(super) fn jump_back(&self) {
        self.set("+0");
    }

    /// For the processes.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let set = |name: &str, value: String| (name.to_owned(), value);
        vec![
            set("LD_PRELOAD", self.library.display().to_string()),
            set("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            set("FAKETIME_NO_CACHE", "1".into()),
            set("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }

    fn set(&self, offset: &str) {
        fs::write(&self.file, offset)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", self.file.display()));
    }
}

/// Where the library is.
pub(super) fn library() -> Result<PathBuf, String> {
    let directories = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let candidates = directories.map(|entry| entry.path().join(LIBRARY));
    let found = candidates.into_iter().find(|path| path.is_file());
    found.ok_or_else(|| "needs libfaketime; `cargo xtask setup --for drill` installs it".to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn processes_see_the_jump_and_we_do_not() {
        let Ok(library) = library() else {
            return crate::announce(format_args!("skipped: needs libfaketime"));
        };
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::new(directory.path());
        assert!(clock.library == library);
        let seconds = |clock: &Clock| -> u64 {
            let mut date = Command::new("date");
            date.arg("+%s").envs(clock.environment());
            let output = date.output().unwrap();
            String::from_utf8(output.stdout)
                .unwrap()
                .trim()
                .parse()
                .unwrap()
        };
        let before = seconds(&clock);
        clock.jump();
        assert!(seconds(&clock) >= before + 3600);
        clock.jump_to_the_past();
        assert!(seconds(&clock) < before);
        clock.jump_back();
        assert!(seconds(&clock) >= before);
        assert!(seconds(&clock) < before + 3600);
    }
}
