//! The nodes, the network, and what happens to them. Time goes by in milliseconds.

use std::time::{Duration, Instant};

use super::super::{
    admission::Admission,
    arbiter::{Arbiter, Command, Local, Outcome, Rules, Seen},
    detector::Detector,
    packet::{Boot, GroupId, Heartbeat, NodeId, SyncState},
    runner::Statement,
};
use crate::{
    ha::seed::Seed,
    model::{Profile, Timing},
};

pub(super) const GROUP: GroupId = GroupId(1);
pub(super) const PATHS: usize = 2;
/// Percent that a bad path loses. Of one that loses much more, nobody could say whether it is cut.
pub(super) const LOSSY: u8 = 20;

/// What a run may do to its nodes.
#[derive(Clone, Copy)]
pub(super) struct Faults {
    /// All paths between the nodes at once, each direction by itself.
    pub(super) partitions: bool,
    /// A witness is configured, and may be out of a node's reach.
    pub(super) witness: bool,
}

pub(super) struct InFlight {
    pub(super) due: u64,
    pub(super) to: usize,
    pub(super) path: usize,
    pub(super) heartbeat: Heartbeat,
}

/// An agent: what a crash forgets.
pub(super) struct Life {
    pub(super) admission: Admission,
    pub(super) detector: Detector,
    pub(super) arbiter: Arbiter,
    pub(super) echoed: Option<Instant>,
    pub(super) seq: u64,
    pub(super) sent: Vec<Instant>,
    pub(super) boot: Boot,
}

pub(super) struct Node {
    pub(super) id: NodeId,
    pub(super) priority: u8,
    /// Millionths by which its clock is fast.
    pub(super) drift: i64,
    pub(super) life: Option<Life>,
    pub(super) boots: u64,
    /// Milliseconds of true time until which the agent does not run, and what waits in its sockets meanwhile.
    pub(super) frozen_until: u64,
    pub(super) waiting: Vec<(usize, Heartbeat)>,
    /// When it starts again, if it does not live.
    pub(super) dead_until: u64,
    /// The data plane's lease, by its own clock; it outlives the agent.
    pub(super) lease: Option<Instant>,
    pub(super) fit: bool,
    /// Which of two configurations it runs.
    pub(super) config_hash: u64,
    pub(super) next_beat: u64,
    pub(super) last: Option<Outcome>,
}

pub(super) struct World {
    pub(super) random: fastrand::Rng,
    pub(super) base: Instant,
    pub(super) now: u64,
    pub(super) faults: Faults,
    pub(super) timing: Timing,
    pub(super) nodes: [Node; 2],
    pub(super) flying: Vec<InFlight>,
    /// Loss in percent, by sender and path; 100 = cut.
    pub(super) loss: [[u8; PATHS]; 2],
    pub(super) witness: [bool; 2],
    /// Milliseconds that the slowest packet takes: less than between two heartbeats.
    pub(super) slowest_packet: u64,
    _seed: Seed,
}

impl Life {
    /// What it knows of the peer, at this time by its clock.
    fn seen(&self, peer: NodeId, config_hash: u64, clock: Instant) -> Seen {
        let own = Statement {
            config_hash,
            ..Statement::default()
        };
        let newest = self.detector.newest();
        Seen {
            verdict: self.detector.verdict(clock),
            node: peer,
            claim: self.detector.claim(GROUP),
            config_differs: newest.is_some_and(|heartbeat| own.differs_from(heartbeat)),
            confirmed: self.echoed,
        }
    }
}

impl Node {
    pub(super) fn new(id: u64, priority: u8, drift: i64) -> Self {
        Self {
            id: NodeId(id),
            priority,
            drift,
            life: None,
            boots: 0,
            frozen_until: 0,
            waiting: Vec::new(),
            dead_until: 0,
            lease: None,
            fit: true,
            config_hash: 1,
            next_beat: 0,
            last: None,
        }
    }

    /// Its own clock.
    pub(super) fn clock(&self, base: Instant, now: u64) -> Instant {
        let micros = i64::try_from(now).unwrap() * (1_000_000 + self.drift) / 1_000;
        base + Duration::from_micros(u64::try_from(micros).unwrap())
    }

    pub(super) fn serves(&self, base: Instant, now: u64) -> bool {
        let clock = self.clock(base, now);
        self.lease.is_some_and(|lease| lease > clock)
    }
}

impl World {
    pub(super) fn new(seed: u64, faults: Faults, profile: Profile) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut drift = || random.i64(-500..=500);
        let nodes = [Node::new(1, 150, drift()), Node::new(2, 100, drift())];
        let timing = profile.timing();
        let interval = u64::try_from(timing.interval.as_millis()).unwrap();
        Self {
            _seed: Seed(seed),
            slowest_packet: interval * 3 / 4,
            base: Instant::now() + Duration::from_secs(1),
            now: 0,
            faults,
            timing,
            nodes,
            flying: Vec::new(),
            loss: [[0; PATHS]; 2],
            witness: [true; 2],
            random,
        }
    }

    pub(super) fn tick(&mut self) {
        self.now += 1;
        let now = self.now;
        let (due, later) = std::mem::take(&mut self.flying)
            .into_iter()
            .partition(|packet| packet.due <= now);
        self.flying = later;
        for packet in due {
            let InFlight {
                to,
                path,
                heartbeat,
                ..
            } = packet;
            if self.nodes[to].life.is_some() {
                self.nodes[to].waiting.push((path, heartbeat));
            }
        }
        for index in 0..2 {
            self.run(index);
        }
    }

    /// The agent's turn.
    pub(super) fn run(&mut self, index: usize) {
        let now = self.now;
        let peer = self.nodes[1 - index].id;
        let rules = Rules::new(
            self.timing,
            true,
            Duration::from_millis(200),
            self.faults.witness,
        );
        let (base, timing) = (self.base, self.timing);
        let node = &mut self.nodes[index];
        let clock = node.clock(base, now);
        if node.life.is_none() && now >= node.dead_until {
            node.boots += 1;
            node.lease = None;
            node.life = Some(Life {
                admission: Admission::new(node.id, peer, PATHS),
                detector: Detector::new(timing, PATHS, clock),
                arbiter: Arbiter::new(GROUP, rules, clock),
                echoed: None,
                seq: 0,
                sent: Vec::new(),
                boot: Boot(node.boots),
            });
        }
        let Some(life) = &mut node.life else {
            return;
        };
        if now < node.frozen_until {
            return;
        }
        for (path, heartbeat) in std::mem::take(&mut node.waiting) {
            if life.admission.admit(path, &heartbeat).is_ok() {
                life.detector.hear(path, &heartbeat, clock);
                if heartbeat.echo.boot == life.boot {
                    let at = usize::try_from(heartbeat.echo.seq).unwrap();
                    life.echoed = life.sent.get(at - 1).copied().max(life.echoed);
                }
            }
        }
        let seen = life.seen(peer, node.config_hash, clock);
        let local = Local {
            node: node.id,
            priority: node.priority,
            fit: node.fit,
            in_sync: true,
            witness: (self.faults.witness && self.witness[index]).then_some(clock),
        };
        let outcome = life.arbiter.step(&local, &seen, clock);
        node.lease = outcome.lease;
        node.last = Some(outcome);
        // A new role is told at once.
        if now < node.next_beat && outcome.news.is_none() {
            return;
        }
        node.next_beat = now + u64::try_from(timing.interval.as_millis()).unwrap();
        life.seq += 1;
        life.sent.push(clock);
        let heartbeat = |path: usize| Heartbeat {
            node: node.id,
            boot: life.boot,
            seq: life.seq,
            path: u8::try_from(path).unwrap(),
            heard: life.detector.heard(clock),
            echo: life.admission.echo(),
            interval: timing.interval,
            multiplier: timing.multiplier,
            data_plane_ok: node.fit,
            agent_ok: true,
            config_hash: node.config_hash,
            sync: SyncState::InSync,
            groups: vec![outcome.claim],
        };
        for path in 0..PATHS {
            if self.random.u8(0..100) >= self.loss[index][path] {
                self.flying.push(InFlight {
                    due: now + self.random.u64(0..=self.slowest_packet),
                    to: 1 - index,
                    path,
                    heartbeat: heartbeat(path),
                });
            }
        }
    }

    /// Something happens to somebody.
    pub(super) fn disturb(&mut self) {
        let index = self.random.usize(0..2);
        let path = self.random.usize(0..PATHS);
        let lasting = self.random.u64(5..600);
        let until = self.now + lasting;
        let node = &mut self.nodes[index];
        match self.random.u8(0..10) {
            0 => node.frozen_until = until,
            1 => {
                // The agent alone, and its data plane goes on, or the whole machine.
                if self.random.bool() {
                    node.lease = None;
                }
                (node.life, node.dead_until) = (None, until);
                node.waiting.clear();
            }
            2 => node.fit = self.random.bool(),
            3 => self.loss[index][path] = self.random.u8(0..LOSSY),
            4 if self.loss[index][1 - path] < LOSSY => {
                self.loss[index][path] = 100;
                self.loss[index][1 - path] = 0;
            }
            5 if self.faults.partitions => self.loss[index] = [100; PATHS],
            6 => self.loss[index] = [0; PATHS],
            7 if self.faults.witness => self.witness[index] = self.random.bool(),
            8 => {
                let (base, now, peer) = (self.base, self.now, self.nodes[1 - index].id);
                let node = &mut self.nodes[index];
                let clock = node.clock(base, now);
                if let Some(life) = &mut node.life {
                    let seen = life.seen(peer, node.config_hash, clock);
                    // Refused most of the time.
                    let _refused = life.arbiter.command(Command::Failover, &seen, clock);
                }
            }
            9 => node.config_hash = self.random.u64(1..3),
            _ => {}
        }
    }

    /// One thing happens, and nothing else before or after it.
    pub(super) fn one_fault(&mut self) {
        let index = self.random.usize(0..2);
        let until = self.now + self.random.u64(1..1_000);
        match self.random.u8(0..7) {
            0 => self.nodes[index].frozen_until = until,
            1 => {
                // The whole machine.
                let node = &mut self.nodes[index];
                (node.life, node.lease, node.dead_until) = (None, None, until);
            }
            2 => {
                // The agent alone, and its data plane goes on.
                let node = &mut self.nodes[index];
                (node.life, node.dead_until) = (None, until);
            }
            3 => self.nodes[index].fit = false,
            4 => self.loss[index][self.random.usize(0..PATHS)] = 100,
            5 => self.loss[index] = [100; PATHS],
            _ => {
                // Without a third host nothing keeps parted nodes apart.
                if self.faults.witness {
                    self.loss = [[100; PATHS]; 2];
                    self.witness[index] = false;
                }
            }
        }
    }

    pub(super) fn heal(&mut self) {
        self.loss = [[0; PATHS]; 2];
        self.witness = [true; 2];
        for node in &mut self.nodes {
            node.fit = true;
            node.config_hash = 1;
            node.frozen_until = 0;
            node.dead_until = 0;
        }
    }

    pub(super) fn active(&self) -> Vec<usize> {
        let serves = |index: &usize| self.nodes[*index].serves(self.base, self.now);
        (0..2).filter(serves).collect()
    }

    /// The nodes can not know of each other: nothing but the witness could keep them apart.
    pub(super) fn is_parted(&self) -> bool {
        let deaf = |index: usize| self.loss[index] == [100; PATHS];
        deaf(0) && deaf(1) && (!self.faults.witness || self.witness == [true; 2])
    }

    pub(super) fn lease(&self) -> u64 {
        u64::try_from(self.timing.detection().as_millis()).unwrap()
    }
}
