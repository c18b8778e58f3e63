//! Starting a keeper.

use std::{
    io,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::{Child, Command};

use super::{handover, server::KeeperOptions};
use crate::telemetry::LogFormat;

/// This very program, even if its file was replaced or removed since.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// Where a keeper belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its run directory.
    pub run_dir: PathBuf,
    /// How it logs; its standard error is that of whoever starts it.
    pub log_format: LogFormat,
}

/// Starts one that outlives this process: in a session of its own, which it makes itself, and with no open file of ours
/// but standard output and error.
///
/// # Errors
/// The program can not be run.
pub(super) fn keeper(place: &Place) -> io::Result<Child> {
    let options = KeeperOptions {
        run_dir: std::path::absolute(&place.run_dir)?,
        log_format: place.log_format,
        handover: None,
    };
    let mut command = Command::from(handover::command(Path::new(OWN_PROGRAM), &options));
    command
        .stdin(Stdio::null())
        .current_dir("/")
        .kill_on_drop(false);
    command.spawn()
}
