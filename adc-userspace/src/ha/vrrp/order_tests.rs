//! The state machine: stops, faults, tracked things, orders, and two families at once.

use super::{
    Action, Family, Input, Order, Tracking,
    instance_tests::{Node, SECOND, sent, timing},
};
use crate::ha::Role;

#[test]
fn stopping_lets_go_of_the_addresses_and_then_resigns() {
    let mut node = Node::active(timing(100));
    let actions = node.step(Input::Stopped);
    assert!(matches!(
        &actions[0],
        Action::Become {
            role: Role::Init,
            ..
        }
    ));
    assert_eq!(sent(&actions[1..]), [0]);
    assert_eq!(node.instance.deadline(), None);
}

#[test]
fn a_backup_that_stops_says_nothing() {
    let mut node = Node::new(timing(100));
    assert_eq!(sent(&node.step(Input::Stopped)), [0_u8; 0]);
}

#[test]
fn a_fault_ends_the_role_and_its_end_begins_with_listening() {
    let mut node = Node::active(timing(100));
    let fault = Some("eth1 is down".to_owned());
    let actions = node.step(Input::Tracking(Tracking { weight: 0, fault }));
    assert_eq!(node.role(), Role::Fault);
    assert_eq!(sent(&actions), [0]);
    assert_eq!(node.pass(SECOND * 60), []);
    node.step(Input::Tracking(Tracking::default()));
    assert_eq!(node.role(), Role::Backup);
    assert_eq!(node.pass(SECOND * 3), []);
}

#[test]
fn without_an_address_to_send_from_there_is_no_role() {
    let mut node = Node::active(timing(100));
    let actions = node.step(Input::Link(Family::Ipv4, Err("eth0 is down".into())));
    assert_eq!(node.role(), Role::Fault);
    assert_eq!(sent(&actions), [0_u8; 0], "there is nowhere to send from");
}

#[test]
fn weights_move_the_priority_between_1_and_254() {
    let mut node = Node::new(timing(100));
    for (weight, priority) in [
        (-50, 50),
        (-500, 1),
        (i32::MIN, 1),
        (500, 254),
        (i32::MAX, 254),
    ] {
        node.step(Input::Tracking(Tracking {
            weight,
            fault: None,
        }));
        assert_eq!(node.instance.priority(), priority);
    }
}

#[test]
fn a_lost_weight_is_advertised_at_once() {
    let mut node = Node::active(timing(100));
    let lost = Tracking {
        weight: -60,
        fault: None,
    };
    assert_eq!(sent(&node.step(Input::Tracking(lost))), [40]);
}

#[test]
fn an_owner_keeps_its_priority_whatever_is_tracked() {
    let mut node = Node::new(timing(255));
    node.step(Input::Tracking(Tracking {
        weight: -200,
        fault: None,
    }));
    assert_eq!(node.instance.priority(), 255);
}

#[test]
fn a_failover_is_not_undone_by_a_higher_priority() {
    let mut node = Node::active(timing(200));
    assert_eq!(sent(&node.step(Input::Order(Order::Failover))), [0]);
    for _ in 0..20 {
        node.hears("10.0.0.2", 100);
        assert_eq!(node.pass(SECOND), []);
    }
    node.step(Input::Order(Order::Release));
    for _ in 0..5 {
        node.hears("10.0.0.2", 100);
        node.pass(SECOND);
    }
    assert_eq!(node.role(), Role::Active);
}

#[test]
fn a_failover_to_nobody_comes_back() {
    let mut node = Node::active(timing(200));
    node.step(Input::Order(Order::Failover));
    node.pass(SECOND * 8);
    assert_eq!(node.role(), Role::Active);
    assert!(!node.instance.yielded());
}

#[test]
fn a_held_node_is_not_active_even_if_nobody_is() {
    let mut node = Node::active(timing(200));
    assert_eq!(sent(&node.step(Input::Order(Order::Hold))), [0]);
    assert_eq!(node.pass(SECOND * 60), []);
    assert_eq!(node.role(), Role::Backup);
    node.step(Input::Order(Order::Release));
    node.pass(SECOND);
    assert_eq!(node.role(), Role::Active);
}

#[test]
fn a_node_that_was_stopped_without_preempt_lets_the_other_be() {
    let mut calm = timing(200);
    calm.preempt = false;
    let mut node = Node::active(calm);
    // Nothing ran for ten seconds, the advert timer neither.
    node.now += SECOND * 10;
    node.hears("10.0.0.2", 100);
    assert_eq!(node.role(), Role::Backup);
}

/// A node that starts where an agent died.
fn resumed() -> Node {
    let mut node = Node::new(timing(100));
    node.step(Input::Stopped);
    let actions = node.step(Input::Started { resume: true });
    assert!(node.instance.carries(), "{actions:?}");
    assert_eq!(node.role(), Role::Backup);
    node
}

#[test]
fn who_finds_the_addresses_on_keeps_them_if_nobody_speaks_for_an_interval() {
    let mut node = resumed();
    // 1 s + 156/256 s, well before the others lose patience.
    node.pass(SECOND * 2);
    assert_eq!(node.role(), Role::Active);
    assert!(node.instance.carries());
}

#[test]
fn who_finds_the_addresses_on_gives_them_up_at_the_first_advert() {
    let mut node = resumed();
    let actions = node.hears("10.0.0.2", 50);
    assert!(!node.instance.carries());
    assert!(
        matches!(
            &actions[..],
            [Action::Become {
                role: Role::Backup,
                ..
            }]
        ),
        "{actions:?}"
    );
    assert_eq!(node.pass(SECOND * 3), []);
}

#[test]
fn who_finds_the_addresses_on_and_is_held_gives_them_up() {
    let mut node = resumed();
    node.step(Input::Order(Order::Hold));
    assert!(!node.instance.carries());
    let mut node = resumed();
    let fault = Some("eth1 is down".to_owned());
    node.step(Input::Tracking(Tracking { weight: 0, fault }));
    assert!(!node.instance.carries());
}

mod both_families {
    use super::*;

    fn pair() -> Node {
        Node::with(
            timing(100),
            &[(Family::Ipv4, "10.0.0.1"), (Family::Ipv6, "fe80::2")],
        )
    }

    #[test]
    fn one_family_is_enough_to_know_that_the_active_node_lives() {
        let mut node = pair();
        for _ in 0..20 {
            node.hears("fe80::9", 150);
            assert_eq!(node.pass(SECOND), []);
        }
        node.pass(SECOND * 4);
        assert_eq!(node.role(), Role::Active);
    }

    #[test]
    fn the_active_node_advertises_over_both() {
        let mut node = pair();
        let actions = node.pass(SECOND * 4);
        let families = actions.iter().filter_map(|action| match action {
            Action::Send { family, .. } => Some(*family),
            Action::Become { .. } | Action::Announce { .. } => None,
        });
        assert_eq!(families.collect::<Vec<_>>(), [Family::Ipv4, Family::Ipv6]);
    }

    #[test]
    fn a_tie_that_each_family_decides_otherwise_is_decided_by_the_first() {
        let mut node = pair();
        node.pass(SECOND * 4);
        // The other has the lower IPv4 address and the higher IPv6 one.
        node.hears("10.0.0.0", 100);
        node.hears("fe80::9", 100);
        assert_eq!(node.role(), Role::Active);
    }

    #[test]
    fn where_the_first_family_hears_nothing_the_second_decides_a_tie() {
        let mut node = pair();
        node.pass(SECOND * 4);
        node.hears("fe80::9", 100);
        assert_eq!(
            node.role(),
            Role::Active,
            "the first family may only be late"
        );
        node.pass(SECOND);
        node.hears("fe80::9", 100);
        assert_eq!(node.role(), Role::Backup);
    }

    #[test]
    fn one_missing_address_is_a_fault_of_the_group() {
        let mut node = pair();
        node.step(Input::Link(
            Family::Ipv6,
            Err("no link-local address".into()),
        ));
        assert_eq!(node.role(), Role::Fault);
    }
}
