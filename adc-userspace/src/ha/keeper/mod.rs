//! The keeper: the process that has the roles, and outlives the agent.
//!
//! `adc keeper` runs the groups (`super::task`). The agent starts it when there are groups, tells it what they are, and
//! hears what becomes of them, over a Unix socket in `run_dir`. An agent that dies or is replaced moves no role; a keeper
//! that dies is started again by the agent; and a keeper of an older program becomes the newer one without letting go
//! ([ADR 0031](../../../../docs/adr/0031-keeper.md)).
//!
//! ```text
//! agent: HaControl ─► supervisor ─► link ═ keeper.sock ═ connection ─► Task: keeper
//!                        └─ launch                         server ─► handover ─► execve
//! ```

mod connection;
mod frame;
mod handover;
mod launch;
mod link;
mod message;
mod seen;
mod server;
mod supervisor;

pub use launch::Place;
pub use message::Settings;
pub(super) use message::{Request, SavedTask};
pub(super) use seen::Seen;
pub use server::{KeeperOptions, run};
pub(super) use supervisor::{Wish, start};

use std::path::{Path, PathBuf};

/// Where the keeper of a run directory listens.
pub fn socket_path(run_dir: &Path) -> PathBuf {
    run_dir.join("keeper.sock")
}

/// Held by the keeper of a run directory for as long as it lives; holds its process id.
fn lock_path(run_dir: &Path) -> PathBuf {
    run_dir.join("keeper.lock")
}
