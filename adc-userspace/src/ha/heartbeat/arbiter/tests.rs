//! Single decisions; the simulation has the stories.

mod witness;

use std::time::Duration;

use super::*;
use crate::{
    ha::heartbeat::{detector::Presence, packet::SyncState},
    model::Profile,
};

const GROUP: GroupId = GroupId(7);
const OWN: NodeId = NodeId(1);
const PEER: NodeId = NodeId(2);
/// Detection and lease of profile `fast`.
const LEASE: u64 = 100;

#[derive(Clone)]
struct Node {
    arbiter: Arbiter,
    start: Instant,
    local: Local,
    seen: Seen,
}

impl Node {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Rules)) -> Self {
        let start = Instant::now();
        let mut rules = Rules::new(Profile::Fast.timing(), true, Duration::ZERO, false);
        change(&mut rules);
        Self {
            arbiter: Arbiter::new(GROUP, rules, start),
            start,
            local: Local {
                node: OWN,
                priority: 100,
                fit: true,
                in_sync: true,
                witness: None,
            },
            seen: Seen {
                verdict: Verdict::Waiting,
                node: PEER,
                claim: None,
                config_differs: false,
                confirmed: None,
            },
        }
    }

    fn at(&self, milliseconds: u64) -> Instant {
        self.start + Duration::from_millis(milliseconds)
    }

    fn step(&mut self, milliseconds: u64) -> Outcome {
        let now = self.at(milliseconds);
        self.arbiter.step(&self.local, &self.seen, now)
    }

    /// The peer is heard, and says this.
    fn hear(&mut self, role: Role, priority: u8, term: u64, milliseconds: u64) {
        self.seen.verdict = Verdict::Present(Presence {
            hears_us: true,
            data_plane_ok: true,
            agent_ok: true,
            sync: SyncState::InSync,
            last: self.at(milliseconds),
        });
        self.seen.claim = Some(Claim {
            group: GROUP,
            role,
            priority,
            term,
            held: false,
            yields: false,
            wants: false,
        });
    }

    /// Active since the given time, because the peer never said anything.
    fn active(milliseconds: u64) -> Self {
        let mut node = Self::new();
        node.step(0);
        node.seen.verdict = Verdict::Silent { last: None };
        assert_eq!(node.step(milliseconds).role, Role::Active);
        node
    }
}

#[test]
fn a_silent_peer_is_replaced_when_its_lease_must_be_over_and_not_before() {
    let mut node = Node::new();
    assert_eq!(node.step(0).role, Role::Backup);
    let last = Some(node.at(1_000));
    node.seen.verdict = Verdict::Silent { last };
    // A lease by this clock, and a thousandth for the other's.
    assert_eq!(node.step(1_000 + LEASE).role, Role::Backup);
    let outcome = node.step(1_000 + LEASE + 1);
    assert_eq!(
        (outcome.role, outcome.news),
        (Role::Active, Some(Why::PeerSilent))
    );
    assert_eq!(outcome.lease, Some(node.at(1_000 + 2 * LEASE + 1)));
    assert_eq!(outcome.claim.term, 1);
}

#[test]
fn who_was_not_run_for_a_lease_stops_before_it_looks_at_anything() {
    let mut node = Node::active(500);
    assert_eq!(node.step(599).role, Role::Active);
    let outcome = node.step(599 + LEASE);
    assert_eq!(
        (outcome.role, outcome.news),
        (Role::Active, None),
        "the peer is silent still"
    );
    assert_eq!(outcome.claim.term, 2, "a new activity");
    // Had the peer taken over meanwhile, it would stay a backup.
    let mut node = Node::active(500);
    node.hear(Role::Active, 50, 2, 2_000);
    let outcome = node.step(2_000);
    assert_eq!(
        (outcome.role, outcome.news),
        (Role::Backup, Some(Why::LeaseLapsed))
    );
    assert_eq!(outcome.lease, None);
}

#[test]
fn of_two_active_ones_the_lower_term_then_priority_then_id_steps_back() {
    // (peer's priority, peer's term, stays)
    let cases = [
        (50, 1, true),
        (50, 2, false),
        (100, 1, false),
        (200, 1, false),
        (200, 0, true),
    ];
    for (priority, term, stays) in cases {
        let mut node = Node::active(500);
        node.hear(Role::Active, priority, term, 510);
        let outcome = node.step(510);
        assert_eq!(
            outcome.role == Role::Active,
            stays,
            "{priority} {term}: {outcome:?}"
        );
        if !stays {
            assert_eq!(outcome.news, Some(Why::Superseded));
            assert_eq!(outcome.lease, None, "nobody asked for that");
        }
    }
}

#[test]
fn a_better_backup_asks_for_the_group_only_when_it_is_in_sync_and_allowed() {
    let wants = |change: &dyn Fn(&mut Node)| {
        let mut node = Node::new();
        node.step(0);
        node.local.priority = 150;
        node.hear(Role::Active, 100, 3, 10);
        change(&mut node);
        node.step(20).claim.wants
    };
    assert!(wants(&|_| {}));
    assert!(!wants(&|node| node.local.in_sync = false));
    assert!(!wants(&|node| node.local.priority = 100));
    assert!(!wants(&|node| node.local.fit = false));
    assert!(!wants(&|node| {
        let (seen, now) = (node.seen, node.at(10));
        node.arbiter.command(Command::Hold, &seen, now).unwrap();
    }));
    let mut patient = Node::with(|rules| rules.preempt_delay = Duration::from_secs(1));
    patient.step(0);
    patient.local.priority = 150;
    patient.hear(Role::Active, 100, 3, 10);
    assert!(!patient.step(20).claim.wants);
    assert!(!patient.step(1_019).claim.wants);
    assert!(patient.step(1_020).claim.wants);
}

#[test]
fn a_peer_without_this_nodes_flows_is_given_nothing_unless_this_node_stops() {
    let mut node = Node::active(500);
    node.hear(Role::Backup, 50, 1, 510);
    if let Verdict::Present(presence) = &mut node.seen.verdict {
        presence.sync = SyncState::Pulling;
    }
    let (seen, now) = (node.seen, node.at(510));
    for command in [Command::Failover, Command::Part] {
        let refused = node.arbiter.command(command, &seen, now);
        assert!(
            matches!(refused, Err(CommandError::PeerUnable(_))),
            "{command:?}"
        );
    }
    assert!(!node.step(520).claim.yields);
    node.arbiter.command(Command::Leave, &seen, now).unwrap();
    assert!(node.step(530).claim.yields);
}

#[test]
fn a_peer_with_another_configuration_is_given_nothing_unless_this_node_stops() {
    let mut node = Node::active(500);
    node.hear(Role::Backup, 200, 1, 510);
    node.seen.config_differs = true;
    // It comes before this node, and asks.
    node.seen.claim.as_mut().unwrap().wants = true;
    assert!(!node.step(510).claim.yields);
    let (seen, now) = (node.seen, node.at(520));
    let refused = node.arbiter.command(Command::Failover, &seen, now);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("configured otherwise"), "{refused}");
    let outcome = node.step(520);
    assert_eq!((outcome.role, outcome.claim.yields), (Role::Active, false));
    let mut alike = node.clone();
    // Groups that belong together are not to stay apart.
    for command in [Command::Leave, Command::Part] {
        let mut node = node.clone();
        node.arbiter.command(command, &seen, now).unwrap();
        assert!(node.step(530).claim.yields, "{command:?}");
    }

    alike.seen.config_differs = false;
    assert!(alike.step(530).claim.yields, "its wish is granted now");
}

#[test]
fn a_peer_with_another_configuration_is_replaced_followed_and_elected_as_any_other() {
    let mut node = Node::active(500);
    node.seen.config_differs = true;
    node.hear(Role::Active, 50, 2, 510);
    assert_eq!(node.step(510).news, Some(Why::Superseded), "by its term");
    let cases = [
        (Why::PeerSilent, Role::Active, false),
        (Why::HandedOver, Role::Active, true),
        (Why::Elected, Role::Backup, false),
    ];
    for (why, role, yields) in cases {
        let mut node = Node::new();
        node.seen.config_differs = true;
        node.step(0);
        node.hear(role, 50, 1, 1_000);
        node.seen.claim.as_mut().unwrap().yields = yields;
        if why == Why::PeerSilent {
            let last = Some(node.at(800));
            node.seen.verdict = Verdict::Silent { last };
        }
        assert_eq!(node.step(1_000).news, Some(why));
    }
}

#[test]
fn what_is_given_away_is_kept_until_it_is_taken_and_taken_back_if_it_is_not() {
    let mut node = Node::active(500);
    node.hear(Role::Backup, 50, 1, 510);
    let (seen, now) = (node.seen, node.at(510));
    node.arbiter.command(Command::Failover, &seen, now).unwrap();
    let outcome = node.step(520);
    assert_eq!((outcome.role, outcome.claim.yields), (Role::Active, true));
    let mut taken = node;
    let mut refused = Node::active(500);
    refused.hear(Role::Backup, 50, 1, 510);
    refused
        .arbiter
        .command(Command::Failover, &seen, now)
        .unwrap();

    taken.hear(Role::Active, 50, 2, 530);
    let outcome = taken.step(530);
    assert_eq!(
        (outcome.role, outcome.news),
        (Role::Backup, Some(Why::Given))
    );
    let asked = 510;
    assert_eq!(
        outcome.lease,
        Some(taken.at(asked + LEASE)),
        "for hosts that do not know yet"
    );
    taken.local.priority = 200;
    let outcome = taken.step(540);
    assert!(!outcome.claim.wants, "it was asked to give it away");
    assert_eq!(outcome.lease, Some(taken.at(asked + LEASE)));
    assert_eq!(taken.step(asked + LEASE).lease, None);

    for milliseconds in (520..710).step_by(20) {
        assert!(refused.step(milliseconds).claim.yields, "{milliseconds}");
    }
    let outcome = refused.step(510 + 2 * LEASE);
    assert_eq!(
        (outcome.role, outcome.news),
        (Role::Active, Some(Why::NotTaken))
    );
    assert!(!outcome.claim.yields);
}

/// Found by the simulation: orders that came one upon the other had both nodes active for all of their time.
#[test]
fn a_group_that_was_given_is_given_on_only_when_the_giver_must_have_stopped() {
    let mut node = Node::new();
    node.step(0);
    node.hear(Role::Active, 50, 1, 1_000);
    node.seen.claim.as_mut().unwrap().yields = true;
    let outcome = node.step(1_000);
    assert_eq!(outcome.news, Some(Why::HandedOver));
    node.hear(Role::Backup, 50, 2, 1_010);
    let (seen, now) = (node.seen, node.at(1_010));
    node.arbiter.command(Command::Failover, &seen, now).unwrap();
    for milliseconds in (1_010..=1_000 + LEASE).step_by(10) {
        assert!(!node.step(milliseconds).claim.yields, "{milliseconds}");
    }
    assert!(node.step(1_001 + LEASE).claim.yields, "a thousandth later");
}

#[test]
fn commands_that_can_not_be_granted_change_nothing() {
    let mut node = Node::new();
    node.step(0);
    let (seen, now) = (node.seen, node.at(1));
    let refused = node.arbiter.command(Command::Failover, &seen, now);
    assert_eq!(refused, Err(CommandError::NotActive));
    let mut node = Node::active(500);
    let (seen, now) = (node.seen, node.at(501));
    let refused = node
        .arbiter
        .command(Command::Failover, &seen, now)
        .unwrap_err();
    assert!(refused.to_string().contains("not heard"), "{refused}");
    assert!(!node.step(510).claim.yields);
}

#[test]
fn a_held_node_never_becomes_active_and_its_peer_does_not_wait_for_it() {
    let mut node = Node::new();
    let (seen, now) = (node.seen, node.at(0));
    node.arbiter.command(Command::Hold, &seen, now).unwrap();
    node.seen.verdict = Verdict::Silent { last: None };
    assert_eq!(node.step(10_000).role, Role::Backup);
    node.arbiter.command(Command::Release, &seen, now).unwrap();
    assert_eq!(node.step(10_010).role, Role::Active);

    let mut other = Node::new();
    other.step(0);
    other.hear(Role::Backup, 200, 0, 10);
    assert_eq!(other.step(10).role, Role::Backup, "the peer comes first");
    other.seen.claim.as_mut().unwrap().held = true;
    assert_eq!(other.step(20).news, Some(Why::PeerUnable));
}

#[test]
fn an_unfit_node_gives_up_at_once_and_says_so() {
    let mut node = Node::active(500);
    node.local.fit = false;
    let outcome = node.step(510);
    assert_eq!(
        (outcome.role, outcome.news),
        (Role::Fault, Some(Why::Unfit))
    );
    assert_eq!(outcome.lease, None);
    node.local.fit = true;
    assert_eq!(node.step(520).role, Role::Backup);
}
