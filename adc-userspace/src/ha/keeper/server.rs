//! The keeper's process: its lock, its socket, and the task that has the roles.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::{
        fd::RawFd,
        unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use nix::{
    fcntl::{Flock, FlockArg},
    unistd::{geteuid, setsid},
};
use tokio::{
    net::{UnixListener, UnixStream},
    signal::unix::{SignalKind, signal},
    sync::{broadcast, mpsc, oneshot},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    SavedTask,
    connection::{Connection, Replacement},
    handover::{self, Inherited},
    lock_path,
    message::{Build, Event},
    socket_path,
};
use crate::{
    api::proto::{ApiError, ErrorCode},
    ha::{
        RoleChange,
        control::{Command, RoleHook, Shared},
        task::Task,
    },
    telemetry::LogFormat,
};

/// Commands that wait for the task; each is answered or quickly done.
const COMMANDS: usize = 64;

/// Events that wait for an agent that does not read; it is shown the groups anew when it does.
const EVENTS: usize = 64;

/// How long an earlier keeper may take to end.
const LOCK: Duration = Duration::from_secs(3);

/// How often that is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long the last answer may take to be written.
const FAREWELL: Duration = Duration::from_secs(1);

/// What `adc keeper` was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeeperOptions {
    /// Where its socket and lock are.
    pub run_dir: PathBuf,
    /// How log records are written.
    pub log_format: LogFormat,
    /// Descriptor of what an earlier program left; only ever given by one.
    pub handover: Option<RawFd>,
}

/// What makes it the keeper of its run directory.
pub(super) struct Post {
    pub(super) options: KeeperOptions,
    pub(super) lock: Flock<File>,
    pub(super) listener: UnixListener,
}

/// Runs the keeper until it is told to stop.
///
/// # Errors
/// Another keeper has the run directory, or the kernel refuses something.
pub fn run(options: &KeeperOptions) -> Result<()> {
    // Away from the agent's session and process group: what ends those does not end this. Refused to who leads a group
    // already, which is then away by itself.
    setsid().ok();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the keeper's runtime")?
        .block_on(serve(options))
}

async fn serve(options: &KeeperOptions) -> Result<()> {
    let Inherited { post, saved } = match options.handover {
        None => Inherited {
            post: Post::take(options)?,
            saved: None,
        },
        Some(descriptor) => handover::inherit(options, descriptor)?,
    };
    let shared = Arc::<Shared>::default();
    let (events, _) = broadcast::channel(EVENTS);
    let (commands, received) = mpsc::channel(COMMANDS);
    if let Some(saved) = saved {
        let restore = Command::Restore(Box::new(saved));
        let sent = commands.try_send(restore);
        sent.map_err(|_full| anyhow!("going on with what was handed over"))?;
    }
    let task = Task::run(Arc::clone(&shared), hook(events.clone()), received);
    let (replace, replacements) = mpsc::channel(1);
    let mut doors = Doors {
        post,
        connection: Connection {
            commands,
            shared,
            events,
            replace,
        },
        current: None,
        replacements,
    };
    tracing::info!(pid = std::process::id(), "keeper: running");
    let ended = tokio::select! {
        () = task => Ok(()),
        ended = doors.open() => ended,
    };
    if let Some(current) = doors.current.take() {
        // It still answers who told it to stop.
        drop(timeout(FAREWELL, current).await);
    }
    if ended.is_ok() {
        fs::remove_file(socket_path(&options.run_dir)).ok();
        tracing::info!("keeper: stopped");
    }
    ended
}

/// Tells whoever is connected of a role that changed.
fn hook(events: broadcast::Sender<Event>) -> RoleHook {
    Arc::new(move |change: &RoleChange| {
        // Nobody may be there to hear.
        events.send(Event::Role(change.clone())).ok();
    })
}

/// Who comes in.
struct Doors {
    post: Post,
    connection: Connection,
    /// The agent of now.
    current: Option<JoinHandle<()>>,
    replacements: mpsc::Receiver<Replacement>,
}

impl Doors {
    async fn open(&mut self) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate()).context("catching SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("catching SIGINT")?;
        loop {
            tokio::select! {
                accepted = self.post.listener.accept() => match accepted {
                    Ok((stream, _)) => self.admit(stream),
                    // Too many open files, and the like.
                    Err(error) => {
                        tracing::warn!("keeper: accepting a connection: {error}");
                        sleep(LOOK_AGAIN).await;
                    }
                },
                Some(replacement) = self.replacements.recv() => self.replace(replacement).await,
                _ = terminate.recv() => self.stop("SIGTERM").await,
                _ = interrupt.recv() => self.stop("SIGINT").await,
            }
        }
    }

    /// The newest agent is the agent: the one before it may hang.
    fn admit(&mut self, stream: UnixStream) {
        let own = geteuid().as_raw();
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == 0 || peer.uid() == own => {}
            Ok(peer) => {
                tracing::warn!(
                    uid = peer.uid(),
                    "keeper: refused a connection: only root may"
                );
                return;
            }
            Err(error) => {
                tracing::warn!("keeper: refused a connection of nobody known: {error}");
                return;
            }
        }
        let new = tokio::spawn(self.connection.clone().serve(stream));
        if let Some(before) = self.current.replace(new) {
            before.abort();
        }
    }

    async fn stop(&self, signal: &str) {
        tracing::info!("keeper: {signal}: giving up roles");
        let (reply, stopped) = oneshot::channel();
        // If it has ended already, so will this.
        drop(self.connection.commands.send(Command::Stop(reply)).await);
        drop(stopped.await);
    }

    /// Becomes another program; returns only if it can not.
    async fn replace(&mut self, replacement: Replacement) {
        let Replacement {
            programs,
            build,
            refused,
        } = replacement;
        let is_it = |program: &&PathBuf| Build::of(program).is_ok_and(|found| found == build);
        let why = match programs.iter().find(is_it) {
            None => "the program is not where the agent says".to_owned(),
            Some(program) => match self.save().await {
                None => "the keeper is ending".to_owned(),
                Some(saved) => handover::go_on_as(program, &self.post, &saved).to_string(),
            },
        };
        let what = format!("the keeper goes on with its old program: {why}");
        // The agent may have gone.
        refused.send(ApiError::new(ErrorCode::Internal, what)).ok();
    }

    async fn save(&self) -> Option<SavedTask> {
        let (reply, saved) = oneshot::channel();
        let sent = self.connection.commands.send(Command::Save(reply)).await;
        sent.ok()?;
        saved.await.ok()
    }
}

impl Post {
    /// Takes the lock and the socket of a run directory.
    fn take(options: &KeeperOptions) -> Result<Self> {
        let path = lock_path(&options.run_dir);
        let opened = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path);
        let file = opened.with_context(|| {
            format!(
                "opening {}: run as root, with the run_dir of an agent",
                path.display()
            )
        })?;
        let lock = lock(file, &path)?;
        write_pid(&lock).with_context(|| format!("writing {}", path.display()))?;
        let path = socket_path(&options.run_dir);
        // Whoever made one that is there had the lock, and is gone.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", path.display()));
            }
            Ok(()) | Err(_) => {}
        }
        let bound = UnixListener::bind(&path).and_then(|listener| {
            fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            Ok(listener)
        });
        let listener = bound.with_context(|| format!("listening on {}", path.display()))?;
        Ok(Self {
            options: options.clone(),
            lock,
            listener,
        })
    }
}

/// Waits for the lock for a moment: the keeper before this one may be ending.
fn lock(mut file: File, path: &Path) -> Result<Flock<File>> {
    let began = Instant::now();
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((same, _)) if began.elapsed() < LOCK => file = same,
            Err((_, errno)) => {
                let what = format!(
                    "another keeper runs on this node ({} is locked: {errno}); `adc stop` ends it",
                    path.display()
                );
                return Err(ApiError::new(ErrorCode::Conflict, what).into());
            }
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn write_pid(mut file: &File) -> io::Result<()> {
    file.set_len(0)?;
    writeln!(file, "{}", std::process::id())
}
