//! Two nodes with two groups that move together, on networks that lose, delay and part.
//!
//! Each test runs many random networks. A failure prints the seed; `ADC_SEED` runs that one again.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use super::{Own, lets_go, shared, takes_over_at};
use crate::{
    ha::{
        Role,
        vrrp::{
            Action, Announcing, Family, Heard, Input, Instance, Order, Timing, Tracking, Version,
        },
    },
    model::GroupName,
};

const INTERVAL: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_millis(5);
const ROUNDS: u64 = 60;
const GROUPS: [&str; 2] = ["back", "front"];

/// Longer than any wait of a backup, and of a preemption.
const SETTLED: Duration = Duration::from_secs(3);

struct Member {
    instance: Instance,
    own: Tracking,
    address: IpAddr,
    changes: u32,
}

type Node = BTreeMap<GroupName, Member>;

struct Advert {
    arrives: Instant,
    to: usize,
    group: GroupName,
    heard: Heard,
}

struct Network {
    seed: u64,
    random: fastrand::Rng,
    now: Instant,
    nodes: Vec<Node>,
    adverts: Vec<Advert>,
    loss: u64,
    /// Who is not heard in which group.
    cut: Vec<(usize, GroupName)>,
}

fn names() -> [GroupName; 2] {
    GROUPS.map(|name| name.parse().unwrap())
}

fn member(now: Instant, node: u8, group: u8, preempt: bool) -> Member {
    let timing = Timing {
        version: Version::V3,
        priority: 150 - 50 * node,
        interval: INTERVAL,
        preempt,
        preempt_delay: Duration::from_millis(300),
        announcing: Announcing {
            count: 1,
            repeat_after: INTERVAL,
            repeat_count: 0,
            refresh: None,
        },
    };
    Member {
        instance: Instance::new(now, timing, &[Family::Ipv4]),
        own: Tracking::default(),
        address: Ipv4Addr::new(10, 0, group, 1 + node).into(),
        changes: 0,
    }
}

impl Network {
    /// Both nodes run, and have found each other.
    fn settled(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let now = Instant::now();
        let preempt = random.bool();
        let node = |node| {
            let members = names().into_iter().zip(0..);
            let members = members.map(|(name, at)| (name, member(now, node, at, preempt)));
            members.collect()
        };
        let mut network = Self {
            seed,
            now,
            nodes: vec![node(0), node(1)],
            adverts: Vec::new(),
            loss: 0,
            cut: Vec::new(),
            random,
        };
        for node in 0..2 {
            for name in names() {
                network.link(node, &name, true);
                network.step(node, &name, Input::Started { resume: false });
            }
        }
        network.pass(SETTLED);
        network.assert_one_node_has_both();
        network
    }

    fn member(&mut self, node: usize, name: &GroupName) -> &mut Member {
        self.nodes[node].get_mut(name).unwrap()
    }

    fn step(&mut self, node: usize, name: &GroupName, input: Input) {
        if let Some(why) = self.step_alone(node, name, input) {
            for fellow in names() {
                if fellow != *name {
                    self.step_alone(node, &fellow, Input::LetGo(why.clone()));
                }
            }
        }
    }

    fn step_alone(&mut self, node: usize, name: &GroupName, input: Input) -> Option<String> {
        let now = self.now;
        let member = self.member(node, name);
        let carried = member.instance.carries();
        let actions = member.instance.step(now, input);
        for action in &actions {
            match action {
                Action::Send { priority, .. } => self.send(node, name, *priority),
                Action::Become { .. } => self.member(node, name).changes += 1,
                Action::Announce { .. } => {}
            }
        }
        lets_go(name, &actions).filter(|_| carried)
    }

    fn send(&mut self, from: usize, name: &GroupName, priority: u8) {
        let lost = self.random.u64(0..100) < self.loss;
        if lost || self.cut.contains(&(from, name.clone())) {
            return;
        }
        let heard = Heard {
            family: Family::Ipv4,
            source: self.member(from, name).address,
            priority,
            interval: INTERVAL,
        };
        let delay = Duration::from_millis(self.random.u64(0..8));
        self.adverts.push(Advert {
            arrives: self.now + delay,
            to: 1 - from,
            group: name.clone(),
            heard,
        });
    }

    /// The link of a group comes or goes.
    fn link(&mut self, node: usize, name: &GroupName, up: bool) {
        let own = self.member(node, name).address;
        let own = up.then_some(own).ok_or_else(|| "down".to_owned());
        self.step(node, name, Input::Link(Family::Ipv4, own));
        self.tell(node);
    }

    fn track(&mut self, node: usize, name: &GroupName, tracking: Tracking) {
        self.member(node, name).own = tracking;
        self.tell(node);
    }

    fn tell(&mut self, node: usize) {
        let own = self.nodes[node].iter().map(|(name, member)| {
            let own = Own {
                tracking: member.own.clone(),
                link: member.instance.link_fault().map(str::to_owned),
            };
            (name.clone(), own)
        });
        for (name, tracking) in shared(&own.collect()) {
            self.step(node, &name, Input::Tracking(tracking));
        }
    }

    fn due(&self, node: usize, name: &GroupName) -> bool {
        let members = &self.nodes[node];
        let due = match members[name].instance.role() {
            Role::Backup => takes_over_at(
                members
                    .values()
                    .map(|member| (member.instance.role(), member.instance.deadline())),
            ),
            Role::Init | Role::Active | Role::Fault => members[name].instance.deadline(),
        };
        due.is_some_and(|due| due <= self.now)
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += TICK;
            let now = self.now;
            let (arrived, later) = std::mem::take(&mut self.adverts)
                .into_iter()
                .partition(|advert| advert.arrives <= now);
            self.adverts = later;
            for Advert {
                to, group, heard, ..
            } in arrived
            {
                self.step(to, &group, Input::Advert(heard));
            }
            for node in 0..2 {
                let due = names().into_iter().filter(|name| self.due(node, name));
                for name in due.collect::<Vec<_>>() {
                    self.step(node, &name, Input::Timer);
                }
                self.assert_together(node);
            }
        }
    }

    fn roles(&self, node: usize) -> Vec<Role> {
        let members = self.nodes[node].values();
        members.map(|member| member.instance.role()).collect()
    }

    fn assert_together(&self, node: usize) {
        let roles = self.roles(node);
        let active = roles.iter().filter(|role| **role == Role::Active).count();
        let seed = self.seed;
        assert!(
            active == 0 || active == roles.len(),
            "node {node} has a part: {roles:?}; ADC_SEED={seed}"
        );
    }

    fn assert_one_node_has_both(&self) {
        let both = [self.roles(0), self.roles(1)];
        let all = |role| vec![role; GROUPS.len()];
        let expected = [all(Role::Active), all(Role::Backup)];
        let mut sorted = both.clone();
        sorted.sort_by_key(|roles| roles[0] != Role::Active);
        assert_eq!(sorted, expected, "{both:?}; ADC_SEED={}", self.seed);
    }

    /// Something happens to a node, a group or the network.
    fn disturb(&mut self) {
        let node = self.random.usize(0..2);
        let name = names()[self.random.usize(0..2)].clone();
        match self.random.u8(0..7) {
            0 => self.link(node, &name, false),
            1 => self.link(node, &name, true),
            2 => {
                let fault = Some("unwell".into());
                self.track(node, &name, Tracking { weight: 0, fault });
            }
            3 => {
                let weight = [0, -100][self.random.usize(0..2)];
                let fault = None;
                self.track(node, &name, Tracking { weight, fault });
            }
            4 => self.cut.push((node, name)),
            5 => self.loss = self.random.u64(0..40),
            _ => {
                let orders = [Order::Failover, Order::Hold, Order::Release];
                let order = orders[self.random.usize(0..3)];
                for name in names() {
                    self.step_alone(node, &name, Input::Order(order));
                }
            }
        }
        self.assert_together(node);
    }

    fn heal(&mut self) {
        self.cut.clear();
        self.loss = 0;
        for node in 0..2 {
            for name in names() {
                self.link(node, &name, true);
                self.track(node, &name, Tracking::default());
                self.step_alone(node, &name, Input::Order(Order::Release));
            }
        }
    }

    fn changes(&self) -> u32 {
        let members = self.nodes.iter().flat_map(BTreeMap::values);
        members.map(|member| member.changes).sum()
    }
}

fn seeds() -> Vec<u64> {
    match std::env::var("ADC_SEED").ok().and_then(|s| s.parse().ok()) {
        Some(seed) => vec![seed],
        None => (0..ROUNDS).map(|_| fastrand::u64(..)).collect(),
    }
}

/// The node that has the groups.
fn active(network: &Network) -> usize {
    usize::from(network.roles(0)[0] != Role::Active)
}

#[test]
fn whatever_happens_no_node_ever_has_a_part_and_a_healed_network_ends_with_one_that_has_all() {
    for seed in seeds() {
        let mut network = Network::settled(seed);
        for _ in 0..20 {
            network.disturb();
            let pause = Duration::from_millis(network.random.u64(0..600));
            network.pass(pause);
        }
        network.heal();
        network.pass(SETTLED);
        network.assert_one_node_has_both();
        let before = network.changes();
        network.pass(SETTLED);
        assert_eq!(network.changes(), before, "it flaps; ADC_SEED={seed}");
    }
}

#[test]
fn a_lost_link_of_one_group_moves_all_and_nothing_goes_back_and_forth() {
    for seed in seeds() {
        let mut network = Network::settled(seed);
        let (before, name) = (
            active(&network),
            names()[network.random.usize(0..2)].clone(),
        );
        let changes = network.changes();
        network.link(before, &name, false);
        network.pass(SETTLED);
        assert_eq!(
            network.roles(1 - before),
            [Role::Active; 2],
            "ADC_SEED={seed}"
        );
        assert_eq!(network.roles(before), [Role::Fault; 2], "ADC_SEED={seed}");
        // Two groups left one node and came to the other.
        assert_eq!(network.changes() - changes, 4, "ADC_SEED={seed}");
    }
}

#[test]
fn an_order_for_one_moves_all_and_leaves_them_there() {
    for seed in seeds() {
        let mut network = Network::settled(seed);
        let before = active(&network);
        for name in names() {
            network.step_alone(before, &name, Input::Order(Order::Failover));
        }
        network.pass(SETTLED);
        assert_eq!(
            network.roles(1 - before),
            [Role::Active; 2],
            "ADC_SEED={seed}"
        );
    }
}

#[test]
fn who_is_heard_in_one_group_keeps_all() {
    for seed in seeds() {
        let mut network = Network::settled(seed);
        let before = active(&network);
        network.cut.push((before, names()[0].clone()));
        network.pass(SETTLED);
        assert_eq!(network.roles(before), [Role::Active; 2], "ADC_SEED={seed}");
        assert_eq!(
            network.roles(1 - before),
            [Role::Backup; 2],
            "ADC_SEED={seed}"
        );
    }
}
