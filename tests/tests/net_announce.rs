//! Two nodes serve the same VIPs at once: a routing daemon on each announces what adc says is served, and a router spreads
//! flows over both.

use std::time::Duration;

use adc_tests::{
    announce,
    drive::{HeldConnections, Load},
    require,
    routing::{ECHO_DSR, ECHO_NAT, Fabric, NodeDaemon, SERVED, VIP6, WWW_DSR},
    wait::eventually,
};

const LONG: Duration = Duration::from_secs(30);
/// Connections held through each VIP.
const HELD: usize = 200;

/// Whether a node says that it announces a VIP, and why.
fn says(fabric: &Fabric, node: usize, vip: &str) -> (bool, String) {
    let views = fabric.agents[node].json(&["announce", "status"]);
    let mut views = views.as_array().into_iter().flatten();
    let view = views.find(|view| view["vip"] == vip);
    let view = view.unwrap_or_else(|| panic!("{vip} is not in `adc announce status`"));
    let why = view["why"].as_str().unwrap_or_default();
    (view["announced"] == true, why.to_owned())
}

fn kill_daemon(daemon: &mut NodeDaemon) {
    match daemon {
        NodeDaemon::Bird(bird) => bird.kill9(),
        NodeDaemon::Frr(frr) => frr.kill9(),
    }
}

#[test]
fn vips_are_announced_while_they_are_served_whatever_becomes_of_the_agent() {
    require!(namespaces, agent, "bird");
    let mut fabric = Fabric::new(false, false);
    fabric.wait_for_ways(VIP6.into(), &[0, 1]);
    let [vip, other] = SERVED;

    // Flows go to both.
    let load = Load::start(&fabric.client, &[WWW_DSR], 4, Duration::from_millis(3));
    load.wait_for(200);
    load.stop().assert_none_failed();
    for node in [0, 1] {
        let packets = fabric.forwarded(node, "web");
        assert!(packets > 0, "node {node} got no packet");
    }

    // Somebody takes a route out.
    let first = &fabric.links[0].namespace;
    first.ip(&[
        "route",
        "del",
        "blackhole",
        &vip.to_string(),
        "table",
        "173",
    ]);
    eventually(LONG, "adc has put the route back", || {
        let table = first.ip(&["route", "show", "table", "173"]);
        table.contains(&vip.to_string())
    });
    fabric.wait_for_ways(vip, &[0, 1]);

    // No agent, and then another one: nobody notices.
    fabric.agents[0].kill9();
    let held = HeldConnections::open(&fabric.client, ECHO_DSR, 20);
    held.wait_for_rounds(20);
    held.assert_all_alive();
    assert_eq!(fabric.ways(vip), [0, 1]);
    fabric.agents[0].restart();
    held.wait_for_rounds(20);
    held.assert_all_alive();
    assert_eq!(fabric.ways(vip), [0, 1]);
    assert_eq!(says(&fabric, 0, &vip.to_string()), (true, "served".into()));
    held.close();

    // One of two services of the VIP has no backend, and `require` is "all".
    fabric.stop_http();
    fabric.wait_for_ways(vip, &[]);
    assert_eq!(fabric.ways(other), [0, 1], "the other VIP is served");
    let (announced, why) = says(&fabric, 0, &vip.to_string());
    assert!(!announced && why.contains("service www"), "{why}");
    let metrics = fabric.agents[0].metrics();
    let announced = |vip: &str| metrics.sum("adc_announced", &[("vip", vip)]);
    assert_eq!(announced(&vip.to_string()), 0);
    assert_eq!(announced(&other.to_string()), 1);
    fabric.start_http();
    fabric.wait_for_ways(vip, &[0, 1]);

    // Announcing ends with its table.
    let mut config = fabric.configs[0].clone();
    config.extra.clear();
    fabric.agents[0].reload(&config);
    fabric.wait_for_ways(vip, &[1]);
    fabric.wait_for_ways(VIP6.into(), &[1]);
}

#[test]
fn a_node_that_stops_withdraws_first_and_only_flows_that_need_its_state_break() {
    require!(namespaces, agent, "bird");
    let mut fabric = Fabric::new(false, false);
    let direct = HeldConnections::open(&fabric.client, ECHO_DSR, HELD);
    let translated = HeldConnections::open(&fabric.client, ECHO_NAT, HELD);
    let on_first = fabric.flows(0, "plain");
    assert!(
        on_first > 0 && on_first < HELD as u64,
        "{on_first} of {HELD} flows on the first node"
    );
    let load = Load::start(&fabric.client, &[WWW_DSR], 4, Duration::from_millis(3));
    load.wait_for(100);

    assert!(fabric.agents[0].stop().success());
    for vip in SERVED {
        assert_eq!(fabric.ways(vip), [1], "withdrawn before the agent ended");
    }
    load.wait_for(200);
    load.stop().assert_none_failed();
    direct.wait_for_rounds(10);
    direct.assert_all_alive();
    eventually(LONG, "flows of the first node have broken", || {
        translated.broken().len() as u64 >= on_first
    });
    translated.wait_for_rounds(5);
    let broken = translated.broken().len();
    announce(format_args!(
        "clean stop: 0 of {HELD} dsr-l2 connections broke, and {broken} of {HELD} in full-nat, {on_first} of which were on the node"
    ));
    assert_eq!(broken as u64, on_first, "those of the other node live");

    // It comes back, flows move again, and those with direct server return do not mind.
    fabric.agents[0].restart();
    fabric.wait_for_ways(SERVED[0], &[0, 1]);
    direct.wait_for_rounds(10);
    direct.assert_all_alive();
}

#[test]
fn a_node_that_dies_is_left_by_the_router_and_breaks_no_connection_with_direct_return() {
    require!(namespaces, agent, "bird", frr);
    // The second node has FRR.
    let mut fabric = Fabric::new(true, true);
    let [vip, _] = SERVED;
    let direct = HeldConnections::open(&fabric.client, ECHO_DSR, HELD);
    let at_second = fabric.flows(1, "echo");
    assert!(at_second > 0, "no flow on the second node");

    kill_daemon(&mut fabric.daemons[1]);
    fabric.links[1].down();
    let took = fabric.wait_for_ways(vip, &[0]);
    announce(format_args!(
        "node dead: the router left it after {} ms (BFD 3 x 300 ms)",
        took.as_millis()
    ));
    direct.wait_for_rounds(10);
    direct.assert_all_alive();
}

#[test]
fn frr_announces_and_withdraws_too() {
    require!(namespaces, agent, "bird", frr);
    let mut fabric = Fabric::new(true, false);
    let [vip, other] = SERVED;
    fabric.stop_http();
    fabric.wait_for_ways(vip, &[]);
    fabric.start_http();
    fabric.wait_for_ways(vip, &[0, 1]);
    let direct = HeldConnections::open(&fabric.client, ECHO_DSR, HELD);
    assert!(fabric.agents[1].stop().success());
    assert_eq!(fabric.ways(vip), [0], "withdrawn before the agent ended");
    assert_eq!(fabric.ways(other), [0], "withdrawn before the agent ended");
    direct.wait_for_rounds(10);
    direct.assert_all_alive();
}
