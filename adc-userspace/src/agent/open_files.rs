//! How many files this process may open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the number of files that this process may open to what it is allowed: each probe under way, each map and
/// each ring on its way into its place is one, and 1 024 is the usual default. Returns the number.
pub(super) fn allow() -> usize {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, most)| {
        setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
        Ok(usize::try_from(most).unwrap_or(usize::MAX))
    });
    raised.unwrap_or_else(|error| {
        tracing::warn!(
            "raising the number of open files: {error}; many dead backends may delay checks"
        );
        0
    })
}
