//! What people and tracked things do to a group, and what strangers can not.

use std::{fs, net::IpAddr, time::Duration};

use adc_tests::{
    drive::VrrpEnd,
    keepalived::Router,
    lan::{LONG, Lan, VRID, v4},
    require,
    topology::{GATEWAY_V4, ROUTER_V4, SPARE_VIP_V4, VIP_V4},
    wait::{eventually, eventually_some},
};
use adc_userspace::ha::vrrp::{Advert, Dialect, Interval, Refusal, encode};

const FAST: &str = "priority = 150\nadvert_interval = \"100ms\"";

/// Both run; adc is active.
fn pair(more: &str) -> (Lan, adc_tests::keepalived::Keepalived) {
    let lan = Lan::new(&v4(), &format!("{FAST}\n{more}"));
    lan.wait_for_adc();
    let other = lan.keepalived(&Router::new(VRID, &v4()));
    eventually(LONG, "keepalived runs as backup", || {
        other.log().contains("Entering BACKUP STATE")
    });
    (lan, other)
}

#[test]
fn a_failover_stays_where_it_is_until_it_is_released() {
    require!(namespaces, agent, "keepalived");
    let (lan, _other) = pair("");
    lan.agent.ok(&["ha", "failover", "front", "--wait"]);
    assert!(lan.adc_has_none(), "another node has it");
    lan.wait_for_other();
    lan.assert_peace();
    assert_eq!(lan.group()["yielded"], true);
    let refused = lan.agent.cli(&["ha", "failover", "front"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(
        refused.stderr.contains(&ROUTER_V4.to_string()),
        "{refused:?}"
    );
    lan.agent.ok(&["ha", "release", "front"]);
    lan.wait_for_adc();
}

#[test]
fn a_held_node_takes_nothing_and_a_dead_active_node_is_replaced_when_released() {
    require!(namespaces, agent, "keepalived");
    let (lan, mut other) = pair("");
    lan.agent.ok(&["ha", "hold", "front"]);
    lan.wait_for_other();
    other.terminate();
    lan.assert_peace();
    assert_eq!(lan.group()["role"], "backup");
    lan.agent.ok(&["ha", "release", "front"]);
    eventually(LONG, "adc has the VIPs", || lan.adc_has_all());
}

#[test]
fn without_preempt_a_lower_priority_keeps_the_role() {
    require!(namespaces, agent, "keepalived");
    let (lan, mut other) = pair("preempt = false");
    lan.agent.ok(&["ha", "failover", "front"]);
    lan.wait_for_other();
    lan.agent.ok(&["ha", "release", "front"]);
    lan.assert_peace();
    assert!(lan.other_has_all());
    other.kill9();
    eventually(LONG, "adc took over from the dead", || lan.adc_has_all());
}

#[test]
fn a_pool_without_backends_costs_priority_and_the_role() {
    require!(namespaces, agent, "keepalived");
    let (lan, _other) = pair("track = [{ pool = \"web\", min_up = 1, weight = -100 }]");
    lan.agent.ok(&["backend", "drain", "web", "web1"]);
    lan.wait_for_other();
    assert_eq!(lan.group()["priority"]["effective"], 50);
    lan.agent.ok(&["backend", "enable", "web", "web1"]);
    lan.wait_for_adc();
}

#[test]
fn a_script_that_fails_is_a_fault() {
    require!(namespaces, agent, "keepalived");
    let mark = tempfile::NamedTempFile::new().unwrap();
    let path = mark.path().display().to_string();
    let script = format!(
        "track = [{{ script = [\"/usr/bin/test\", \"-e\", {path:?}], interval = \"100ms\", rise = 2, fall = 2 }}]"
    );
    let (lan, _other) = pair(&script);
    fs::remove_file(&path).unwrap();
    lan.wait_for_other();
    let group = lan.group();
    assert_eq!(group["role"], "fault", "{group}");
    assert!(group["why"].as_str().unwrap().contains("script"), "{group}");
    fs::write(&path, "").unwrap();
    lan.wait_for_adc();
}

#[test]
fn a_reload_keeps_the_role_and_moves_only_what_changed() {
    require!(namespaces, agent, "keepalived");
    let (mut lan, other) = pair("");
    let transitions = |lan: &Lan| lan.group()["counters"]["transitions"].clone();
    let before = transitions(&lan);
    let mut config = lan.config.clone();
    let more = format!("vips = [\"{SPARE_VIP_V4}\", ");
    config.extra = config.extra.replace("vips = [", &more);
    config.extra = config.extra.replace("priority = 150", "priority = 160");
    lan.agent.reload(&config);
    assert_eq!(transitions(&lan), before, "the role moved");
    assert_eq!(lan.group()["priority"]["effective"], 160);
    assert!(lan.adc_has_all());
    assert!(lan.adc.addresses().contains(&SPARE_VIP_V4.into()));

    // Without a group the VIP of the service is this node's, as ever, and what only the group had is gone.
    config.extra.clear();
    lan.agent.reload(&config);
    eventually(LONG, "keepalived took what was given up", || {
        other.has(VIP_V4.into())
    });
    let here = lan.adc.addresses();
    assert!(
        here.contains(&VIP_V4.into()) && !here.contains(&SPARE_VIP_V4.into()),
        "{here:?}"
    );
}

#[test]
fn an_agent_that_is_killed_and_started_again_at_once_keeps_the_role_and_the_vips() {
    require!(namespaces, agent, "keepalived");
    // keepalived waits for more than six seconds.
    let mut lan = Lan::new(&v4(), "priority = 150\nadvert_interval = \"2s\"");
    lan.wait_for_adc();
    let mut router = Router::new(VRID, &v4());
    router.interval = Duration::from_secs(2);
    let other = lan.keepalived(&router);
    eventually(LONG, "keepalived runs as backup", || {
        other.log().contains("Entering BACKUP STATE")
    });
    lan.agent.kill9();
    assert!(
        lan.adc.addresses().contains(&VIP_V4.into()),
        "a crash leaves the VIP"
    );
    lan.agent.restart();
    eventually(LONG, "adc is active again", || {
        assert!(
            lan.adc.addresses().contains(&VIP_V4.into()),
            "the VIP was gone"
        );
        lan.group()["role"] == "active"
    });
    lan.assert_peace();
    assert!(
        !other.log().contains("Entering MASTER STATE"),
        "{}",
        other.log()
    );
    lan.assert_served();
}

#[test]
fn a_node_whose_agent_and_keeper_were_away_too_long_gives_the_vips_up() {
    require!(namespaces, agent, "keepalived");
    let (mut lan, _other) = pair("preempt = false");
    lan.agent.kill9();
    lan.agent.kill9_keeper();
    eventually(LONG, "keepalived took over", || lan.other_has_all());
    assert!(
        lan.adc.addresses().contains(&VIP_V4.into()),
        "a crash leaves the VIP"
    );
    lan.agent.restart();
    lan.wait_for_other();
    lan.assert_peace();
}

#[test]
fn a_node_without_groups_says_so_and_has_its_vips() {
    require!(namespaces, agent);
    let scene = adc_tests::scene::Scene::new(adc_tests::topology::Topology::two_arm(1));
    let said = scene.agent.ok(&["ha", "status"]);
    assert!(said.contains("no HA groups"), "{said}");
    let here = scene.topology.interfaces[0].addresses();
    assert!(here.contains(&IpAddr::V4(VIP_V4)), "{here:?}");
    let refused = scene.agent.cli(&["ha", "hold", "front"]);
    assert_eq!(refused.code, 1, "{refused:?}");
}

fn advert(priority: u8) -> Advert {
    Advert {
        vrid: VRID,
        priority,
        interval: Interval::Centiseconds(10),
        addresses: v4(),
    }
}

fn message(priority: u8, dialect: Dialect) -> Vec<u8> {
    let routers = "224.0.0.18".parse().unwrap();
    encode(&advert(priority), ROUTER_V4.into(), routers, dialect)
}

#[test]
fn adverts_are_as_the_standard_has_them_and_follow_the_others_checksum() {
    require!(namespaces, agent);
    let lan = Lan::new(&v4(), FAST);
    lan.wait_for_adc();
    let end = VrrpEnd::join(&lan.router);
    let (heard, _) = eventually_some(LONG, "an advert is heard", || end.hear());
    assert_eq!(heard.advert, advert(150));
    assert_eq!(heard.source, GATEWAY_V4.0);
    assert_eq!(heard.dialect, Some(Dialect::PseudoHeader));
    assert_eq!(heard.traffic_class, 0xc0);
    for dialect in [Dialect::MessageOnly, Dialect::PseudoHeader] {
        end.send(&message(100, dialect), 255);
        eventually(LONG, "adverts have the other checksum", || {
            end.hear()
                .is_some_and(|heard| heard.dialect == Some(dialect))
        });
    }
}

#[test]
fn a_router_with_our_vrid_and_other_vips_is_a_warning_until_it_has_ours() {
    require!(namespaces, agent);
    let lan = Lan::new(&v4(), FAST);
    lan.wait_for_adc();
    let status = lan.agent.cli(&["status"]);
    assert_eq!(status.code, 0, "{status:?}");
    let end = VrrpEnd::join(&lan.router);
    let other = Advert {
        addresses: vec![SPARE_VIP_V4.into()],
        ..advert(50)
    };
    let routers = "224.0.0.18".parse().unwrap();
    let other = encode(&other, ROUTER_V4.into(), routers, Dialect::default());
    end.send(&other, 255);
    let told = [
        ROUTER_V4.to_string(),
        format!("VRID {VRID}"),
        "eth0".to_owned(),
    ];
    eventually(LONG, "it is a warning", || {
        let status = lan.agent.cli(&["status"]);
        status.code == 7 && told.iter().all(|word| status.stdout.contains(word))
    });
    assert!(lan.adc_has_all(), "it has the lower priority");
    end.send(&message(50, Dialect::default()), 255);
    eventually(LONG, "there is nothing to warn of", || {
        lan.agent.cli(&["status"]).code == 0
    });
}

#[test]
fn wrong_adverts_are_counted_by_reason_and_change_nothing() {
    require!(namespaces, agent);
    let lan = Lan::new(&v4(), FAST);
    lan.wait_for_adc();
    let end = VrrpEnd::join(&lan.router);
    let good = message(254, Dialect::PseudoHeader);
    let changed = |at: usize, value: u8| {
        let mut message = good.clone();
        message[at] = value;
        message
    };
    let routers = "224.0.0.18".parse().unwrap();
    let two = Advert {
        interval: Interval::Seconds(1),
        ..advert(254)
    };
    let two = encode(&two, ROUTER_V4.into(), routers, Dialect::default());
    let wrong = [
        (good[..11].to_vec(), 255, Refusal::Length),
        (good.clone(), 254, Refusal::HopLimit),
        (good.clone(), 1, Refusal::HopLimit),
        (changed(0, 0x41), 255, Refusal::Version),
        (changed(0, 0x32), 255, Refusal::Type),
        (changed(3, 0), 255, Refusal::Count),
        (changed(3, 2), 255, Refusal::Length),
        (changed(2, 253), 255, Refusal::Checksum),
        (two, 255, Refusal::Version),
    ];
    let refused = || lan.group()["counters"]["adverts_refused"].clone();
    let count = |refusal: Refusal| refused()[refusal.name()].as_u64().unwrap();
    for (message, ttl, refusal) in wrong {
        let before = count(refusal);
        end.send(&message, ttl);
        eventually(LONG, &format!("{refusal} is counted"), || {
            count(refusal) == before + 1
        });
    }
    // Of another virtual router, of none, and too short to be of any: no group's.
    let at_eth0 = || lan.agent.json(&["ha", "status"])["interfaces"][0].clone();
    assert_eq!(at_eth0()["interface"], "eth0");
    let strangers = [
        (changed(1, VRID + 1), Refusal::Vrid),
        (changed(1, 0), Refusal::Vrid),
        (good[..1].to_vec(), Refusal::Length),
    ];
    let before = refused();
    for (message, refusal) in strangers {
        let count = || {
            at_eth0()["adverts_refused"][refusal.name()]
                .as_u64()
                .unwrap()
        };
        let before = count();
        end.send(&message, 255);
        eventually(LONG, &format!("{refusal} is counted"), || {
            count() == before + 1
        });
    }
    assert_eq!(refused(), before, "they were no group's");
    lan.assert_peace();
    assert!(lan.adc_has_all());
    let metrics = lan.agent.metrics();
    let labels = [("interface", "eth0"), ("reason", "vrid")];
    let counted = metrics.sum("adc_ha_interface_adverts_refused_total", &labels);
    assert_eq!(counted, 2);
    let labels = [("group", "front"), ("reason", "hop_limit")];
    assert_eq!(metrics.sum("adc_ha_adverts_refused_total", &labels), 2);
    // And a right one does change something.
    end.send(&good, 255);
    eventually(
        Duration::from_secs(5),
        "the better router is obeyed",
        || lan.adc_has_none(),
    );
}
