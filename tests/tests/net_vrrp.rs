//! adc and the real keepalived in one group.

use std::time::Duration;

use adc_tests::{
    keepalived::Router,
    lan::{LONG, Lan, VRID, both, v4},
    require,
    topology::{GATEWAY_V4, GATEWAY_V6, ROUTER_V4, ROUTER_V6, VIP_V6},
    wait::eventually,
};

/// The whole life of a pair: start, preemption, hand-over, crash.
fn life(lan: &mut Lan, mut router: Router) {
    // adc alone takes over, then keepalived joins with less.
    lan.wait_for_adc();
    lan.assert_served();
    router.priority = 100;
    let mut other = lan.keepalived(&router);
    eventually(LONG, "keepalived runs as backup", || {
        other.log().contains("Entering BACKUP STATE")
    });
    lan.assert_peace();
    lan.wait_for_adc();

    // adc stops: it resigns, and keepalived follows at once.
    lan.agent.stop();
    eventually(LONG, "keepalived has the VIPs", || lan.other_has_all());
    let gone = lan.adc.addresses();
    assert!(!lan.vips.iter().any(|vip| gone.contains(vip)), "{gone:?}");

    // adc comes back with more, and preempts.
    lan.agent.restart();
    lan.wait_for_adc();
    lan.assert_understood();
    lan.assert_served();

    // Its interface goes down: keepalived takes over; up again: adc takes it back.
    lan.adc.namespace.ip(&["link", "set", "eth0", "down"]);
    eventually(LONG, "keepalived took over", || lan.other_has_all());
    eventually(LONG, "adc is in fault", || lan.group()["role"] == "fault");
    lan.adc.up();
    for gateway in [GATEWAY_V6.0, GATEWAY_V6.1] {
        // The kernel forgets IPv6 addresses of a device that goes down.
        lan.adc
            .add_address(ipnet::IpNet::new_assert(gateway.into(), 64));
    }
    lan.wait_for_adc();

    // keepalived with more preempts adc, and resigns when stopped.
    other.terminate();
    router.priority = 200;
    let mut other = lan.keepalived(&router);
    lan.wait_for_other();
    lan.assert_peace();
    other.terminate();
    lan.wait_for_adc();
    lan.assert_understood();
    lan.assert_served();
}

#[test]
fn version_three_over_ipv4_by_multicast() {
    require!(namespaces, agent, "keepalived");
    let mut lan = Lan::new(&v4(), "priority = 150\nadvert_interval = \"100ms\"");
    life(&mut lan, Router::new(VRID, &v4()));
}

#[test]
fn version_three_over_both_families_by_multicast() {
    require!(namespaces, agent, "keepalived");
    let mut lan = Lan::new(&both(), "priority = 150\nadvert_interval = \"100ms\"");
    life(&mut lan, Router::new(VRID, &both()));
}

#[test]
fn version_three_over_both_families_by_unicast() {
    require!(namespaces, agent, "keepalived");
    let more = format!(
        "priority = 150\nadvert_interval = \"100ms\"\nunicast_peers = [\"{ROUTER_V4}\", \"{ROUTER_V6}\"]"
    );
    let mut lan = Lan::new(&both(), &more);
    let mut router = Router::new(VRID, &both());
    router.peers = vec![GATEWAY_V4.0.into(), GATEWAY_V6.0.into()];
    router.sources = vec![ROUTER_V4.into(), ROUTER_V6.into()];
    life(&mut lan, router);
}

#[test]
fn version_two() {
    require!(namespaces, agent, "keepalived");
    let mut lan = Lan::new(&v4(), "version = 2\npriority = 150");
    let mut router = Router::new(VRID, &v4());
    router.version = 2;
    router.interval = Duration::from_secs(1);
    life(&mut lan, router);
}

#[test]
fn version_two_by_unicast() {
    require!(namespaces, agent, "keepalived");
    let more = format!("version = 2\npriority = 150\nunicast_peers = [\"{ROUTER_V4}\"]");
    let mut lan = Lan::new(&v4(), &more);
    let mut router = Router::new(VRID, &v4());
    router.version = 2;
    router.interval = Duration::from_secs(1);
    router.peers = vec![GATEWAY_V4.0.into()];
    router.sources = vec![ROUTER_V4.into()];
    life(&mut lan, router);
}

#[test]
fn version_three_over_ipv6_alone() {
    require!(namespaces, agent, "keepalived");
    let vips = vec![VIP_V6.into()];
    let mut lan = Lan::new(&vips, "priority = 150\nadvert_interval = \"100ms\"");
    life(&mut lan, Router::new(VRID, &vips));
}
