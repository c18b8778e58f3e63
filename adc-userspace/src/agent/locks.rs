//! What makes one process the agent of a node.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use anyhow::{Context as _, Result};
use nix::fcntl::{Flock, FlockArg};

use crate::{
    api::proto::{ApiError, ErrorCode},
    dataplane::PinDirectory,
};

/// Makes the run directory if need be, and takes the exclusive lock on it: two agents that start at once must not
/// take each other's socket for a dead one's.
pub(super) fn run_dir(run_dir: &Path) -> Result<Flock<File>> {
    let made = if run_dir.is_dir() {
        Ok(())
    } else {
        // Others may enter, whatever the umask: the socket itself says who may connect.
        fs::create_dir_all(run_dir)
            .and_then(|()| fs::set_permissions(run_dir, Permissions::from_mode(0o755)))
    };
    let directory = made.and_then(|()| File::open(run_dir)).with_context(|| {
        format!(
            "opening the run directory {}: run adc as root, or set node.run_dir to a directory that it may use",
            run_dir.display()
        )
    })?;
    Flock::lock(directory, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
        let what = format!(
            "another adc agent runs on this node ({} is locked: {errno}): stop it first, or give this one its own node.run_dir",
            run_dir.display()
        );
        ApiError::new(ErrorCode::Conflict, what).into()
    })
}

/// Takes the exclusive lock on the pin directory: two agents must not write one set of maps.
pub(super) fn pins(pins: &PinDirectory) -> Result<Flock<File>> {
    pin_directory(pins.path())
}

/// The same of the layout before ours, if there is one: an agent of that may run.
pub(super) fn earlier_pins(pins: &PinDirectory) -> Result<Option<Flock<File>>> {
    pins.earlier().map(pin_directory).transpose()
}

fn pin_directory(path: &Path) -> Result<Flock<File>> {
    let directory = File::open(path)
        .with_context(|| format!("opening the pin directory {}", path.display()))?;
    Flock::lock(directory, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
        let what = format!(
            "another adc agent holds the pin directory {} ({errno}): stop it first, or give this one its own dataplane.pin_path",
            path.display()
        );
        ApiError::new(ErrorCode::Conflict, what).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_agents_with_one_run_directory_the_second_is_told_so() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/adc");
        let first = run_dir(&path).unwrap();
        let refused = run_dir(&path).unwrap_err();
        let refused = refused.downcast_ref::<ApiError>().unwrap();
        assert_eq!(refused.code, ErrorCode::Conflict);
        assert!(refused.what.contains("another adc agent"), "{refused}");
        drop(first);
        assert!(run_dir(&path).is_ok(), "the lock ends with its agent");
    }

    #[test]
    fn others_may_enter_a_run_directory_that_was_made_here() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run");
        let _lock = run_dir(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }
}
