//! The control API: how people and programs reach a running agent.
//!
//! [`proto`] holds the JSON types, [`Control`] is the seam that the agent implements, [`server`] speaks
//! HTTP/JSON on a Unix socket, [`client`] is what the command line uses. Nothing here decides anything
//! about traffic. `docs/cli.md` lists routes, fields and error codes.

pub mod client;
mod control;
pub mod proto;
pub mod server;
#[cfg(test)]
pub(crate) mod testing;

pub use control::Control;

use std::path::{Path, PathBuf};

/// Largest request body, bytes. A configuration of 1 000 services with 20 backends each is about 3 MB.
pub const MAX_BODY: usize = 8 << 20;

/// Where the agent of this node listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/adc/control.sock";

/// The control socket in an agent's run directory.
pub fn socket_path(run_dir: &Path) -> PathBuf {
    run_dir.join("control.sock")
}
