//! All sessions of a node, without their sockets. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    num::NonZeroU32,
    time::{Duration, Instant, SystemTime},
};

use super::{
    packet::{self, LENGTH, Packet, State},
    refusal::Refusal,
    session::{Action, Session},
    wanted::{Path, Wanted},
};
use crate::api::proto::{BfdCounters, BfdSessionView, BfdView, Timestamp};

/// First of the ports that packets may come from (RFC 5881 §4); the last is 65535.
pub(super) const FIRST_PORT: u16 = 49_152;

/// A packet to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// By which session.
    pub path: Path,
    /// The datagram.
    pub data: [u8; LENGTH],
}

/// A session, and what is told of it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) session: Session,
    /// Where its packets come from.
    pub(super) port: u16,
    pub(super) since: SystemTime,
    pub(super) why: String,
    pub(super) local: Option<IpAddr>,
    pub(super) trouble: Option<String>,
    pub(super) counts: Counts,
}

/// What was counted of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) failed: u64,
    pub(super) received: u64,
    pub(super) transitions: u64,
    pub(super) refused: BTreeMap<Refusal, u64>,
}

/// All sessions.
#[derive(Debug)]
pub struct Speaker {
    pub(super) entries: BTreeMap<Path, Entry>,
    pub(super) random: fastrand::Rng,
    /// Something that others follow is another.
    pub(super) changed: bool,
}

impl Speaker {
    /// No sessions; discriminators, ports and jitter come of `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            entries: BTreeMap::new(),
            random: fastrand::Rng::with_seed(seed),
            changed: false,
        }
    }

    /// Makes these the sessions. One that stays goes on; one that goes tells its peer first.
    pub fn configure(
        &mut self,
        now: Instant,
        wall: SystemTime,
        wanted: &BTreeMap<Path, Wanted>,
    ) -> Vec<Outgoing> {
        let mut outgoing = Vec::new();
        let paths: Vec<_> = self.entries.keys().cloned().collect();
        for path in paths {
            let Some(entry) = self.entries.get_mut(&path) else {
                continue;
            };
            if !wanted.contains_key(&path) && entry.session.leaves.is_none() {
                let actions = entry.session.leave(now);
                self.act(&path, wall, actions, &mut outgoing);
            }
        }
        for (path, wanted) in wanted {
            match self.entries.get_mut(path) {
                Some(entry) if entry.session.leaves.is_none() => {
                    entry.name.clone_from(&wanted.name);
                    entry.session.set(now, wanted.timing, wanted.passive);
                }
                Some(_) | None => {
                    let entry = self.begin(now, wall, wanted);
                    self.entries.insert(path.clone(), entry);
                }
            }
        }
        self.changed = true;
        outgoing
    }

    fn begin(&mut self, now: Instant, wall: SystemTime, wanted: &Wanted) -> Entry {
        let known = self.entries.values();
        let taken: BTreeSet<_> = known.map(|entry| entry.session.discriminator()).collect();
        let discriminator = loop {
            let drawn = NonZeroU32::new(self.random.u32(1..=u32::MAX));
            if let Some(drawn) = drawn.filter(|drawn| !taken.contains(drawn)) {
                break drawn;
            }
        };
        let seed = self.random.u64(..);
        Entry {
            name: wanted.name.clone(),
            session: Session::new(now, discriminator, wanted.timing, wanted.passive, seed),
            port: self.free_port(),
            since: wall,
            why: "it began".into(),
            local: None,
            trouble: None,
            counts: Counts::default(),
        }
    }

    /// A port that no other session of ours has.
    fn free_port(&mut self) -> u16 {
        let taken: BTreeSet<_> = self.entries.values().map(|entry| entry.port).collect();
        loop {
            let drawn = self.random.u16(FIRST_PORT..=u16::MAX);
            if !taken.contains(&drawn) {
                return drawn;
            }
        }
    }

    /// Takes another port for a session: somebody else on this machine has the one it wanted.
    pub(super) fn move_port(&mut self, path: &Path) {
        let port = self.free_port();
        if let Some(entry) = self.entries.get_mut(path) {
            entry.port = port;
        }
    }

    /// Takes in what came from the peer of `path`, with this TTL or hop limit.
    pub fn receive(
        &mut self,
        now: Instant,
        wall: SystemTime,
        path: &Path,
        data: &[u8],
        hop_limit: u8,
    ) -> Vec<Outgoing> {
        let mut outgoing = Vec::new();
        match self.take_in(now, path, data, hop_limit) {
            Ok((path, actions)) => self.act(&path, wall, actions, &mut outgoing),
            Err(refusal) => {
                if let Some(entry) = self.entries.get_mut(path) {
                    *entry.counts.refused.entry(refusal).or_default() += 1;
                }
            }
        }
        outgoing
    }

    fn take_in(
        &mut self,
        now: Instant,
        path: &Path,
        data: &[u8],
        hop_limit: u8,
    ) -> Result<(Path, Vec<Action>), Refusal> {
        let packet = packet::parse(data, hop_limit)?;
        let path = self.meant(path, &packet).ok_or(Refusal::NoSession)?;
        let entry = self.entries.get_mut(&path).ok_or(Refusal::NoSession)?;
        let actions = entry.session.receive(now, &packet)?;
        entry.counts.received += 1;
        Ok((path, actions))
    }

    /// Whose a packet is: that of our discriminator if it has one, else that of the way by which it came (RFC 5880 §6.8.6).
    /// The peer must be the same: discriminators are no secret.
    fn meant(&self, path: &Path, packet: &Packet) -> Option<Path> {
        let Some(discriminator) = NonZeroU32::new(packet.your_discriminator) else {
            return Some(path.clone());
        };
        let is_it = |(known, entry): &(&Path, &Entry)| {
            entry.session.discriminator() == discriminator && known.peer == path.peer
        };
        // The common case first.
        let own = self.entries.get_key_value(path).filter(is_it);
        let found = own.or_else(|| self.entries.iter().find(is_it));
        found.map(|(path, _)| path.clone())
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant, wall: SystemTime) -> Vec<Outgoing> {
        let mut outgoing = Vec::new();
        let due = |entry: &Entry| entry.session.deadline().is_some_and(|due| due <= now);
        let due = self.entries.iter().filter(|(_, entry)| due(entry));
        let due: Vec<_> = due.map(|(path, _)| path.clone()).collect();
        for path in due {
            let Some(entry) = self.entries.get_mut(&path) else {
                continue;
            };
            if entry.session.has_left(now) {
                self.entries.remove(&path);
                self.changed = true;
                continue;
            }
            let actions = entry.session.tick(now);
            self.act(&path, wall, actions, &mut outgoing);
        }
        outgoing
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<Instant> {
        let entries = self.entries.values();
        entries.filter_map(|entry| entry.session.deadline()).min()
    }

    fn act(
        &mut self,
        path: &Path,
        wall: SystemTime,
        actions: Vec<Action>,
        outgoing: &mut Vec<Outgoing>,
    ) {
        let Some(entry) = self.entries.get_mut(path) else {
            return;
        };
        for action in actions {
            match action {
                Action::Send(packet) => outgoing.push(Outgoing {
                    path: path.clone(),
                    data: packet.encode(),
                }),
                Action::Changed { from, to, why } => {
                    if from != to {
                        entry.counts.transitions += 1;
                    }
                    // Half-way up is no news.
                    if to != State::Init {
                        let (name, peer) = (&entry.name, path.peer);
                        tracing::info!(session = %name, %peer, state = to.name(), "BFD: {why}");
                    }
                    entry.since = wall;
                    entry.why = why;
                    self.changed = true;
                }
            }
        }
    }

    /// Notes whether a packet went out.
    pub(super) fn note_sent(&mut self, path: &Path, failure: Option<String>) {
        let Some(entry) = self.entries.get_mut(path) else {
            return;
        };
        match &failure {
            None => entry.counts.sent += 1,
            Some(_) => entry.counts.failed += 1,
        }
        entry.trouble = failure;
    }

    /// What people are shown, and others follow.
    pub fn view(&self) -> BfdView {
        let sessions = self.entries.iter();
        BfdView {
            sessions: sessions.map(|(path, entry)| entry.view(path)).collect(),
        }
    }
}

impl Entry {
    fn view(&self, path: &Path) -> BfdSessionView {
        let session = &self.session;
        let refused = Refusal::ALL.iter().map(|refusal| {
            let count = self.counts.refused.get(refusal).copied().unwrap_or(0);
            (refusal.name().to_owned(), count)
        });
        let heard = session.remote.discriminator != 0;
        let remote = heard.then_some(&session.remote);
        BfdSessionView {
            name: self.name.clone(),
            peer: path.peer,
            interface: path.interface.clone(),
            local: path.local.or(self.local),
            state: session.state,
            verdict: session.verdict,
            diagnostic: session.diagnostic.name().into(),
            why: self.why.clone(),
            since: Timestamp(self.since),
            passive: session.passive,
            local_discriminator: session.local.get(),
            remote_discriminator: remote.map(|remote| remote.discriminator),
            remote_state: remote.map(|remote| remote.state),
            remote_diagnostic: remote.map(|remote| remote.diagnostic.name().into()),
            interval_micros: micros(session.timing.interval),
            multiplier: session.timing.multiplier,
            transmit_micros: session.transmit_interval().map(micros),
            detection_micros: heard.then(|| micros(session.detection_time())),
            trouble: self.trouble.clone(),
            counters: BfdCounters {
                sent: self.counts.sent,
                not_sent: self.counts.failed,
                received: self.counts.received,
                transitions: self.counts.transitions,
                refused: refused.collect(),
            },
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "speaker_tests.rs"]
mod tests;
