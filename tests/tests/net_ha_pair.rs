//! Two adc nodes: clients are served by whichever has the VIP.

use adc_tests::{lan::LONG, pair::Pair, require, wait::eventually};

#[test]
fn an_order_moves_vip_and_gateway_to_the_other_node_and_back() {
    require!(namespaces, agent);
    let pair = Pair::start();
    pair.assert_served_by(&pair.first);
    pair.first.agent.ok(&["ha", "failover", "front", "--wait"]);
    pair.wait_for_second();
    pair.assert_served_by(&pair.second);
    pair.first.agent.ok(&["ha", "release", "front"]);
    pair.wait_for_first();
    pair.assert_served_by(&pair.first);
}

#[test]
fn a_node_that_stops_cleanly_hands_over_and_takes_back_when_it_runs_again() {
    require!(namespaces, agent);
    let mut pair = Pair::start();
    assert!(pair.first.agent.stop().success());
    eventually(LONG, "the second node has the VIP, alone", || {
        pair.second.has_all() && pair.first.has_none()
    });
    pair.assert_served_by(&pair.second);
    pair.first.agent.restart();
    pair.wait_for_first();
    pair.assert_served_by(&pair.first);
}

#[test]
fn a_node_that_is_cut_off_is_replaced_and_preempts_when_it_is_back() {
    require!(namespaces, agent);
    let pair = Pair::start();
    // What was never heard was not silent for any time.
    eventually(LONG, "the second node hears the first", || {
        let status = pair.second.agent.json(&["ha", "status"]);
        let peers = status["groups"][0]["peers"].as_array();
        peers.is_some_and(|peers| !peers.is_empty())
    });
    pair.first.link.down();
    pair.wait_for_second();
    pair.assert_served_by(&pair.second);
    let status = pair.second.agent.json(&["ha", "status"]);
    let changes = status["groups"][0]["changes"].as_array().expect("changes");
    let last = changes.last().expect("a takeover");
    assert_eq!(last["to"], "active");
    // RFC 9568 §6.1: three intervals of the active node, and a skew.
    let interval = status["groups"][0]["advert_interval_ms"].as_u64();
    let detection = last["took"]["detection_micros"].as_u64();
    assert!(detection >= interval.map(|ms| 3 * 1_000 * ms), "{last}");
    assert!(last["took"]["lease_micros"].as_u64() <= last["took"]["addresses_micros"].as_u64());
    pair.first.link.up();
    pair.wait_for_first();
    pair.assert_served_by(&pair.first);
}
