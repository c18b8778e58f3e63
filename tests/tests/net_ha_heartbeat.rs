//! Two adc nodes whose heartbeat decides which of them is active.

use std::time::{Duration, Instant};

use adc_tests::{
    lan::LONG,
    pair::{Node, Pair},
    require,
    wait::eventually,
};

/// The last change of the group's role.
fn last_change(node: &Node) -> serde_json::Value {
    let status = node.agent.json(&["ha", "status"]);
    let changes = status["groups"][0]["changes"].as_array();
    changes
        .and_then(|all| all.last())
        .expect("a change")
        .clone()
}

/// Who becomes active is served by the data plane, has the addresses, and tells of them, in this order.
fn assert_in_order(change: &serde_json::Value) {
    let took = |part: &str| change["took"][part].as_u64();
    let lease = took("lease_micros").unwrap_or_else(|| panic!("no lease: {change}"));
    let parts = [
        Some(lease),
        took("addresses_micros"),
        took("announcement_micros"),
    ];
    assert!(parts.is_sorted(), "{change}");
}

#[test]
fn an_order_moves_the_group_with_a_higher_term_and_back_when_released() {
    require!(namespaces, agent);
    let pair = Pair::by_heartbeat("fast");
    pair.assert_served_by(&pair.first);
    let term = |node: &Node| {
        let status = node.agent.json(&["ha", "status"]);
        status["groups"][0]["ruling"]["term"].as_u64().unwrap()
    };
    let before = term(&pair.first);
    pair.first.agent.ok(&["ha", "failover", "front", "--wait"]);
    pair.wait_for_second();
    assert!(term(&pair.second) > before);
    eventually(LONG, "the first node tells how long it took", || {
        let change = last_change(&pair.first);
        change["to"] == "backup" && change["took"]["handover_micros"].as_u64().is_some()
    });
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
    eventually(LONG, "both paths are heard", || heard(0) && heard(1));
    pair.cut_cable();
    eventually(LONG, "the cable is not heard", || !heard(0) && heard(1));
    assert_eq!(pair.first.role(), "active");
    assert_eq!(pair.second.role(), "backup");
    pair.cable.as_ref().unwrap().a.up();
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
    assert!(pair.first.agent.stop().success());
    let why = |node: &Node| {
        let status = node.agent.json(&["ha", "status"]);
        status["groups"][0]["why"].as_str().unwrap().to_owned()
    };
    eventually(LONG, "the second node has the VIP, alone", || {
        pair.second.has_all() && pair.first.has_none()
    });
    assert_eq!(why(&pair.second), "the peer handed it over");
    assert_in_order(&last_change(&pair.second));
    pair.first.agent.restart();
    pair.wait_for_first();

    // Everything of it is gone.
    pair.cut_cable();
    pair.first.link.down();
    pair.first.agent.kill9();
    eventually(LONG, "the second node has the VIP", || {
        pair.second.has_all()
    });
    let said = why(&pair.second);
    assert!(said.contains("silent on all paths"), "{said}");
    let change = last_change(&pair.second);
    assert_eq!(
        (&change["from"], &change["to"]),
        (&"backup".into(), &"active".into())
    );
    // Profile `fast`: five heartbeats of 20 ms are missing.
    let detection = change["took"]["detection_micros"].as_u64();
    assert!(detection >= Some(100_000), "{change}");
    assert_in_order(&change);
    let metrics = pair.second.agent.metrics();
    for part in ["detection", "lease", "addresses", "announcement"] {
        let labels = [("group", "front"), ("part", part)];
        let seconds = metrics.total("adc_ha_last_failover_seconds", &labels);
        assert!(seconds > 0.0, "{part} is not told");
    }
}

#[test]
fn a_peer_with_another_configuration_is_alarmed_and_given_nothing_unless_this_node_stops() {
    require!(namespaces, agent);
    let mut pair = Pair::by_heartbeat("fast");
    let weigh = |node: &Node, weight: &str| {
        let weigh = ["backend", "weight", "web", "web1", weight];
        node.agent.ok(&weigh);
    };
    let wait_for_alarm = |node: &Node| {
        eventually(LONG, "the difference is a warning", || {
            let status = node.agent.cli(&["status"]);
            status.code == 7 && status.stdout.contains("configured with other services")
        });
    };
    let wait_for_calm = |node: &Node| {
        eventually(LONG, "there is nothing to warn of", || {
            node.agent.cli(&["status"]).code == 0
        });
    };
    for node in [&pair.first, &pair.second] {
        wait_for_calm(node);
    }
    weigh(&pair.second, "7");
    for node in [&pair.first, &pair.second] {
        wait_for_alarm(node);
    }
    let refused = pair.first.agent.cli(&["ha", "failover", "front"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(
        refused.stderr.contains("configured otherwise"),
        "{refused:?}"
    );
    assert!(pair.first.has_all() && pair.second.has_none());

    weigh(&pair.first, "7");
    wait_for_calm(&pair.first);
    pair.first.agent.ok(&["ha", "failover", "front", "--wait"]);
    pair.wait_for_second();

    // The better node asks for it back, and is configured otherwise.
    weigh(&pair.first, "8");
    wait_for_alarm(&pair.second);
    pair.first.agent.ok(&["ha", "release", "front"]);
    let asked = Instant::now();
    eventually(LONG, "many detection times have passed", || {
        asked.elapsed() > Duration::from_secs(1)
    });
    assert!(pair.second.has_all() && pair.first.has_none());
    weigh(&pair.second, "8");
    pair.wait_for_first();

    weigh(&pair.second, "7");
    wait_for_alarm(&pair.first);
    assert!(pair.first.agent.stop().success());
    eventually(LONG, "the second node has the VIP, alone", || {
        pair.second.has_all() && pair.first.has_none()
    });
    let change = last_change(&pair.second);
    assert_eq!(change["why"], "the peer handed it over");
}

#[test]
fn a_held_node_is_not_active_even_alone_until_it_is_released() {
    require!(namespaces, agent);
    let mut pair = Pair::by_heartbeat("fast");
    pair.second.agent.ok(&["ha", "hold", "front"]);
    let refused = pair.first.agent.cli(&["ha", "failover", "front"]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert!(pair.first.agent.stop().success());
    eventually(LONG, "the peer is silent", || {
        pair.second.agent.json(&["ha", "status"])["heartbeat"]["heard"] == false
    });
    assert!(pair.second.has_none());
    pair.second.agent.ok(&["ha", "release", "front"]);
    eventually(LONG, "the second node has the VIP", || {
        pair.second.has_all()
    });
}

#[test]
fn a_node_that_reaches_neither_peer_nor_witness_stops_and_the_other_takes_over() {
    require!(namespaces, agent);
    let pair = Pair::with_witness("fast");
    pair.isolate_first();
    pair.wait_for_second();
    let status = pair.first.agent.json(&["ha", "status"]);
    let why = status["groups"][0]["why"].as_str().unwrap();
    assert_eq!(why, "neither the peer nor the witness is reached");
    pair.reconnect_first();
    pair.wait_for_first();
}

#[test]
fn a_backup_that_does_not_reach_the_witness_stays_one() {
    require!(namespaces, agent);
    let mut pair = Pair::with_witness("fast");
    pair.first.agent.ok(&["ha", "failover", "front", "--wait"]);
    pair.wait_for_second();
    pair.isolate_first();
    eventually(LONG, "the peer is silent", || {
        pair.first.agent.json(&["ha", "status"])["heartbeat"]["heard"] == false
    });
    // Nobody is left to be active but this node, and it may not.
    assert!(pair.second.agent.stop().success());
    assert!(pair.first.has_none());
    pair.reconnect_first();
    eventually(LONG, "the first node has the VIP", || pair.first.has_all());
}
