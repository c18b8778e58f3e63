//! Two adc nodes whose heartbeat decides which of them is active.

use adc_tests::{lan::LONG, pair::Pair, require, wait::eventually};

#[test]
fn an_order_moves_the_group_with_a_higher_term_and_back_when_released() {
    require!(namespaces, agent);
    let pair = Pair::by_heartbeat("fast");
    pair.assert_served_by(&pair.first);
    let term = |node: &adc_tests::pair::Node| {
        let status = node.agent.json(&["ha", "status"]);
        status["groups"][0]["ruling"]["term"].as_u64().unwrap()
    };
    let before = term(&pair.first);
    pair.first.agent.ok(&["ha", "failover", "front", "--wait"]);
    pair.wait_for_second();
    assert!(term(&pair.second) > before);
    pair.assert_served_by(&pair.second);
    pair.first.agent.ok(&["ha", "release", "front"]);
    pair.wait_for_first();
    pair.assert_served_by(&pair.first);
}

#[test]
fn one_cut_path_moves_nothing_and_a_node_that_is_cut_off_from_clients_is_unfit() {
    require!(namespaces, agent);
    let pair = Pair::by_heartbeat("fast");
    let heard = |path: usize| {
        let status = pair.second.agent.json(&["ha", "status"]);
        status["heartbeat"]["paths"][path]["heard"] == true
    };
    let cable = pair.cable.as_ref().unwrap();
    eventually(LONG, "both paths are heard", || heard(0) && heard(1));
    cable.a.down();
    eventually(LONG, "the cable is not heard", || !heard(0) && heard(1));
    assert_eq!(pair.first.role(), "active");
    assert_eq!(pair.second.role(), "backup");
    cable.a.up();
    eventually(LONG, "the cable is heard again", || heard(0));

    // Heard by the cable still, but of no use to clients: it gives the group away.
    pair.first.link.down();
    pair.wait_for_second();
    assert_eq!(pair.first.role(), "fault");
    pair.assert_served_by(&pair.second);
    pair.first.link.up();
    pair.wait_for_first();
    pair.assert_served_by(&pair.first);
}

#[test]
fn a_clean_stop_hands_over_first_and_a_dead_node_is_replaced() {
    require!(namespaces, agent);
    let mut pair = Pair::by_heartbeat("fast");
    assert!(pair.first.agent.terminate().success());
    let why = |node: &adc_tests::pair::Node| {
        let status = node.agent.json(&["ha", "status"]);
        status["groups"][0]["why"].as_str().unwrap().to_owned()
    };
    eventually(LONG, "the second node has the VIP, alone", || {
        pair.second.has_all() && pair.first.has_none()
    });
    assert_eq!(why(&pair.second), "the peer handed it over");
    pair.first.agent.restart();
    pair.wait_for_first();

    // Everything of it is gone.
    pair.cable.as_ref().unwrap().a.down();
    pair.first.link.down();
    pair.first.agent.kill9();
    eventually(LONG, "the second node has the VIP", || {
        pair.second.has_all()
    });
    let said = why(&pair.second);
    assert!(said.contains("silent on all paths"), "{said}");
}

#[test]
fn a_held_node_is_not_active_even_alone_until_it_is_released() {
    require!(namespaces, agent);
    let mut pair = Pair::by_heartbeat("fast");
    pair.second.agent.ok(&["ha", "hold", "front"]);
    let refused = pair.first.agent.cli(&["ha", "failover", "front"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(pair.first.agent.terminate().success());
    eventually(LONG, "the peer is silent", || {
        pair.second.agent.json(&["ha", "status"])["heartbeat"]["heard"] == false
    });
    assert!(pair.second.has_none());
    pair.second.agent.ok(&["ha", "release", "front"]);
    eventually(LONG, "the second node has the VIP", || {
        pair.second.has_all()
    });
}
