//! One program goes on where another was: `execve`, with lock, socket and all that is known kept open across it.
//!
//! The process stays the same one, so nobody sees it end, and the time between two adverts is far longer than an `execve`
//! takes. The new program may be newer or older: what it can not read it does without, and begins as after a crash, with the
//! addresses on.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
        unix::{net, process::CommandExt as _},
    },
    path::Path,
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use nix::{
    fcntl::{FcntlArg, FdFlag, Flock, FlockArg, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::UnixListener;

use super::{
    SavedTask,
    server::{KeeperOptions, Post},
};

/// What is left for the next program.
#[derive(Serialize, Deserialize)]
struct Legacy {
    lock: RawFd,
    listener: RawFd,
    /// Left as it is until the rest is taken: a [`SavedTask`].
    saved: Value,
}

/// What was left by the program before.
pub(super) struct Inherited {
    pub(super) post: Post,
    /// What it knew, unless that can not be read.
    pub(super) saved: Option<SavedTask>,
}

/// Goes on as `program`. Returns only if that fails, and why; then all is as it was.
pub(super) fn go_on_as(program: &Path, post: &Post, saved: &SavedTask) -> io::Error {
    let legacy = match write(post, saved) {
        Ok(legacy) => legacy,
        Err(error) => return error,
    };
    let kept = [post.lock.as_fd(), post.listener.as_fd(), legacy.as_fd()];
    for descriptor in kept {
        if let Err(error) = close_on_exec(descriptor, false) {
            return error;
        }
    }
    tracing::info!("keeper: going on as {}", program.display());
    // Descriptors that this process was started with stay; all others close.
    let error = command(program, &post.options)
        .arg("--handover")
        .arg(legacy.as_raw_fd().to_string())
        .exec();
    for descriptor in kept {
        if let Err(error) = close_on_exec(descriptor, true) {
            tracing::warn!("keeper: after a program that could not be run: {error}");
        }
    }
    let what = format!("running {}: {error}", program.display());
    io::Error::new(error.kind(), what)
}

/// A keeper for the same run directory.
pub(super) fn command(program: &Path, options: &KeeperOptions) -> Command {
    let mut command = Command::new(program);
    command
        .arg0("adc")
        .arg("keeper")
        .arg("--run-dir")
        .arg(&options.run_dir)
        .args(["--log-format", options.log_format.word()]);
    command
}

fn write(post: &Post, saved: &SavedTask) -> io::Result<File> {
    let legacy = Legacy {
        lock: post.lock.as_raw_fd(),
        listener: post.listener.as_raw_fd(),
        saved: serde_json::to_value(saved)?,
    };
    let mut file = File::from(memfd_create("adc-keeper", MFdFlags::MFD_CLOEXEC)?);
    serde_json::to_writer(&mut file, &legacy)?;
    file.rewind()?;
    Ok(file)
}

fn close_on_exec(descriptor: BorrowedFd<'_>, closes: bool) -> io::Result<()> {
    let flag = if closes {
        FdFlag::FD_CLOEXEC
    } else {
        FdFlag::empty()
    };
    fcntl(descriptor, FcntlArg::F_SETFD(flag))?;
    Ok(())
}

/// Takes what the program before left. Needs a Tokio runtime.
///
/// # Errors
/// It left nothing that makes this the keeper: no lock, no socket.
pub(super) fn inherit(options: &KeeperOptions, descriptor: RawFd) -> Result<Inherited> {
    let mut text = String::new();
    File::from(take(descriptor)?)
        .read_to_string(&mut text)
        .context("reading what the keeper's program before this left")?;
    let legacy: Legacy = serde_json::from_str(&text)
        .context("understanding what the keeper's program before this left")?;
    // The lock belongs to the open file, so it is still held; this asks for it again, and gets it.
    let lock = Flock::lock(
        File::from(take(legacy.lock)?),
        FlockArg::LockExclusiveNonblock,
    );
    let lock = lock.map_err(|(_, errno)| io::Error::from(errno))?;
    let listener = net::UnixListener::from(take(legacy.listener)?);
    listener.set_nonblocking(true)?;
    let saved = serde_json::from_value(legacy.saved).inspect_err(|error| {
        tracing::warn!(
            "keeper: what the program before knew can not be read ({error}): listening whether another node took over"
        );
    });
    Ok(Inherited {
        post: Post {
            options: KeeperOptions {
                handover: None,
                ..options.clone()
            },
            lock,
            listener: UnixListener::from_std(listener)?,
        },
        saved: saved.ok(),
    })
}

/// A descriptor that was left open; closes across the next `execve`.
fn take(descriptor: RawFd) -> Result<OwnedFd> {
    let standard = 0..=2;
    if descriptor < 0 || standard.contains(&descriptor) {
        bail!("descriptor {descriptor} was not left by a keeper");
    }
    // SAFETY: the program before this one kept the descriptor open for this purpose, once, and nothing in this process has
    // opened or taken anything yet that could have its number: a number that is not open makes the next call fail.
    let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
    close_on_exec(owned.as_fd(), true).context("taking what the program before left")?;
    Ok(owned)
}
