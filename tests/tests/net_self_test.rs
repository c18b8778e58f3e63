//! A data plane that does not work any more gives its groups away, and takes them back when it is mended.

use std::process::Command;

use adc_common::abi::ABI_VERSION;
use adc_tests::{
    direct_return::wake_port,
    lan::LONG,
    pair::{Node, Pair},
    require,
    wait::eventually,
};
use nix::sys::signal::Signal;

/// What the node says of the data plane.
fn self_test(node: &Node) -> serde_json::Value {
    let status = node.agent.json(&["ha", "status"]);
    let tracked = status["groups"][0]["tracked"].as_array().expect("a list");
    let mut tracked = tracked.iter();
    let of_data_plane = |one: &&serde_json::Value| {
        let what = one["what"].as_str();
        what.is_some_and(|what| what.starts_with("the data plane"))
    };
    tracked.find(of_data_plane).expect("the self-test").clone()
}

/// Takes the program off the first node's interface, as another tool would.
fn detach(pair: &Pair) {
    let pins = pair.topology.pin_path().join("first");
    let link = pins.join(format!("v{ABI_VERSION}")).join("link-eth0");
    let mut command = Command::new("bpftool");
    command.args(["link", "detach", "pinned"]).arg(&link);
    let done = command.status().expect("bpftool runs");
    assert!(done.success(), "{}", link.display());
}

fn a_program_that_is_taken_off(mut pair: Pair) {
    eventually(LONG, "the data plane is tested", || {
        self_test(&pair.first)["well"] == true
    });
    detach(&pair);
    eventually(LONG, "it is attached again", || {
        let log = pair.first.agent.process().log();
        log.contains("attaching it again")
    });
    pair.assert_served_by(&pair.first);

    // Somebody is faster than the agent, and stays.
    pair.first.agent.process().signal(Signal::SIGSTOP);
    detach(&pair);
    let stranger = wake_port(&pair.first.link, pair.topology.directory());
    pair.first.agent.process().signal(Signal::SIGCONT);
    pair.wait_for_second();
    assert_eq!(pair.first.role(), "fault");
    let found = self_test(&pair.first);
    assert_eq!(found["fault"], true, "{found}");
    let what = found["what"].as_str().unwrap();
    assert!(what.contains("already has an XDP program"), "{what}");
    pair.assert_served_by(&pair.second);

    drop(stranger);
    pair.wait_for_first();
    assert_eq!(self_test(&pair.first)["well"], true);
    pair.assert_served_by(&pair.first);
}

#[test]
fn with_vrrp_a_node_without_its_program_gives_the_group_away_until_it_is_back() {
    require!(namespaces, agent);
    a_program_that_is_taken_off(Pair::start());
}

#[test]
fn with_the_heartbeat_too() {
    require!(namespaces, agent);
    a_program_that_is_taken_off(Pair::by_heartbeat("fast"));
}

#[test]
fn the_test_is_counted_apart_from_packets_and_makes_no_flow() {
    require!(namespaces, agent);
    let pair = Pair::start();
    let tests = || {
        let labels = [("reason", "self_test")];
        pair.first.agent.metrics().sum("adc_packets_total", &labels)
    };
    let before = tests();
    eventually(LONG, "the data plane is tested again", || tests() > before);
    let flows = pair.first.agent.json(&["flow", "list"]);
    assert_eq!(flows["flows"].as_array().map(Vec::len), Some(0), "{flows}");
}
