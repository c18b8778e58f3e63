//! What can go wrong between the agent and the kernel.

use std::{io, path::PathBuf};

/// A failed step; the message says what was being done, to what, and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum DataplaneError {
    /// The agent was built without the XDP object.
    #[error(
        "this adc was built without its XDP program: run `cargo xtask build-ebpf`, then build adc again"
    )]
    NoObject,
    /// The pin directory can not be used.
    #[error("{doing} {path}: {source}; check that bpffs is mounted there and that adc may write to it", path = path.display())]
    Pins {
        /// What was being done.
        doing: &'static str,
        /// To which path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The pin directory lies outside bpffs.
    #[error("dataplane.pin_path {path} is not in a BPF file system: choose a path under /sys/fs/bpf", path = .0.display())]
    NotBpffs(PathBuf),
    /// A pinned map is not what this version of adc makes.
    #[error(
        "pinned map {path} has {found}, this adc needs {needed}: another program made it, or it is damaged; stop what uses it, remove {directory} and start again (flows are lost)",
        path = path.display(), directory = directory.display()
    )]
    Layout {
        /// The map.
        path: PathBuf,
        /// Directory to remove.
        directory: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        needed: String,
    },
    /// Another release's maps serve, and this one does not know them.
    #[error(
        "{directory} has maps of layout {found} in use, this adc has layout {own} and takes over layout {before} only: {remedy}; or end them with `adc stop` of their own release (flows are lost)",
        directory = directory.display(), before = own.saturating_sub(1), remedy = strange_remedy(*found, *own)
    )]
    StrangeLayout {
        /// Where it is.
        directory: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        own: u32,
    },
    /// Flows could not be taken over from an earlier layout.
    #[error("{doing} {path}: {reason}; what served before goes on, and the next start tries again", path = path.display())]
    Migration {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
    /// The kernel did not take the program.
    #[error("loading the XDP program: {reason}")]
    Load {
        /// One sentence, remedy included.
        reason: String,
    },
    /// The program does not do what it should.
    #[error("the XDP program: {reason}; restart the agent, which loads it anew")]
    SelfTest {
        /// What it does instead.
        reason: String,
    },
    /// An interface could not be attached to.
    #[error("attaching to {interface}: {reason}")]
    Attach {
        /// Which.
        interface: String,
        /// One sentence, remedy included.
        reason: String,
    },
    /// The decapsulator could not be put on an interface.
    #[error("decapsulating on {interface}: {reason}")]
    Decap {
        /// Which.
        interface: String,
        /// One sentence, remedy included.
        reason: String,
    },
    /// A map operation failed.
    #[error("{doing} in BPF map {map}: {source}")]
    Map {
        /// What was being done.
        doing: &'static str,
        /// Map name.
        map: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// More interfaces than the tables hold.
    #[error("{0} interfaces are more than the {max} that one agent can attach to", max = adc_common::abi::MAX_INTERFACES - 1)]
    TooManyInterfaces(usize),
}

/// What to start in place of this release.
fn strange_remedy(found: u32, own: u32) -> String {
    if found > own {
        "start the newer adc again, which goes on with them".to_owned()
    } else {
        format!(
            "start a release of layout {} in between",
            found.saturating_add(1)
        )
    }
}

impl DataplaneError {
    /// An error of one map from whatever aya says.
    pub(super) fn map(doing: &'static str, map: &'static str, source: impl Into<MapCause>) -> Self {
        let MapCause(source) = source.into();
        Self::Map { doing, map, source }
    }
}

/// The cause of a map error, whichever layer it came from.
pub(super) struct MapCause(io::Error);

impl From<io::Error> for MapCause {
    fn from(error: io::Error) -> Self {
        Self(error)
    }
}

impl From<aya::maps::MapError> for MapCause {
    fn from(error: aya::maps::MapError) -> Self {
        Self(io::Error::other(error))
    }
}
