//! Nodes on a network that loses, delays, reorders and parts, with clocks that disagree.
//!
//! Each test runs many random networks. A failure prints the seed; `ADC_SEED` runs that one again.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::{Duration, Instant},
};

use super::{Action, Announcing, Family, Heard, Input, Instance, Order, Timing, Tracking, Version};
use crate::ha::{Role, seed::Seed};

/// Between two adverts of version 3.
const HUNDRED: Duration = Duration::from_millis(100);
const ROUNDS: u64 = 300;

/// True time, in microseconds.
type Micros = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives { to: usize, heard: usize },
    Wakes { node: usize },
}

struct Node {
    instance: Instance,
    epoch: Instant,
    /// Parts per thousand of true time that its clock shows.
    rate: u64,
    v4: IpAddr,
    v6: IpAddr,
    alive: bool,
    changes: u32,
}

struct Network {
    seed: u64,
    _told: Seed,
    /// Between two adverts: version 2 has whole seconds, and its skew is a part of one.
    interval: Duration,
    random: fastrand::Rng,
    now: Micros,
    nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<(Micros, Event)>>,
    adverts: Vec<Heard>,
    /// Percent of adverts that get lost.
    loss: u64,
    delay: Micros,
    /// Pairs that can not hear each other: from, to.
    cut: Vec<(usize, usize)>,
}

impl Network {
    fn new(seed: u64, count: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let preempt = random.bool();
        let same_priority = random.u8(0..4) == 0;
        let (version, interval, families): (_, _, &[Family]) = match random.u8(0..4) {
            0 => (Version::V2, Duration::from_secs(1), &[Family::Ipv4]),
            1 => (Version::V3, HUNDRED, &[Family::Ipv4]),
            2 => (Version::V3, HUNDRED, &[Family::Ipv6]),
            _ => (Version::V3, HUNDRED, &[Family::Ipv4, Family::Ipv6]),
        };
        // Which node has the higher address may differ between the families.
        let order6 = random.bool();
        let nodes = (0..count).map(|index| {
            let number = u8::try_from(index).unwrap() + 1;
            let priority = if same_priority {
                100
            } else {
                100 + number * 20
            };
            let timing = Timing {
                version,
                priority,
                interval,
                preempt,
                preempt_delay: interval * 3 * random.u32(0..2),
                announcing: Announcing {
                    count: 1,
                    repeat_after: interval,
                    repeat_count: 1,
                    refresh: None,
                },
            };
            let epoch = Instant::now() + Duration::from_secs(random.u64(0..100_000));
            let number6 = u16::from(if order6 { number } else { 100 - number });
            Node {
                instance: Instance::new(epoch, timing, families),
                epoch,
                rate: random.u64(980..=1020),
                v4: Ipv4Addr::new(10, 0, 0, number).into(),
                v6: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number6).into(),
                alive: false,
                changes: 0,
            }
        });
        let nodes = nodes.collect();
        Self {
            seed,
            _told: Seed(seed),
            interval,
            now: 0,
            nodes,
            queue: BinaryHeap::new(),
            adverts: Vec::new(),
            loss: 0,
            delay: 500,
            cut: Vec::new(),
            random,
        }
    }

    fn start_all(&mut self) {
        for node in 0..self.nodes.len() {
            self.start(node);
        }
    }

    fn start(&mut self, node: usize) {
        let (v4, v6) = (self.nodes[node].v4, self.nodes[node].v6);
        self.nodes[node].alive = true;
        self.step(node, Input::Link(Family::Ipv4, Ok(v4)));
        self.step(node, Input::Link(Family::Ipv6, Ok(v6)));
        self.step(node, Input::Started { resume: false });
    }

    /// What the clock of a node shows.
    fn clock(&self, node: usize) -> Instant {
        let node = &self.nodes[node];
        node.epoch + Duration::from_micros(self.now * node.rate / 1000)
    }

    fn step(&mut self, node: usize, input: Input) {
        if !self.nodes[node].alive {
            return;
        }
        let now = self.clock(node);
        let actions = self.nodes[node].instance.step(now, input);
        for action in actions {
            match action {
                Action::Send { family, priority } => self.broadcast(node, family, priority),
                Action::Become { .. } => self.nodes[node].changes += 1,
                Action::Announce { .. } => {}
            }
        }
        self.wake(node);
    }

    /// Plans the node's next timer.
    fn wake(&mut self, node: usize) {
        let Some(deadline) = self.nodes[node].instance.deadline() else {
            return;
        };
        let wait = deadline.saturating_duration_since(self.clock(node));
        let wait = u64::try_from(wait.as_micros()).unwrap() * 1000 / self.nodes[node].rate;
        let at = self.now + wait + 1;
        self.queue.push(Reverse((at, Event::Wakes { node })));
    }

    fn broadcast(&mut self, from: usize, family: Family, priority: u8) {
        let source = match family {
            Family::Ipv4 => self.nodes[from].v4,
            Family::Ipv6 => self.nodes[from].v6,
        };
        self.adverts.push(Heard {
            family,
            source,
            priority,
            interval: self.interval,
        });
        let heard = self.adverts.len() - 1;
        for to in 0..self.nodes.len() {
            let lost = self.random.u64(0..100) < self.loss;
            // Each has its own delay, so they overtake each other.
            let delay = self.random.u64(1..=self.delay);
            if to != from && !lost && !self.cut.contains(&(from, to)) {
                self.queue
                    .push(Reverse((self.now + delay, Event::Arrives { to, heard })));
            }
        }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + u64::try_from(span.as_micros()).unwrap();
        while let Some(Reverse((at, event))) = self.queue.peek().copied() {
            if at > end {
                break;
            }
            self.queue.pop();
            self.now = at;
            match event {
                Event::Arrives { to, heard } => {
                    let heard = self.adverts[heard];
                    self.step(to, Input::Advert(heard));
                }
                Event::Wakes { node } => {
                    let due = self.nodes[node].instance.deadline();
                    let wait = due.map(|due| due.checked_duration_since(self.clock(node)));
                    match wait {
                        // Rounded down between the clocks: once more.
                        Some(Some(short))
                            if short < Duration::from_micros(9) && !short.is_zero() =>
                        {
                            self.wake(node);
                        }
                        Some(Some(short)) if !short.is_zero() => {}
                        Some(_) => self.step(node, Input::Timer),
                        None => {}
                    }
                }
            }
        }
        self.now = end;
    }

    /// For long enough for every timer of every node, twice.
    fn settle(&mut self) {
        self.run(self.interval * 30);
    }

    fn active(&self) -> Vec<usize> {
        let nodes = self.nodes.iter().enumerate();
        let active = nodes.filter(|(_, n)| n.alive && n.instance.role() == Role::Active);
        active.map(|(index, _)| index).collect()
    }

    #[track_caller]
    fn assert_one_active(&self, when: &str) -> usize {
        let active = self.active();
        assert_eq!(
            active.len(),
            1,
            "active {when}: {active:?}; ADC_SEED={}",
            self.seed
        );
        active[0]
    }
}

fn each(count: usize, run: impl Fn(&mut Network)) {
    let given = std::env::var("ADC_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let first = fastrand::u64(..);
    let seeds = match given {
        Some(seed) => vec![seed],
        None => (0..ROUNDS).map(|round| first.wrapping_add(round)).collect(),
    };
    for seed in seeds {
        run(&mut Network::new(seed, count));
    }
}

#[test]
fn two_nodes_that_start_together_agree_on_one() {
    each(2, |network| {
        network.start_all();
        network.settle();
        network.assert_one_active("after the start");
    });
}

#[test]
fn a_healthy_network_has_exactly_one_active_node_all_the_time() {
    each(3, |network| {
        network.start_all();
        network.settle();
        let active = network.assert_one_active("after the start");
        for _ in 0..100 {
            network.run(network.interval * 37 / 100);
            let still = network.assert_one_active("in peace");
            assert_eq!(still, active, "the role moved; ADC_SEED={}", network.seed);
        }
    });
}

#[test]
fn whatever_happened_before_a_healed_network_ends_with_one() {
    each(3, |network| {
        network.start_all();
        network.loss = network.random.u64(0..80);
        let interval = u64::try_from(network.interval.as_micros()).unwrap();
        network.delay = network.random.u64(1..4 * interval);
        for _ in 0..20 {
            let (from, to) = (network.random.usize(0..3), network.random.usize(0..3));
            match network.random.u8(0..4) {
                0 => network.cut.push((from, to)),
                1 => network.cut.clear(),
                2 => network.nodes[from].alive = false,
                _ => network.start(from),
            }
            let pause = network.random.u32(0..800);
            network.run(network.interval * pause / 100);
        }
        network.cut.clear();
        network.loss = 0;
        network.delay = 500;
        for node in 0..3 {
            // A crashed node starts anew.
            if !network.nodes[node].alive {
                let now = network.clock(node);
                network.nodes[node].instance.step(now, Input::Stopped);
            }
            network.start(node);
        }
        network.settle();
        network.assert_one_active("after all was mended");
    });
}

#[test]
fn a_crash_is_taken_over_within_four_intervals() {
    each(2, |network| {
        network.start_all();
        network.settle();
        let active = network.assert_one_active("before the crash");
        network.nodes[active].alive = false;
        // Three intervals, the skew, the last advert's delay, and clocks that are off by 2 %.
        network.run(network.interval * 4 + network.interval / 5);
        let next = network.assert_one_active("after the crash");
        assert_ne!(next, active, "ADC_SEED={}", network.seed);
    });
}

#[test]
fn both_sides_of_a_partition_have_one_and_the_healed_whole_has_one() {
    each(3, |network| {
        network.start_all();
        network.settle();
        for (from, to) in [(0, 1), (0, 2), (1, 0), (2, 0)] {
            network.cut.push((from, to));
        }
        network.settle();
        assert_eq!(network.active().len(), 2, "ADC_SEED={}", network.seed);
        network.cut.clear();
        network.settle();
        network.assert_one_active("after the partition");
    });
}

#[test]
fn a_hand_over_never_has_two_active_nodes() {
    each(2, |network| {
        network.start_all();
        network.settle();
        let active = network.assert_one_active("before");
        network.step(active, Input::Order(Order::Failover));
        for _ in 0..2_000 {
            network.run(network.interval / 100);
            let now = network.active();
            assert!(now.len() < 2, "{now:?}; ADC_SEED={}", network.seed);
        }
        let next = network.assert_one_active("after the hand-over");
        assert_ne!(next, active, "ADC_SEED={}", network.seed);
    });
}

#[test]
fn a_node_in_fault_is_replaced_and_comes_back_without_a_fight() {
    each(2, |network| {
        network.start_all();
        network.settle();
        let active = network.assert_one_active("before the fault");
        let fault = Some("eth1 is down".to_owned());
        network.step(active, Input::Tracking(Tracking { weight: 0, fault }));
        network.settle();
        let next = network.assert_one_active("in the fault");
        assert_ne!(next, active, "ADC_SEED={}", network.seed);
        network.step(active, Input::Tracking(Tracking::default()));
        network.settle();
        network.assert_one_active("after the fault");
        let changes: u32 = network.nodes.iter().map(|node| node.changes).sum();
        assert!(changes < 12, "{changes} changes; ADC_SEED={}", network.seed);
    });
}
