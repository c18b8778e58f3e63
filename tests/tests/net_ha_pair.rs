//! Two adc nodes: clients are served by whichever has the VIP.

use adc_tests::{
    lan::LONG,
    pair::{Node, Pair},
    require,
    wait::eventually,
};
use nix::sys::signal::Signal;

/// A pair whose nodes give up soon when they are without an agent.
fn impatient(profile: Option<&str>) -> Pair {
    let pair = Pair::unsettled(profile, |_hosts, mut config| {
        config.extra += "\n[ha]\nagent_grace = \"1s\"\n";
        config
    });
    pair.wait_for_first();
    pair
}

/// The agent of the first node hangs, and its keeper does not; then it goes on.
fn hang_and_go_on(mut pair: Pair, is_noticed: impl Fn(&Node) -> bool) {
    let transitions = |node: &Node| {
        let status = node.agent.json(&["ha", "status"]);
        let counters = &status["groups"][0]["counters"];
        counters["transitions"].as_u64().expect("a number")
    };
    let before = transitions(&pair.second);
    pair.first.agent.process().signal(Signal::SIGSTOP);
    pair.wait_for_second();
    pair.assert_served_by(&pair.second);
    eventually(LONG, "the second node says so", || is_noticed(&pair.second));
    pair.first.agent.process().signal(Signal::SIGCONT);
    pair.wait_for_first();
    pair.assert_served_by(&pair.first);
    // A machine with much else to do may lose a group once more.
    let changes = transitions(&pair.second) - before;
    assert!(
        [2, 4].contains(&changes),
        "{changes}: there and back, and not to and fro"
    );
}

#[test]
fn a_node_whose_agent_hangs_is_replaced_and_takes_back_when_it_goes_on() {
    require!(namespaces, agent);
    hang_and_go_on(impatient(None), |_node| true);
}

#[test]
fn the_same_by_heartbeat_and_the_other_node_tells_that_the_agent_does_not_work() {
    require!(namespaces, agent);
    let pair = impatient(Some("fast"));
    let agent_ok = |node: &Node| {
        let status = node.agent.json(&["ha", "status"]);
        status["heartbeat"]["agent_ok"].as_bool()
    };
    eventually(LONG, "the agent works", || {
        agent_ok(&pair.second) == Some(true)
    });
    hang_and_go_on(pair, |node| agent_ok(node) == Some(false));
}

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
