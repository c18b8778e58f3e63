//! The loop of the thread.

use std::{
    collections::VecDeque,
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use super::{AGENT_PATIENCE, Event, Judge, Setup, Shared, View};
use crate::ha::heartbeat::{
    admission::Admission,
    detector::{Detector, Verdict},
    packet::{Claim, Heartbeat, MAX_LENGTH},
    path::{Path, is_gone},
    refusal::Refusal,
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::time::TimeSpec,
};

/// Time between two attempts to open a path.
const REOPEN: Duration = Duration::from_secs(1);

/// How soon a stop is noticed, at least.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Heartbeats whose time of sending is remembered: those that may be on their way, several times over.
const REMEMBERED: usize = 256;

/// Datagrams taken in one go: a flood must not keep us from sending.
const AT_ONCE: usize = 64;

/// Runs until it is told to stop.
pub(super) fn run(
    setup: Setup,
    judge: impl Judge,
    shared: &Shared,
    events: &impl Fn(Event) -> bool,
) {
    let now = Instant::now();
    let paths = setup.paths.len();
    let mut turn = Turn {
        admission: Admission::new(setup.own, setup.peer, paths),
        detector: Detector::new(setup.timing, paths, now),
        paths: (0..paths).map(|_| None).collect(),
        next_open: now,
        next_beat: now,
        seq: 0,
        sent: VecDeque::with_capacity(REMEMBERED),
        confirmed: None,
        told_heard: 0,
        told_peer: false,
        told_differs: false,
        told_trouble: vec![None; paths],
        setup,
        judge,
        shared,
        events,
    };
    while !shared.stops() {
        turn.once();
    }
}

struct Turn<'t, J, E> {
    setup: Setup,
    judge: J,
    shared: &'t Shared,
    events: &'t E,
    admission: Admission,
    detector: Detector,
    /// `None` = could not be opened yet.
    paths: Vec<Option<Path>>,
    next_open: Instant,
    next_beat: Instant,
    seq: u64,
    /// Sequence numbers and when they were sent.
    sent: VecDeque<(u64, Instant)>,
    confirmed: Option<Instant>,
    told_heard: u16,
    told_peer: bool,
    told_differs: bool,
    told_trouble: Vec<Option<String>>,
}

impl<J: Judge, E: Fn(Event) -> bool> Turn<'_, J, E> {
    fn once(&mut self) {
        self.open_paths();
        self.wait();
        self.receive();
        let now = Instant::now();
        self.tell_changes(now);
        let (statement, said) = self.shared.said();
        let judgement = self.judge.decide(&View {
            detector: &self.detector,
            confirmed: self.confirmed,
            statement,
            now,
        });
        if now < self.next_beat && !judgement.urgent {
            return;
        }
        if now >= self.next_beat {
            // Late is late: what was missed is not made up for.
            self.next_beat = (self.next_beat + self.setup.timing.interval).max(now);
        }
        let agent_ok = now.saturating_duration_since(said) < AGENT_PATIENCE;
        self.send(judgement.claims, agent_ok);
    }

    fn open_paths(&mut self) {
        let now = Instant::now();
        if now < self.next_open {
            return;
        }
        self.next_open = now + REOPEN;
        for index in 0..self.paths.len() {
            if self.paths[index].is_some() {
                continue;
            }
            let path = &self.setup.paths[index];
            match Path::open(path, self.setup.port) {
                Ok(open) => {
                    self.paths[index] = Some(open);
                    self.told_trouble[index] = None;
                }
                Err(error) => {
                    let trouble = format!(
                        "opening the heartbeat's path by {} to {}: {error}; trying again",
                        path.interface, path.peer
                    );
                    self.tell_trouble(index, trouble);
                }
            }
        }
    }

    fn tell_trouble(&mut self, path: usize, trouble: String) {
        if self.told_trouble[path].as_ref() != Some(&trouble) {
            self.told_trouble[path] = Some(trouble.clone());
            self.tell(Event::Trouble(trouble));
        }
    }

    /// Until the next heartbeat is due, or something comes.
    fn wait(&self) {
        let open = self.paths.iter().flatten();
        let mut waiting: Vec<PollFd<'_>> = open
            .map(|path| PollFd::new(path.poll_fd(), PollFlags::POLLIN))
            .collect();
        let due = self.next_beat.saturating_duration_since(Instant::now());
        let timeout = TimeSpec::from_duration(due.min(LONGEST_WAIT));
        match ppoll(&mut waiting, Some(timeout), None) {
            // An interrupted wait is a short one.
            Ok(_) | Err(Errno::EINTR) => {}
            // Nothing that this code does; and if it happens, it must not make a loop that eats the processor.
            Err(_) => std::thread::sleep(self.setup.timing.interval),
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; MAX_LENGTH + 1];
        for index in 0..self.paths.len() {
            for _ in 0..AT_ONCE {
                let received = match &self.paths[index] {
                    Some(path) => path.receive(&mut buffer),
                    None => Ok(None),
                };
                match received {
                    Ok(None) => break,
                    Ok(Some(datagram)) => {
                        if let Err(refusal) = self.hear(index, datagram) {
                            self.shared.counters.refuse(refusal);
                        }
                    }
                    Err(error) => {
                        // The interface went: opened again when there is one of that name.
                        let path = &self.setup.paths[index];
                        let trouble = format!(
                            "receiving heartbeats by {}: {error}; opening the path again",
                            path.interface
                        );
                        self.paths[index] = None;
                        self.tell_trouble(index, trouble);
                    }
                }
            }
        }
    }

    fn hear(&mut self, path: usize, datagram: &[u8]) -> Result<(), Refusal> {
        let heartbeat = Heartbeat::decode(datagram, &self.setup.key)?;
        self.admission.admit(path, &heartbeat)?;
        let now = Instant::now();
        if let Some(counters) = self.shared.counters.path(path) {
            counters.received.fetch_add(1, Relaxed);
            if let Some(Some(last)) = self.detector.last_by_path().get(path) {
                let gap = now.saturating_duration_since(*last).as_micros();
                let gap = u64::try_from(gap).unwrap_or(u64::MAX);
                counters.longest_gap.fetch_max(gap, Relaxed);
            }
        }
        self.detector.hear(path, &heartbeat, now);
        if heartbeat.echo.boot == self.setup.boot {
            let mut sent = self.sent.iter();
            let echoed = sent.find(|(seq, _)| *seq == heartbeat.echo.seq);
            self.confirmed = self.confirmed.max(echoed.map(|(_, at)| *at));
        }
        Ok(())
    }

    fn send(&mut self, claims: Vec<Claim>, agent_ok: bool) {
        self.seq += 1;
        let now = Instant::now();
        if self.sent.len() == REMEMBERED {
            self.sent.pop_front();
        }
        self.sent.push_back((self.seq, now));
        let (statement, _) = self.shared.said();
        let mut heartbeat = Heartbeat {
            node: self.setup.own,
            boot: self.setup.boot,
            seq: self.seq,
            path: 0,
            heard: self.detector.heard(now),
            echo: self.admission.echo(),
            interval: self.setup.timing.interval,
            multiplier: self.setup.timing.multiplier,
            data_plane_ok: statement.data_plane_ok,
            agent_ok,
            config_hash: statement.config_hash,
            sync: statement.sync,
            groups: claims,
        };
        for (number, path) in (0_u8..).zip(&mut self.paths) {
            heartbeat.path = number;
            let datagram = heartbeat.encode(&self.setup.key);
            let outcome = path.as_ref().map(|path| path.send(&datagram));
            let sent = matches!(outcome, Some(Ok(())));
            if let Some(Err(error)) = outcome
                && is_gone(&error)
            {
                *path = None;
            }
            if let Some(counters) = self.shared.counters.path(usize::from(number)) {
                let counter = if sent {
                    &counters.sent
                } else {
                    &counters.not_sent
                };
                counter.fetch_add(1, Relaxed);
            }
        }
    }

    fn tell_changes(&mut self, now: Instant) {
        let heard = self.detector.heard(now);
        for path in 0..self.paths.len() {
            let bit = 1 << path;
            if (heard ^ self.told_heard) & bit != 0 {
                let heard = heard & bit != 0;
                self.tell(Event::Path { path, heard });
            }
        }
        self.told_heard = heard;
        let verdict = self.detector.verdict(now);
        if let Verdict::Present(presence) = verdict {
            let agent_ok = &self.shared.counters.peer_agent_ok;
            agent_ok.store(presence.agent_ok, Relaxed);
        }
        let peer = matches!(verdict, Verdict::Present(_));
        if peer != self.told_peer {
            self.told_peer = peer;
            self.tell(Event::Peer { heard: peer });
        }
        let (statement, _) = self.shared.said();
        // Of a peer that is gone there is nothing to be said.
        let newest = self.detector.newest().filter(|_| peer);
        let differs = newest.is_some_and(|peer| statement.differs_from(peer));
        if differs != self.told_differs {
            self.told_differs = differs;
            self.tell(Event::ConfigDiffers(differs));
        }
    }

    fn tell(&self, event: Event) {
        if !(self.events)(event) {
            self.shared.counters.events_lost.fetch_add(1, Relaxed);
        }
    }
}
