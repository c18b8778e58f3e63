//! The state machine: taking over, staying, giving up.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{Action, Announcing, Family, Heard, Input, Instance, Timing, Version};
use crate::ha::Role;

pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) fn timing(priority: u8) -> Timing {
    Timing {
        version: Version::V3,
        priority,
        interval: SECOND,
        preempt: true,
        preempt_delay: Duration::ZERO,
        announcing: Announcing {
            count: 5,
            repeat_after: SECOND * 5,
            repeat_count: 3,
            refresh: None,
        },
    }
}

/// A node and its clock.
pub(super) struct Node {
    pub(super) instance: Instance,
    pub(super) now: Instant,
}

impl Node {
    pub(super) fn new(timing: Timing) -> Self {
        Self::with(timing, &[(Family::Ipv4, "10.0.0.1")])
    }

    pub(super) fn with(timing: Timing, wires: &[(Family, &str)]) -> Self {
        let now = Instant::now();
        let families: Vec<_> = wires.iter().map(|(family, _)| *family).collect();
        let instance = Instance::new(now, timing, &families);
        let mut node = Self { instance, now };
        for (family, own) in wires {
            node.step(Input::Link(*family, Ok(own.parse().unwrap())));
        }
        node.step(Input::Started { resume: false });
        node
    }

    pub(super) fn step(&mut self, input: Input) -> Vec<Action> {
        self.instance.step(self.now, input)
    }

    /// Lets time pass, with every timer on its way.
    pub(super) fn pass(&mut self, span: Duration) -> Vec<Action> {
        let end = self.now + span;
        let mut actions = Vec::new();
        while let Some(due) = self.instance.deadline().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            actions.extend(self.step(Input::Timer));
        }
        self.now = end;
        actions
    }

    pub(super) fn hears(&mut self, source: &str, priority: u8) -> Vec<Action> {
        self.hears_every(source, priority, SECOND)
    }

    fn hears_every(&mut self, source: &str, priority: u8, interval: Duration) -> Vec<Action> {
        let source: IpAddr = source.parse().unwrap();
        self.step(Input::Advert(Heard {
            family: Family::of(source),
            source,
            priority,
            interval,
        }))
    }

    pub(super) fn role(&self) -> Role {
        self.instance.role()
    }

    /// One that has taken over for want of others.
    pub(super) fn active(timing: Timing) -> Self {
        let mut node = Self::new(timing);
        node.pass(SECOND * 4);
        assert_eq!(node.role(), Role::Active);
        node
    }
}

pub(super) fn sent(actions: &[Action]) -> Vec<u8> {
    let priority = |action: &Action| match action {
        Action::Send { priority, .. } => Some(*priority),
        Action::Become { .. } | Action::Announce { .. } => None,
    };
    actions.iter().filter_map(priority).collect()
}

fn announced(actions: &[Action]) -> Vec<u8> {
    let count = |action: &Action| match action {
        Action::Announce { count } => Some(*count),
        Action::Become { .. } | Action::Send { .. } => None,
    };
    actions.iter().filter_map(count).collect()
}

#[test]
fn alone_it_takes_over_after_three_intervals_and_the_skew() {
    let mut node = Node::new(timing(100));
    assert_eq!(node.role(), Role::Backup);
    // 3 s + 156/256 s.
    assert_eq!(node.pass(Duration::from_millis(3_609)), []);
    let actions = node.pass(Duration::from_millis(1));
    assert_eq!(node.role(), Role::Active);
    let Action::Send { priority: 100, .. } = &actions[0] else {
        panic!("the advert comes before the addresses: {actions:?}");
    };
    assert!(matches!(
        &actions[1],
        Action::Become {
            role: Role::Active,
            ..
        }
    ));
    assert_eq!(actions[2], Action::Announce { count: 5 });
}

#[test]
fn the_active_node_advertises_every_interval_and_announces_a_second_time() {
    let mut node = Node::active(timing(100));
    let actions = node.pass(SECOND * 10);
    assert_eq!(sent(&actions), [100; 10]);
    assert_eq!(announced(&actions), [3]);
}

#[test]
fn addresses_are_announced_again_and_again_if_asked_for() {
    let mut timing = timing(100);
    timing.announcing.repeat_count = 0;
    timing.announcing.refresh = Some(SECOND * 3);
    let mut node = Node::active(timing);
    assert_eq!(announced(&node.pass(SECOND * 10)), [1, 1, 1]);
}

#[test]
fn the_owner_is_active_at_once() {
    let node = Node::new(timing(255));
    assert_eq!(node.role(), Role::Active);
}

#[test]
fn a_backup_waits_as_long_as_it_hears_the_active_node() {
    let mut node = Node::new(timing(100));
    for _ in 0..10 {
        assert_eq!(node.hears("10.0.0.2", 150), []);
        assert_eq!(node.pass(SECOND * 3), []);
    }
    assert!(!node.pass(SECOND).is_empty());
    assert_eq!(node.role(), Role::Active);
}

#[test]
fn an_equal_priority_is_left_in_its_role() {
    let mut node = Node::new(timing(100));
    for _ in 0..10 {
        assert_eq!(node.hears("10.0.0.0", 100), []);
        assert_eq!(node.pass(SECOND), []);
    }
}

#[test]
fn the_interval_of_the_active_node_counts_and_not_our_own() {
    let mut node = Node::new(timing(100));
    node.hears_every("10.0.0.2", 150, Duration::from_millis(10));
    // 3 * 10 ms + 156/256 * 10 ms.
    assert_eq!(node.pass(Duration::from_millis(36)), []);
    assert!(!node.pass(Duration::from_millis(1)).is_empty());
}

#[test]
fn version_two_has_its_skew_in_fractions_of_a_second() {
    let mut v2 = timing(200);
    v2.version = Version::V2;
    v2.interval = SECOND * 2;
    let mut node = Node::new(v2);
    // 6 s + 56/256 s.
    assert_eq!(node.pass(Duration::from_millis(6_218)), []);
    assert!(!node.pass(Duration::from_millis(1)).is_empty());
}

#[test]
fn who_resigns_is_followed_after_the_skew() {
    let mut node = Node::new(timing(254));
    node.hears("10.0.0.2", 255);
    node.hears("10.0.0.2", 0);
    // 2/256 s.
    assert_eq!(node.pass(Duration::from_millis(7)), []);
    let actions = node.pass(Duration::from_millis(1));
    assert!(matches!(&actions[1], Action::Become { why, .. } if why.contains("resigned")));
}

#[test]
fn a_higher_priority_preempts() {
    let mut node = Node::new(timing(200));
    for _ in 0..3 {
        node.hears("10.0.0.2", 100);
        node.pass(SECOND);
    }
    node.pass(SECOND);
    assert_eq!(node.role(), Role::Active);
}

#[test]
fn without_preempt_a_lower_priority_stays_active() {
    let mut timing = timing(200);
    timing.preempt = false;
    let mut node = Node::new(timing);
    for _ in 0..20 {
        node.hears("10.0.0.2", 100);
        assert_eq!(node.pass(SECOND), []);
    }
    node.pass(SECOND * 4);
    assert_eq!(node.role(), Role::Active, "but a silent one is replaced");
}

#[test]
fn preemption_waits_for_its_delay() {
    let mut timing = timing(200);
    timing.preempt_delay = SECOND * 10;
    let mut node = Node::new(timing);
    for _ in 0..10 {
        node.hears("10.0.0.2", 100);
        assert_eq!(node.pass(SECOND), []);
    }
    for _ in 0..4 {
        node.hears("10.0.0.2", 100);
        node.pass(SECOND);
    }
    assert_eq!(node.role(), Role::Active);
}

#[test]
fn the_active_node_gives_up_for_a_higher_priority_and_does_not_resign() {
    let mut node = Node::active(timing(100));
    let actions = node.hears("10.0.0.2", 150);
    assert_eq!(node.role(), Role::Backup);
    assert_eq!(
        sent(&actions),
        [0_u8; 0],
        "a resignation would make third nodes take over"
    );
}

#[test]
fn of_two_active_nodes_of_one_priority_the_higher_address_stays() {
    let mut low = Node::active(timing(100));
    low.hears("10.0.0.2", 100);
    assert_eq!(low.role(), Role::Backup);
    let mut high = Node::active(timing(100));
    let actions = high.hears("10.0.0.0", 100);
    assert_eq!(high.role(), Role::Active);
    assert_eq!(sent(&actions), [100]);
}

#[test]
fn a_lower_priority_is_answered_at_once_and_hosts_are_told_again() {
    let mut node = Node::active(timing(100));
    node.pass(Duration::from_millis(1_500));
    let actions = node.hears("10.0.0.2", 50);
    assert_eq!(sent(&actions), [100]);
    assert_eq!(announced(&actions), [5]);
    node.now += Duration::from_millis(50);
    assert_eq!(
        node.hears("10.0.0.2", 50),
        [],
        "a flood is not answered one to one"
    );
}

#[test]
fn an_active_node_answers_a_resignation_with_an_advert() {
    let mut node = Node::active(timing(100));
    assert_eq!(sent(&node.hears("10.0.0.2", 0)), [100]);
    assert_eq!(node.role(), Role::Active);
}
