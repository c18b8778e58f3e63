//! Two groups on two interfaces that move together.

use adc_tests::{
    lan::LONG,
    net::Link,
    pair::{ELSEWHERE, Node, Pair},
    require,
    wait::eventually,
};

/// Role and reason of both groups, by name.
fn groups(node: &Node) -> Vec<(String, String)> {
    let status = node.agent.json(&["ha", "status"]);
    let groups = status["groups"].as_array().expect("groups").iter();
    let text = |group: &serde_json::Value, key: &str| group[key].as_str().unwrap().to_owned();
    groups
        .map(|group| (text(group, "role"), text(group, "why")))
        .collect()
}

fn is_all(node: &Node, role: &str) -> bool {
    let groups = groups(node);
    groups.len() == 2 && groups.iter().all(|(is, _)| is == role)
}

fn cut_and_order(pair: &Pair) {
    eventually(LONG, "the first node has both groups", || {
        is_all(&pair.first, "active") && is_all(&pair.second, "backup")
    });
    let elsewhere = Link {
        namespace: pair.first.link.namespace.clone(),
        name: ELSEWHERE.into(),
    };
    elsewhere.down();
    eventually(LONG, "both groups are on the second node", || {
        is_all(&pair.second, "active") && is_all(&pair.first, "fault")
    });
    let (_, front) = &groups(&pair.first)[1];
    assert!(
        front.contains("group back, which it moves with: eth1"),
        "{front}"
    );
    pair.wait_for_second();
    pair.assert_served_by(&pair.second);
    elsewhere.up();
    pair.wait_for_first();
    eventually(LONG, "the first node has both groups again", || {
        is_all(&pair.first, "active") && is_all(&pair.second, "backup")
    });

    // An order for one is one for both.
    pair.first.agent.ok(&["ha", "failover", "back", "--wait"]);
    pair.wait_for_second();
    eventually(LONG, "both groups are on the second node", || {
        is_all(&pair.second, "active") && is_all(&pair.first, "backup")
    });
    let shown = pair.first.agent.ok(&["ha", "status"]);
    assert!(
        shown.contains("edge: moves with back, and orders are for all of them"),
        "{shown}"
    );
    pair.first.agent.ok(&["ha", "release", "front"]);
    eventually(LONG, "both groups are back", || {
        is_all(&pair.first, "active") && is_all(&pair.second, "backup")
    });
    pair.assert_served_by(&pair.first);
}

#[test]
fn with_vrrp_a_cut_interface_and_an_order_move_both() {
    require!(namespaces, agent);
    cut_and_order(&Pair::moving_together(None));
}

#[test]
fn with_the_heartbeat_too() {
    require!(namespaces, agent);
    cut_and_order(&Pair::moving_together(Some("fast")));
}
