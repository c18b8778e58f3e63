//! `edits.json` in the state directory.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{Edit, Edits};

/// Name of the file in the state directory.
const FILE: &str = "edits.json";
/// Format of the file. Another number is another format, not a newer one of the same.
const VERSION: u32 = 1;
/// Largest file that is read, in bytes.
const MAX_SIZE: u64 = 64 << 20;

/// Runtime edits could not be loaded or saved.
#[derive(Debug, thiserror::Error)]
#[error("runtime changes in {}: {fault}", path.display())]
pub struct StateError {
    /// The file.
    pub path: PathBuf,
    /// What happened.
    #[source]
    pub fault: StateFault,
}

/// What happened to the file of runtime edits, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StateFault {
    /// It could not be read.
    #[error("can not be read: {0}")]
    Read(#[source] io::Error),
    /// It could not be written; the old file is still in place.
    #[error("can not be written: {0}; the state before this change is still in place")]
    Write(#[source] io::Error),
    /// It is not what this program wrote.
    #[error(
        "the file is damaged ({0}); it is left as it is: mend it, or move it away to go on with the configuration file alone"
    )]
    Damaged(#[source] serde_json::Error),
    /// It is of another version of this program.
    #[error(
        "the file has format {0}, this version of adc writes format {VERSION}; it is left as it is: run the version that wrote it, or move it away to go on with the configuration file alone"
    )]
    Version(u32),
}

#[derive(Deserialize)]
struct Header {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents<E> {
    version: u32,
    edits: E,
}

impl Edits {
    /// Reads the edits kept in `dir`; none if there is no file.
    ///
    /// # Errors
    /// The file can not be read, or is not one of ours. It is left as it is.
    pub fn load(dir: &Path) -> Result<Self, StateError> {
        let path = dir.join(FILE);
        read(&path).map_err(|fault| StateError { path, fault })
    }

    /// Writes the edits to `dir`, atomically and durably: after a crash there is the old file or the new
    /// one. Makes the directory if need be.
    ///
    /// # Errors
    /// It can not be written, or the file that is there is not one of ours; then that file is untouched.
    pub fn save(&self, dir: &Path) -> Result<(), StateError> {
        let path = dir.join(FILE);
        // What this program can not read may be all an operator has left: never replace it.
        let saved =
            read(&path).and_then(|_| write(dir, &path, &self.edits).map_err(StateFault::Write));
        saved.map_err(|fault| StateError { path, fault })
    }
}

fn read(path: &Path) -> Result<Edits, StateFault> {
    let mut text = Vec::new();
    match File::open(path) {
        Ok(file) => file
            .take(MAX_SIZE)
            .read_to_end(&mut text)
            .map_err(StateFault::Read)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Edits::default()),
        Err(error) => return Err(StateFault::Read(error)),
    };
    // The version first: the rest of another format need not make sense to us.
    let header: Header = serde_json::from_slice(&text).map_err(StateFault::Damaged)?;
    if header.version != VERSION {
        return Err(StateFault::Version(header.version));
    }
    let contents: Contents<Vec<Edit>> =
        serde_json::from_slice(&text).map_err(StateFault::Damaged)?;
    Ok(Edits {
        edits: contents.edits,
    })
}

fn write(dir: &Path, path: &Path, edits: &[Edit]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let version = VERSION;
    let mut text = serde_json::to_vec_pretty(&Contents { version, edits })?;
    text.push(b'\n');
    // One agent per node holds the lock, so the name of the temporary file is free.
    let temporary = dir.join(".edits.json.new");
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    // The rename is durable once the directory is.
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::Edit, Edits, FILE, StateFault};

    fn some_edits() -> Edits {
        Edits {
            edits: vec![Edit::ServiceRemove {
                name: "www".parse().unwrap(),
            }],
        }
    }

    #[test]
    fn edits_are_read_back_and_a_missing_file_means_none() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("made/on/demand");
        assert!(Edits::load(&state).unwrap().is_empty());
        some_edits().save(&state).unwrap();
        assert_eq!(Edits::load(&state).unwrap(), some_edits());
        Edits::default().save(&state).unwrap();
        assert!(Edits::load(&state).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_is_not_ours_is_an_error_and_is_never_replaced() {
        let newer = r#"{"version": 2, "changes": {}}"#;
        let unknown = r#"{"version": 1, "edits": [{"edit": "service-rename", "name": "a"}]}"#;
        let bad_name = r#"{"version": 1, "edits": [{"edit": "service-remove", "name": "a b"}]}"#;
        for contents in [
            "",
            "{",
            "null",
            "[1]",
            newer,
            unknown,
            bad_name,
            "\u{0}\u{0}",
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(FILE);
            fs::write(&path, contents).unwrap();
            let error = Edits::load(dir.path()).unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains("edits.json") && text.contains("move it away"),
                "{text}"
            );
            assert_eq!(
                matches!(error.fault, StateFault::Version(2)),
                contents == newer
            );
            some_edits().save(dir.path()).unwrap_err();
            assert_eq!(fs::read_to_string(&path).unwrap(), contents);
        }
    }

    #[test]
    fn a_failed_save_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        some_edits().save(dir.path()).unwrap();
        // A directory in the way of the temporary file; permissions would not stop root.
        fs::create_dir(dir.path().join(".edits.json.new")).unwrap();
        let error = Edits::default().save(dir.path()).unwrap_err();
        assert!(matches!(error.fault, StateFault::Write(_)), "{error}");
        assert_eq!(Edits::load(dir.path()).unwrap(), some_edits());
    }
}
