//! Telling the other node of this node's flows: everything once, then what is news, and what it must not forget.
//!
//! The ring `FLOW_NEWS` is the only queue: while nothing can be sent nothing is taken from it, the packet walk finds it full,
//! counts, and goes on; a walk through the table then tells what was used since.

mod outbox;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, Instant},
};

use adc_common::abi::{Addr4, Addr6, BackendId, FlowEntry, FlowKey, Tick};
use bytemuck::Pod;
use nix::poll::{PollFd, PollFlags};

use self::outbox::{Batch, Outstanding, Payload, note_age};
use super::{
    counts::{add, set},
    frame::{BATCH, Direction, Kind},
    greeting::Keys,
    link::{self, Link, Lost, stopped},
    names::{BackendName, Directory},
    record::Family,
    selection::{Choice, Purpose, choose},
    shared::Shared,
};
use crate::dataplane::{self, DataplaneError, FlowFeed, MainTable, News};

/// Between two looks at the ring while there is news: what comes meanwhile shares a frame, a seal and a system call.
const PACE: Duration = Duration::from_millis(2);

/// How often a node that has nothing to tell says so.
const IDLE: Duration = Duration::from_millis(500);

/// How often the table is walked for what the other node must not forget.
const WALK: Duration = Duration::from_secs(5);

/// How often is asked whether news was lost.
const ASK: Duration = Duration::from_secs(1);

/// News taken before anything else is looked at.
const AT_ONCE: usize = 16 * BATCH;

/// Frames that the other node may have to take yet. More of them are not sent.
const WINDOW: usize = 256;

/// How long it waits for somebody to tell, and for news, before it looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(100);

/// A connection that somebody with the key asked for flows on.
pub(super) struct Caller {
    pub(super) link: Link,
    pub(super) keys: Keys,
}

/// The tables, and whom to tell.
pub(super) struct Sender {
    pub(super) feed: FlowFeed,
    pub(super) v4: MainTable<Addr4>,
    pub(super) v6: MainTable<Addr6>,
    pub(super) shared: Arc<Shared>,
    pub(super) callers: mpsc::Receiver<Caller>,
}

impl Sender {
    /// Until this node stops.
    pub(super) fn run(mut self) {
        let mut next = None;
        loop {
            let caller = match next.take() {
                Some(caller) => caller,
                None => match self.callers.recv_timeout(LOOK) {
                    Ok(caller) => caller,
                    Err(mpsc::RecvTimeoutError::Timeout) if !self.shared.is_stopped() => continue,
                    Err(_) => return,
                },
            };
            self.shared.counters.serving.store(true, Ordering::Relaxed);
            let mut telling = Telling::new(caller, Arc::clone(&self.shared));
            let ended = telling.serve(&mut self, &mut next);
            self.shared.counters.serving.store(false, Ordering::Relaxed);
            set(&self.shared.counters.waiting, 0);
            match ended {
                Ok(()) | Err(Fault::Lost(Lost::Stopped)) => {}
                Err(Fault::Lost(lost)) => {
                    if let Lost::Refused(refusal) = lost {
                        self.shared.counters.refuse(refusal);
                    }
                    tracing::warn!("sync: telling the other node of flows: {lost}");
                }
                Err(Fault::Tables(error)) => tracing::error!("sync: {error}"),
            }
        }
    }
}

/// Why telling ended.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Lost(#[from] Lost),
    #[error("{0}")]
    Tables(#[from] DataplaneError),
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Lost(error.into())
    }
}

/// One connection.
struct Telling {
    link: Link,
    flows: Direction,
    answers: Direction,
    shared: Arc<Shared>,
    directory: Arc<Directory>,
    /// What the other node was told of backends.
    told: HashMap<BackendId, BackendName>,
    names: Vec<u8>,
    v4: Batch,
    v6: Batch,
    frame: Vec<u8>,
    outstanding: VecDeque<Outstanding>,
    sent: Instant,
    again: bool,
}

impl Telling {
    fn new(caller: Caller, shared: Arc<Shared>) -> Self {
        let Keys { flows, answers } = caller.keys;
        Self {
            link: caller.link,
            flows,
            answers,
            directory: shared.directory(),
            shared,
            told: HashMap::new(),
            names: Vec::new(),
            v4: Batch::default(),
            v6: Batch::default(),
            frame: Vec::new(),
            outstanding: VecDeque::new(),
            sent: Instant::now(),
            again: false,
        }
    }

    /// Until the connection is over, or another one asks for the same.
    fn serve(&mut self, sender: &mut Sender, next: &mut Option<Caller>) -> Result<(), Fault> {
        self.name_interfaces()?;
        let mut whole = dataplane::now();
        let mut untold = sender.feed.untold()?;
        self.bulk(sender)?;
        let mut walked = (Instant::now(), dataplane::now());
        let mut asked = Instant::now();
        loop {
            if let Ok(caller) = sender.callers.try_recv() {
                *next = Some(caller);
                return Ok(());
            }
            stopped(&self.shared.stop).map_err(Fault::Lost)?;
            self.follow_directory()?;
            let news = self.drain(&mut sender.feed, AT_ONCE)?;
            self.hear()?;
            if asked.elapsed() >= ASK {
                asked = Instant::now();
                // The time first: what is lost between the two is counted, and not older than it.
                let then = dataplane::now();
                let now = (sender.feed.untold()?, then);
                let lost = now.0.wrapping_sub(untold);
                if lost > 0 {
                    add(&self.shared.counters.untold, lost);
                    add(&self.shared.counters.resyncs, 1);
                    self.walk(sender, Purpose::Since(whole))?;
                }
                (untold, whole) = now;
            }
            if std::mem::take(&mut self.again) {
                self.bulk(sender)?;
            } else if walked.0.elapsed() >= WALK {
                let before = std::mem::replace(&mut walked, (Instant::now(), dataplane::now()));
                self.walk(sender, Purpose::Refresh(before.1))?;
            } else if self.sent.elapsed() >= IDLE {
                self.send(Kind::Idle, 0, Payload::Nothing)?;
            } else if news == 0 {
                self.rest(&sender.feed)?;
            } else {
                std::thread::sleep(PACE);
            }
        }
    }

    /// Waits for news, or for a word of the other node.
    fn rest(&self, feed: &FlowFeed) -> Result<(), Fault> {
        let ring = PollFd::new(feed.poll_fd(), PollFlags::POLLIN);
        let peer = PollFd::new(self.link.poll_fd(), PollFlags::POLLIN);
        let millis = u16::try_from(LOOK.as_millis()).unwrap_or(u16::MAX);
        link::wait(&mut [ring, peer], millis)?;
        Ok(())
    }

    /// Everything, once.
    fn bulk(&mut self, sender: &mut Sender) -> Result<(), Fault> {
        // What is news already is in the table, too.
        while sender.feed.take().is_some() {}
        self.send(Kind::BulkBegins, 0, Payload::Nothing)?;
        self.walk(sender, Purpose::Everything)?;
        self.send(Kind::BulkEnds, 0, Payload::Nothing)
    }

    /// Through both tables. News is told on the way: a walk may take longer than the ring lasts.
    fn walk(&mut self, sender: &mut Sender, purpose: Purpose) -> Result<(), Fault> {
        let Sender { feed, v4, v6, .. } = sender;
        self.walk_family(v4, feed, purpose, |telling| &mut telling.v4)?;
        self.walk_family(v6, feed, purpose, |telling| &mut telling.v6)?;
        self.flush()
    }

    fn walk_family<A: Family>(
        &mut self,
        table: &MainTable<A>,
        feed: &mut FlowFeed,
        purpose: Purpose,
        batch: impl Fn(&mut Self) -> &mut Batch,
    ) -> Result<(), Fault>
    where
        FlowKey<A>: Pod,
        FlowEntry<A>: Pod,
    {
        let now = dataplane::now();
        let mut outcome = Ok(());
        table.walk(|key, entry| {
            if outcome.is_ok() {
                outcome = self.consider(table, feed, purpose, (key, entry), now, &batch);
            }
        })?;
        outcome
    }

    fn consider<A: Family>(
        &mut self,
        table: &MainTable<A>,
        feed: &mut FlowFeed,
        purpose: Purpose,
        (key, entry): (&FlowKey<A>, &FlowEntry<A>),
        now: Tick,
        batch: &impl Fn(&mut Self) -> &mut Batch,
    ) -> Result<(), Fault>
    where
        FlowKey<A>: Pod,
        FlowEntry<A>: Pod,
    {
        let mut entry = *entry;
        match choose(purpose, key, &entry, &self.directory, now) {
            Choice::Leave => return Ok(()),
            Choice::Tell => {}
            Choice::IfOtherSince(then) => {
                let other = table.get(&FlowKey::new(entry.other, key.protocol))?;
                let seen = other.map_or(entry.last_seen, |other| other.last_seen);
                let seen = if now.since(seen) < now.since(entry.last_seen) {
                    seen
                } else {
                    entry.last_seen
                };
                if now.since(seen) > now.since(then) {
                    return Ok(());
                }
                entry.last_seen = seen;
            }
        }
        self.put(key, &entry, now, batch)?;
        if batch(self).flows >= BATCH {
            self.flush()?;
            self.drain(feed, BATCH)?;
            self.hear()?;
        }
        Ok(())
    }

    /// Tells what is news, at most so much of it; how much that was.
    fn drain(&mut self, feed: &mut FlowFeed, most: usize) -> Result<usize, Fault> {
        let now = dataplane::now();
        let mut taken = 0;
        while taken < most {
            let Some(news) = feed.take() else { break };
            taken += 1;
            match news {
                News::V4(news) => {
                    note_age(&mut self.v4, news.entry.last_seen, now);
                    self.put(&news.key, &news.entry, now, &|telling: &mut Self| {
                        &mut telling.v4
                    })?;
                }
                News::V6(news) => {
                    note_age(&mut self.v6, news.entry.last_seen, now);
                    self.put(&news.key, &news.entry, now, &|telling: &mut Self| {
                        &mut telling.v6
                    })?;
                }
            }
            if self.v4.flows >= BATCH || self.v6.flows >= BATCH {
                self.flush()?;
            }
        }
        self.flush()?;
        Ok(taken)
    }
}
