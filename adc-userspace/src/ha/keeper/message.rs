//! What agent and keeper say to each other.
//!
//! Both begin with [`Hello`], which every version can read. Then the agent asks, the keeper answers each question in its
//! turn, and tells of events in between. What one side does not know is refused by name, not misread.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    api::proto::{ApiError, BfdView, HaOrder, HaView},
    bfd::{Path, SavedSession, Wanted},
    ha::{
        NodeFacts, RoleChange, heartbeat::runner::Statement, pair::SavedCase, saved::SavedRouter,
    },
    model::{GroupName, Ha, PoolName},
};

/// Version of the messages below. One more whenever an older program would misread one.
pub(super) const PROTOCOL: u32 = 1;

/// The program that links to a running process.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    /// Version of the messages.
    pub(super) protocol: u32,
    /// Version of the program.
    pub(super) version: String,
    /// Which file it was started from.
    pub(super) build: Build,
    /// Process id, as it sees itself.
    pub(super) pid: u32,
}

/// A file with a program: the same only if nobody replaced it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::ha) struct Build(String);

/// What the agent sends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FromAgent {
    /// First.
    Hello(Hello),
    /// A question; its number comes back with the answer.
    Ask(u64, Request),
}

/// What the keeper sends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FromKeeper {
    /// First.
    Hello(Hello),
    /// The answer to a question: done, or why not. What the question made known was told before.
    Answer(u64, Result<(), ApiError>),
    /// Something happened.
    Event(Event),
}

/// What the agent wants.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::ha) enum Request {
    /// These are the groups now.
    Configure(Box<Settings>),
    /// So many backends of these pools take new flows.
    Pools(BTreeMap<PoolName, u32>),
    /// This is what the agent found of the data plane; the error is what is wrong with it.
    SelfTest(Result<(), String>),
    /// The agent works, and says this of the node.
    Say(Statement),
    /// Somebody wants something of a group.
    Order(GroupName, HaOrder),
    /// Tell how the groups are now.
    Publish,
    /// Become this program, without letting go of a role. Never answered if it is done.
    Replace {
        /// Where it is.
        programs: Vec<PathBuf>,
        /// Which file that must be.
        build: Build,
    },
    /// Give up every role, and end.
    Stop,
}

/// What the keeper works by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Groups and peer.
    pub ha: Ha,
    /// Which node this is.
    pub node: NodeFacts,
    /// Interfaces on which addresses of earlier groups may be.
    pub interfaces: BTreeSet<String>,
    /// BFD sessions.
    #[serde(default)]
    pub bfd: Vec<(Path, Wanted)>,
}

/// What the keeper tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Event {
    /// A role is another.
    Role(RoleChange),
    /// How groups and peer are.
    View(Box<HaView>),
    /// How BFD sessions are.
    Bfd(BfdView),
}

/// All that a keeper knows, for the program that takes its place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::ha) struct SavedTask {
    /// When, by the monotonic clock.
    pub(in crate::ha) at: Duration,
    /// What it was told.
    pub(in crate::ha) settings: Settings,
    /// Backends that take new flows.
    pub(in crate::ha) pools: BTreeMap<PoolName, u32>,
    /// What the agent found of the data plane.
    #[serde(default)]
    pub(in crate::ha) self_test: Option<Result<(), String>>,
    /// What it is for each group.
    pub(in crate::ha) groups: Vec<SavedRouter>,
    /// What the agent last said.
    #[serde(default)]
    pub(in crate::ha) statement: Option<Statement>,
    /// What the heartbeat decided.
    #[serde(default)]
    pub(in crate::ha) cases: Vec<SavedCase>,
    /// BFD sessions.
    #[serde(default)]
    pub(in crate::ha) sessions: Vec<SavedSession>,
}

impl Settings {
    /// Whether there is nothing to do.
    pub(in crate::ha) fn is_empty(&self) -> bool {
        self.ha.is_empty() && self.bfd.is_empty()
    }
}

impl Hello {
    /// Of this process.
    ///
    /// # Errors
    /// Its program can not be looked at.
    pub(super) fn own() -> io::Result<Self> {
        Ok(Self {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").into(),
            build: Build::of(OWN_PROGRAM)?,
            pid: std::process::id(),
        })
    }
}

impl Build {
    /// Of a file. Device, inode, size and time of change are enough: whoever installs a program writes another file.
    ///
    /// # Errors
    /// It can not be looked at.
    pub(super) fn of(program: impl AsRef<std::path::Path>) -> io::Result<Self> {
        let file = fs::metadata(program)?;
        let (device, inode, size) = (file.dev(), file.ino(), file.size());
        let (seconds, nanos) = (file.mtime(), file.mtime_nsec());
        Ok(Self(format!(
            "{device:x}-{inode:x}-{size:x}-{seconds:x}.{nanos:x}"
        )))
    }

    /// Where this process's program may be found by another: its path, unless it was replaced since, and through the
    /// process itself.
    pub(super) fn own_programs() -> Vec<PathBuf> {
        let path = std::env::current_exe().ok();
        let process = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
        path.into_iter().chain([process]).collect()
    }
}
