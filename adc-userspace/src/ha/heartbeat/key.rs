//! The key that both nodes share.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use hmac::{Hmac, KeyInit as _, digest::array::Array};
use sha2::Sha256;

/// Bytes of the shortest key: those of the hash, as RFC 2104 §3 recommends.
pub const MIN_KEY: usize = 32;

/// Bytes of the longest key.
pub const MAX_KEY: usize = 4096;

/// Permissions that others have.
const OTHERS: u32 = 0o077;

/// A key, ready to seal with.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

/// Why a key file will not do.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It can not be read.
    #[error(
        "reading the heartbeat's key file {path}: {source}; make one with `head -c 64 /dev/urandom > {path}`, mode 600, the same on both nodes"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Others may read or change it.
    #[error(
        "the heartbeat's key file {path} has mode {mode:o}, so others than its owner have access: `chmod 600 {path}`"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Too short or too long.
    #[error(
        "the heartbeat's key file {path} holds {length} bytes, and {MIN_KEY} to {MAX_KEY} are allowed: make one with `head -c 64 /dev/urandom > {path}`"
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes in it, a line end left out.
        length: u64,
    },
}

impl Key {
    /// Of these bytes, however many: [`Self::load`] is what judges them.
    pub fn new(bytes: &[u8]) -> Self {
        // An HMAC takes keys of any length (RFC 2104 §2); an error would be one of the crate's type only.
        let mac = Hmac::new_from_slice(bytes);
        Self(mac.unwrap_or_else(|_any_length| Hmac::new(&Array::default())))
    }

    /// From a file that only its owner has access to. One line end at its end does not count, so that a key may be
    /// text written by an editor.
    ///
    /// # Errors
    /// The file can not be read, others have access to it, or it is too short or too long.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Read {
            path: path.to_owned(),
            source,
        };
        let file = fs::File::open(path).map_err(failed)?;
        let facts = file.metadata().map_err(failed)?;
        let mode = facts.mode() & 0o7777;
        if mode & OTHERS != 0 {
            let path = path.to_owned();
            return Err(KeyError::Open { path, mode });
        }
        let length = |length| KeyError::Length {
            path: path.to_owned(),
            length,
        };
        if facts.len() > MAX_KEY as u64 + 1 {
            return Err(length(facts.len()));
        }
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut io::Read::take(file, MAX_KEY as u64 + 1), &mut bytes)
            .map_err(failed)?;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if !(MIN_KEY..=MAX_KEY).contains(&bytes.len()) {
            return Err(length(bytes.len() as u64));
        }
        Ok(Self::new(&bytes))
    }

    pub(in crate::ha) fn mac(&self) -> &Hmac<Sha256> {
        &self.0
    }
}

impl fmt::Debug for Key {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn load(contents: &[u8], mode: u32) -> Result<Key, KeyError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), contents).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        Key::load(file.path())
    }

    #[test]
    fn a_key_that_others_may_read_or_that_is_short_is_refused() {
        let good = [7; MIN_KEY];
        assert!(load(&good, 0o600).is_ok());
        assert!(load(&good, 0o400).is_ok());
        for mode in [0o640, 0o604, 0o660, 0o644] {
            let error = load(&good, mode).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{error}");
        }
        for length in [0, 1, MIN_KEY - 1, MAX_KEY + 1, MAX_KEY + 2, 2 * MAX_KEY] {
            let error = load(&vec![7; length], 0o600).unwrap_err().to_string();
            assert!(error.contains("32 to 4096"), "{length}: {error}");
        }
        assert!(load(&[7; MAX_KEY], 0o600).is_ok());
    }

    #[test]
    fn a_line_end_behind_the_key_does_not_count() {
        let mut short = vec![b'k'; MIN_KEY - 1];
        short.push(b'\n');
        assert!(load(&short, 0o600).is_err());
    }

    #[test]
    fn a_missing_file_is_explained_and_a_key_is_never_printed() {
        let error = Key::load(Path::new("/nonexistent/key")).unwrap_err();
        assert!(error.to_string().contains("/dev/urandom"), "{error}");
        assert_eq!(format!("{:?}", Key::new(b"secret")), "Key(..)");
    }
}
