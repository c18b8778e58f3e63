//! The thread that has the sockets and the clock.
//!
//! A thread of its own, because whoever tracks a session may be busy for longer than a peer waits: the HA thread puts addresses
//! on and waits for the kernel meanwhile. What waits in the sockets is taken in before the clock is looked at, so a thread
//! that was not run for a while does not take its own absence for the peer's.

use std::{
    collections::BTreeMap,
    fmt, io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixDatagram,
    },
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use nix::{
    poll::{PollFd, PollFlags, ppoll},
    sys::time::TimeSpec,
};
use tokio::sync::watch;

use super::{
    channel::{Channel, Way},
    saved::SavedSession,
    speaker::{Outgoing, Speaker},
    wanted::{Path, Wanted},
};
use crate::api::proto::BfdView;

/// How often addresses and interfaces are looked at, and counters are shown.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Datagrams of one peer that are taken in one go: a flood must not keep us from sending.
const AT_ONCE: usize = 32;

/// Ports tried for a session before it waits for the next look.
const PORTS_TRIED: usize = 8;

/// The hold on all sessions. The thread begins with the first.
pub struct Runner {
    shared: Arc<Shared>,
    thread: Mutex<Option<Thread>>,
}

struct Thread {
    /// Wakes it.
    wake: UnixDatagram,
    handle: JoinHandle<()>,
}

struct Shared {
    speaker: Mutex<Speaker>,
    view: watch::Sender<BfdView>,
    stop: AtomicBool,
    /// Packets that were decided on outside the thread.
    waiting: Mutex<Vec<Outgoing>>,
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}

impl Default for Runner {
    fn default() -> Self {
        Self {
            shared: Arc::new(Shared {
                speaker: Mutex::new(Speaker::new(fastrand::u64(..))),
                view: watch::Sender::default(),
                stop: AtomicBool::new(false),
                waiting: Mutex::default(),
            }),
            thread: Mutex::default(),
        }
    }
}

impl Runner {
    /// Makes these the sessions.
    ///
    /// # Errors
    /// The thread can not be started.
    pub fn configure(&self, wanted: &BTreeMap<Path, Wanted>) -> io::Result<()> {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let (outgoing, any) = {
            let mut speaker = self.shared.speaker();
            let outgoing = speaker.configure(now, wall, wanted);
            (outgoing, !speaker.entries.is_empty())
        };
        lock(&self.shared.waiting).extend(outgoing);
        self.shared.publish();
        if any { self.run() } else { Ok(()) }
    }

    /// Everything, as of `base`.
    pub fn save(&self, base: Instant) -> Vec<SavedSession> {
        self.shared.speaker().save(base)
    }

    /// Goes on with what another program knew.
    ///
    /// # Errors
    /// The thread can not be started.
    pub fn restore(&self, base: Instant, saved: Vec<SavedSession>) -> io::Result<()> {
        if saved.is_empty() {
            return Ok(());
        }
        self.shared.speaker().restore(Instant::now(), base, saved);
        self.shared.publish();
        self.run()
    }

    /// How the sessions are, now and whenever that changes.
    pub fn view(&self) -> watch::Receiver<BfdView> {
        self.shared.view.subscribe()
    }

    /// Shows how they are now.
    pub fn publish(&self) {
        self.shared.publish();
    }

    /// Tells every peer that this is on purpose, and ends.
    pub fn stop(&self) {
        let Some(thread) = lock(&self.thread).take() else {
            return;
        };
        self.shared.stop.store(true, Ordering::Relaxed);
        // A full queue wakes it as well.
        thread.wake.send(&[0]).ok();
        let _ended = thread.handle.join();
        self.shared.stop.store(false, Ordering::Relaxed);
    }

    /// Starts the thread, or wakes it.
    fn run(&self) -> io::Result<()> {
        let mut running = lock(&self.thread);
        if let Some(thread) = &*running {
            // A full queue wakes it as well.
            thread.wake.send(&[0]).ok();
            return Ok(());
        }
        let (wake, woken) = UnixDatagram::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let shared = Arc::clone(&self.shared);
        let handle = thread::Builder::new()
            .name("adc-bfd".into())
            .spawn(move || Turn::new(&shared, woken).run())?;
        *running = Some(Thread { wake, handle });
        Ok(())
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn speaker(&self) -> MutexGuard<'_, Speaker> {
        lock(&self.speaker)
    }

    fn publish(&self) {
        let view = {
            let mut speaker = self.speaker();
            speaker.changed = false;
            speaker.view()
        };
        self.view.send_if_modified(|shown| {
            let other = *shown != view;
            *shown = view;
            other
        });
    }
}

/// What the thread has.
struct Turn<'t> {
    shared: &'t Shared,
    woken: UnixDatagram,
    channels: BTreeMap<Path, Channel>,
    look: Instant,
}

impl<'t> Turn<'t> {
    fn new(shared: &'t Shared, woken: UnixDatagram) -> Self {
        Self {
            shared,
            woken,
            channels: BTreeMap::new(),
            look: Instant::now(),
        }
    }

    fn run(mut self) {
        self.open();
        while !self.shared.stop.load(Ordering::Relaxed) {
            let woken = self.wait();
            let mut outgoing = self.receive();
            outgoing.append(&mut lock(&self.shared.waiting));
            let now = Instant::now();
            let look = self.look <= now;
            if woken || look {
                // Before what is due: a session that just began has no socket yet.
                self.open();
            }
            let due = self.shared.speaker().tick(now, SystemTime::now());
            outgoing.extend(due);
            self.send(&outgoing);
            let changed = self.shared.speaker().changed;
            if changed || look {
                self.shared.publish();
            }
            if look {
                self.look = now + LOOK_AGAIN;
            }
        }
        self.say_goodbye();
    }

    /// Until something comes, or is due; whether it was woken because sessions are others.
    fn wait(&self) -> bool {
        let now = Instant::now();
        let deadline = self.shared.speaker().deadline();
        let deadline = deadline.map_or(self.look, |due| due.min(self.look));
        let timeout = TimeSpec::from(deadline.saturating_duration_since(now));
        let channels = self.channels.values().map(AsFd::as_fd);
        let sources: Vec<BorrowedFd<'_>> = channels.chain([self.woken.as_fd()]).collect();
        let sources = sources.into_iter();
        let mut sources: Vec<_> = sources
            .map(|source| PollFd::new(source, PollFlags::POLLIN))
            .collect();
        // A signal: what is due is looked at all the same.
        ppoll(&mut sources, Some(timeout), None).ok();
        let mut woken = false;
        while self.woken.recv(&mut [0; 8]).is_ok() {
            woken = true;
        }
        woken
    }

    fn receive(&self) -> Vec<Outgoing> {
        let mut outgoing = Vec::new();
        for (path, channel) in &self.channels {
            for _ in 0..AT_ONCE {
                match channel.receive() {
                    Ok(Some(datagram)) => {
                        let (now, wall) = (Instant::now(), SystemTime::now());
                        let (data, hops) = (&datagram.data, datagram.hop_limit);
                        let mut speaker = self.shared.speaker();
                        outgoing.extend(speaker.receive(now, wall, path, data, hops));
                    }
                    Ok(None) => break,
                    Err(error) => {
                        tracing::debug!(peer = %path.peer, "BFD: receiving: {error}");
                        break;
                    }
                }
            }
        }
        outgoing
    }

    fn send(&self, outgoing: &[Outgoing]) {
        for Outgoing { path, data } in outgoing {
            let Some(channel) = self.channels.get(path) else {
                continue;
            };
            let failure = channel.send(data).err();
            let failure = failure.map(|error| format!("sending: {error}"));
            self.shared.speaker().note_sent(path, failure);
        }
    }

    /// Opens and closes sockets, as sessions, interfaces and addresses come and go.
    fn open(&mut self) {
        let entries: BTreeMap<_, _> = {
            let speaker = self.shared.speaker();
            let entries = speaker.entries.iter();
            entries.map(|(path, e)| (path.clone(), e.port)).collect()
        };
        self.channels.retain(|path, _| entries.contains_key(path));
        for (path, port) in entries {
            let opened = Way::find(&path).and_then(|way| {
                let known = self.channels.get(&path);
                if known.is_some_and(|channel| channel.suits(way, port)) {
                    return Ok(None);
                }
                // The port may be wanted again.
                self.channels.remove(&path);
                let channel = self.channel(&path, way, port)?;
                Ok(Some((channel, way)))
            });
            match opened {
                Ok(None) => {}
                Ok(Some((channel, way))) => {
                    self.channels.insert(path.clone(), channel);
                    self.note(&path, Ok(way));
                }
                // What is open stays: it may be a moment without a route.
                Err(error) => self.note(&path, Err(&error)),
            }
        }
    }

    fn channel(&self, path: &Path, way: Way, port: u16) -> io::Result<Channel> {
        let mut port = port;
        for _ in 1..PORTS_TRIED {
            match Channel::open(path, way, port) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    let mut speaker = self.shared.speaker();
                    speaker.move_port(path);
                    port = speaker.entries.get(path).map_or(port, |entry| entry.port);
                }
                done => return done,
            }
        }
        Channel::open(path, way, port)
    }

    fn note(&self, path: &Path, found: Result<Way, &io::Error>) {
        let mut speaker = self.shared.speaker();
        let Some(entry) = speaker.entries.get_mut(path) else {
            return;
        };
        match found {
            Ok(way) => (entry.local, entry.trouble) = (Some(way.local()), None),
            Err(error) => {
                let what = format!("opening sockets towards {}: {error}", path.peer);
                if entry.trouble.as_ref() != Some(&what) {
                    tracing::warn!(session = entry.name, "BFD: {what}; trying again");
                }
                entry.trouble = Some(what);
            }
        }
    }

    /// Every peer is told. Nobody is left to tell it for as long as it takes to be sure, so it is told a few times.
    fn say_goodbye(&self) {
        let outgoing = {
            let mut speaker = self.shared.speaker();
            let nothing = BTreeMap::new();
            speaker.configure(Instant::now(), SystemTime::now(), &nothing)
        };
        for _ in 0..3 {
            self.send(&outgoing);
        }
        self.shared.speaker().entries.clear();
        self.shared.publish();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can panic half-way through a change; going on is safe.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
