//! The number of this life, from the clock and from the last one, which is kept in a file.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use super::{admission::next_boot, packet::Boot};

/// Name of the file in `node.state_dir`.
const FILE: &str = "heartbeat-boot";

/// The number of the last life can not be read or kept.
#[derive(Debug, thiserror::Error)]
#[error("keeping the number of this start in {}: {source}; without it the peer may take new heartbeats for recorded ones after this machine's clock was set back", path.display())]
pub struct BootError {
    path: PathBuf,
    source: io::Error,
}

/// Begins a life: a number higher than that of the last one, in `state_dir` as well when this returns.
///
/// # Errors
/// The file can not be read or written.
pub fn begin(state_dir: &Path) -> Result<Boot, BootError> {
    let path = state_dir.join(FILE);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    });
    let attempt = || {
        let boot = next_boot(now, last(&path)?);
        fs::create_dir_all(state_dir)?;
        let unfinished = path.with_extension("new");
        let mut file = fs::File::create(&unfinished)?;
        writeln!(file, "{}", boot.0)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        Ok(boot)
    };
    attempt().map_err(|source| BootError {
        path: path.clone(),
        source,
    })
}

fn last(path: &Path) -> io::Result<Boot> {
    match fs::read_to_string(path) {
        // What is not a number is no reason not to start: the clock alone will do nearly always.
        Ok(text) => Ok(Boot(text.trim().parse().unwrap_or(0))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Boot(0)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_life_has_a_higher_number_than_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let state_dir = directory.path().join("state");
        let first = begin(&state_dir).unwrap();
        assert!(begin(&state_dir).unwrap() > first);
        // The clock was far ahead once.
        fs::write(state_dir.join(FILE), format!("{}\n", u64::MAX / 2)).unwrap();
        assert_eq!(begin(&state_dir).unwrap(), Boot(u64::MAX / 2 + 1));
        fs::write(state_dir.join(FILE), "nonsense").unwrap();
        assert!(begin(&state_dir).unwrap() > first);
    }
}
