//! Groups whose addresses are at the MAC of their virtual router, which moves with them.

use std::net::IpAddr;

use adc_tests::{
    agent::Backend,
    drive::{HeldConnections, get_in},
    keepalived::Router,
    lan::{LONG, Lan, VRID, both, v4},
    net::{Link, Namespace},
    packets::{Envelope, MacAddress, Segment},
    pair::Pair,
    require,
    scene::{ECHO, ECHO_PORT, WWW},
    serve,
    topology::{CLIENT_V4, GATEWAY_V4, VIP_V4, VIP_V6},
    virtual_mac::{
        Ear, MAC_V4, MAC_V6, devices, is_advert, is_arp_reply, neighbour, pin_neighbour, port_of,
        source_of, text, who_has,
    },
    wait::eventually,
};

const LINES: &str = "priority = 150\nadvert_interval = \"100ms\"\nvirtual_mac = true";

fn end_of_client(host: &Namespace) -> Link {
    Link {
        namespace: host.clone(),
        name: "eth0".into(),
    }
}

#[track_caller]
fn assert_pings(host: &Namespace, address: IpAddr) {
    eventually(LONG, "the VIP answers pings", || {
        let text = address.to_string();
        let enter = || adc_tests::net::run_unchecked("ping", &["-c1", "-W1", &text]);
        host.enter(enter).status.success()
    });
}

#[test]
fn hosts_find_both_vips_at_the_virtual_mac_and_are_served_there() {
    require!(namespaces, agent);
    let lan = Lan::new(&both(), LINES);
    lan.wait_for_adc();
    lan.assert_served();
    for (vip, mac) in [(VIP_V4.into(), MAC_V4), (VIP_V6.into(), MAC_V6)] {
        lan.topology.client.ip(&["neigh", "flush", "all"]);
        assert_pings(&lan.topology.client, vip);
        let known = neighbour(&lan.topology.client, vip);
        assert!(known.contains(&text(mac)), "{known}");
    }
    assert_eq!(lan.group()["virtual_macs"][0], text(MAC_V4));
    assert_eq!(lan.group()["virtual_macs"][1], text(MAC_V6));
}

/// The interface must not answer for the VIP, nor the virtual device for the node's own address: either would be a second answer.
#[test]
fn each_address_has_one_answer() {
    require!(namespaces, agent);
    let lan = Lan::new(&v4(), LINES);
    lan.wait_for_adc();
    let client = end_of_client(&lan.topology.client);
    let own = GATEWAY_V4.0;
    let mut ear = Ear::on(&client);
    let ask = |ear: &Ear, address| ear.say(&who_has(address, client.mac(), CLIENT_V4));
    for address in [own, VIP_V4, own, VIP_V4] {
        ask(&ear, address);
    }
    // A wrong answer to an earlier question comes before the right one to a later: each device answers in order.
    ear.wait_for(2, "the node's own MAC is told", |frame| {
        is_arp_reply(frame, own) && source_of(frame) == lan.adc.mac()
    });
    ear.wait_for(2, "the virtual MAC is told", |frame| {
        is_arp_reply(frame, VIP_V4) && source_of(frame) == MAC_V4
    });
    for (address, mac) in [(VIP_V4, MAC_V4), (own, lan.adc.mac())] {
        let replies = ear.so_far(|frame| is_arp_reply(frame, address));
        for reply in &replies {
            assert_eq!(source_of(reply), mac, "{address}: {replies:02x?}");
            assert_eq!(reply[22..28], mac.0, "in the message itself");
        }
        assert_eq!(replies.len(), 2, "{address}: {replies:02x?}");
    }
}

#[test]
fn adverts_come_from_the_virtual_mac_of_their_family() {
    require!(namespaces, agent);
    let lan = Lan::new(&both(), LINES);
    lan.wait_for_adc();
    let mut ear = Ear::on(&end_of_client(&lan.topology.client));
    for (is_v4, mac) in [(true, MAC_V4), (false, MAC_V6)] {
        let adverts = ear.wait_for(5, "adverts", |frame| is_advert(frame, is_v4));
        assert!(adverts.iter().all(|frame| source_of(frame) == mac));
        let port = port_of(&lan.topology.port("adc").namespace, mac);
        assert_eq!(port.as_deref(), Some("adc"));
    }
}

fn with_virtual_mac(
    _: &[adc_tests::topology::BackendHost],
    mut config: adc_tests::agent::Config,
) -> adc_tests::agent::Config {
    config.extra.push_str("virtual_mac = true\n");
    config
}

/// Hosts that nobody can tell anything: only the switch learns of a new active node.
fn pin_hosts(pair: &Pair) {
    pin_neighbour(&pair.topology.client, VIP_V4.into());
    for host in &pair.topology.backends {
        pin_neighbour(&host.namespace, GATEWAY_V4.1.into());
    }
}

#[test]
fn after_a_takeover_hosts_go_on_with_what_they_know() {
    require!(namespaces, agent);
    let pair = Pair::start_with(with_virtual_mac);
    let switch = pair.topology.port("adc").namespace;
    pin_hosts(&pair);
    pair.assert_served_by(&pair.first);
    assert_eq!(port_of(&switch, MAC_V4).as_deref(), Some("adc"));
    let before = neighbour(&pair.topology.client, VIP_V4.into());

    pair.first.link.down();
    pair.wait_for_second();
    pair.assert_served_by(&pair.second);
    assert_eq!(port_of(&switch, MAC_V4).as_deref(), Some("second"));
    assert_eq!(neighbour(&pair.topology.client, VIP_V4.into()), before);

    pair.first.link.up();
    pair.wait_for_first();
    pair.assert_served_by(&pair.first);
    assert_eq!(port_of(&switch, MAC_V4).as_deref(), Some("adc"));
    assert_eq!(neighbour(&pair.topology.client, VIP_V4.into()), before);
}

#[test]
fn where_the_heartbeat_decides_announcements_move_the_mac() {
    require!(namespaces, agent);
    let pair = Pair::unsettled(Some("fast"), with_virtual_mac);
    pair.wait_for_first();
    let switch = pair.topology.port("adc").namespace;
    pin_hosts(&pair);
    pair.assert_served_by(&pair.first);
    pair.first.agent.ok(&["ha", "failover", "front", "--wait"]);
    pair.wait_for_second();
    pair.assert_served_by(&pair.second);
    assert_eq!(port_of(&switch, MAC_V4).as_deref(), Some("second"));
}

/// Adverts of the other node come from the MAC that this node has, too, and must be heard all the same.
#[test]
fn two_active_nodes_hear_each_other_when_the_network_is_whole_again() {
    require!(namespaces, agent);
    let pair = Pair::start_with(with_virtual_mac);
    pair.isolate_first();
    eventually(LONG, "both are active", || {
        pair.first.has_all() && pair.second.has_all()
    });
    pair.reconnect_first();
    pair.wait_for_first();
    pair.assert_served_by(&pair.first);
}

/// A switch that has forgotten a MAC sends its frames to every port.
#[test]
fn a_backup_neither_answers_nor_forwards_what_is_flooded_to_it() {
    require!(namespaces, agent);
    let pair = Pair::start_with(with_virtual_mac);
    let port = pair.topology.port("second");
    let client = end_of_client(&pair.topology.client).mac();
    let mut ear = Ear::on(&port);
    let syn = Envelope {
        to_mac: MAC_V4,
        from_mac: client,
        tags: Vec::new(),
        from: (IpAddr::from(CLIENT_V4), 40_000).into(),
        to: WWW,
    };
    let fenced = || {
        let metrics = pair.second.agent.metrics();
        metrics.sum("adc_drops_total", &[("reason", "lease_lapsed")])
    };
    let before = fenced();
    ear.say(&syn.frame(&Segment::tcp("S", 1, 0)));
    eventually(LONG, "the data plane refuses it", || fenced() > before);
    assert_eq!(pair.second.agent.flow_count(), 0);
    let other = Envelope {
        to_mac: MacAddress([0, 0, 0x5e, 0, 1, VRID + 1]),
        ..syn
    };
    ear.say(&other.frame(&Segment::tcp("S", 1, 0)));
    for address in [VIP_V4, adc_tests::topology::ROUTER_V4] {
        ear.say(&who_has(address, client, CLIENT_V4));
    }
    ear.wait_for(1, "the backup answers for itself", |frame| {
        is_arp_reply(frame, adc_tests::topology::ROUTER_V4)
    });
    let own = pair.second.link.mac();
    let to_client = |frame: &[u8]| {
        let from_node = [own, MAC_V4].contains(&source_of(frame));
        from_node && (is_arp_reply(frame, VIP_V4) || frame.get(30..34) == Some(&CLIENT_V4.octets()))
    };
    assert_eq!(ear.so_far(to_client), Vec::<Vec<u8>>::new());
    assert_eq!(pair.second.agent.flow_count(), 0);
    let up = pair
        .second
        .link
        .namespace
        .ip(&["-o", "link", "show", "up", "type", "macvlan"]);
    assert_eq!(up, "", "no device is up");
}

#[test]
fn a_keeper_that_was_killed_leaves_one_device_which_the_next_goes_on_with() {
    require!(namespaces, agent);
    let lan = Lan::new(&both(), LINES);
    lan.wait_for_adc();
    let before = lan.agent.keeper();
    let devices_before = devices(&lan.adc.namespace);
    assert_eq!(devices_before.len(), 2, "{devices_before:?}");
    lan.agent.kill9_keeper();
    eventually(LONG, "another keeper runs", || {
        lan.agent.keeper().is_some_and(|pid| Some(pid) != before)
    });
    lan.wait_for_adc();
    lan.assert_served();
    assert_eq!(devices(&lan.adc.namespace), devices_before);
}

/// Whether the interface answers ARP as it did before there was a group.
fn is_as_before(lan: &Lan) -> bool {
    let read = |name: &str| {
        let key = format!("net.ipv4.conf.eth0.{name}");
        lan.adc.namespace.run("sysctl", &["-n", &key])
    };
    ["arp_ignore", "arp_announce"]
        .map(read)
        .iter()
        .all(|value| value.trim() == "0")
}

#[test]
fn without_the_group_or_its_virtual_mac_no_device_is_left() {
    require!(namespaces, agent);
    let mut lan = Lan::new(&both(), LINES);
    lan.wait_for_adc();
    assert!(!is_as_before(&lan));
    let with = lan.config.extra.clone();

    // Addresses move to the interface itself, and back.
    lan.config.extra = with.replace("virtual_mac = true", "virtual_mac = false");
    lan.agent.reload(&lan.config);
    eventually(LONG, "the VIPs are on the interface", || {
        let here = lan.adc.addresses();
        devices(&lan.adc.namespace).is_empty() && lan.vips.iter().all(|vip| here.contains(vip))
    });
    assert!(is_as_before(&lan));
    lan.config.extra.clone_from(&with);
    lan.agent.reload(&lan.config);
    eventually(LONG, "the VIPs are on devices of their own", || {
        devices(&lan.adc.namespace).len() == 2 && lan.adc_has_all()
    });
    assert!(!lan.adc.addresses().contains(&VIP_V4.into()));

    lan.config.extra.clear();
    lan.agent.reload(&lan.config);
    eventually(LONG, "the devices are gone", || {
        devices(&lan.adc.namespace).is_empty() && is_as_before(&lan)
    });
}

/// While the keeper moves the VIP, frames still come to the MAC that it had, and the kernel has the VIP, too.
#[test]
fn connections_outlive_another_virtual_mac_and_the_end_of_it() {
    require!(namespaces, agent);
    let mut lan = Lan::new(&v4(), LINES);
    let host = &lan.topology.backends[0];
    let _server = serve::echo(host, ECHO_PORT);
    let backends = vec![Backend::v4(host, ECHO_PORT)];
    let config = lan.config.clone().pool("echo", &[], backends);
    lan.config = config.service("echo", ECHO, "tcp", "echo");
    lan.agent.reload(&lan.config);
    lan.agent.wait_for_available("echo", 1);
    lan.wait_for_adc();
    lan.assert_served();
    let held = HeldConnections::open(&lan.topology.client, ECHO, 10);

    let (old, new) = (format!("vrid = {VRID}\n"), format!("vrid = {}\n", VRID + 1));
    lan.config.extra = lan.config.extra.replace(&old, &new);
    lan.agent.reload(&lan.config);
    let name = format!("adc4-{}-", VRID + 1);
    eventually(LONG, "the VIP is at the MAC of the other router", || {
        let here = devices(&lan.adc.namespace);
        here.len() == 1 && here[0].contains(&name) && lan.adc_has_all()
    });
    held.wait_for_rounds(5);
    held.assert_all_alive();

    let without = "virtual_mac = false";
    lan.config.extra = lan.config.extra.replace("virtual_mac = true", without);
    lan.agent.reload(&lan.config);
    eventually(LONG, "the VIP is on the interface", || {
        let here = lan.adc.addresses();
        devices(&lan.adc.namespace).is_empty() && here.contains(&VIP_V4.into())
    });
    held.wait_for_rounds(5);
    held.assert_all_alive();
    held.close();
}

#[test]
fn a_clean_stop_and_what_follows_a_crash_leave_no_device() {
    require!(namespaces, agent);
    let mut lan = Lan::new(&both(), LINES);
    lan.wait_for_adc();
    assert!(lan.agent.stop().success());
    assert_eq!(devices(&lan.adc.namespace), Vec::<String>::new());
    assert!(is_as_before(&lan));

    // Agent and keeper are killed, and the next agent has no group.
    lan.agent.restart();
    lan.wait_for_adc();
    lan.agent.kill9();
    lan.agent.kill9_keeper();
    assert_eq!(devices(&lan.adc.namespace).len(), 2);
    lan.config.extra.clear();
    lan.agent.write_config(&lan.config);
    lan.agent.restart();
    eventually(LONG, "the devices are gone", || {
        devices(&lan.adc.namespace).is_empty() && is_as_before(&lan)
    });
}

/// keepalived with `use_vmac` in either role: hosts know one MAC, whoever has the VIP.
#[test]
fn keepalived_with_a_virtual_mac_takes_over_and_gives_back() {
    require!(namespaces, agent, "keepalived");
    let lan = Lan::new(&both(), LINES);
    lan.wait_for_adc();
    lan.assert_served();
    let mut router = Router::new(VRID, &both());
    router.virtual_mac = true;
    // A host that nobody can tell anything. keepalived's node, as Linux is by default, would tell it other MACs of its own: its
    // device for IPv6 answers ARP for the IPv4 address, and its own ARP requests come from an address that it was asked at.
    for vip in &lan.vips {
        pin_neighbour(&lan.topology.client, *vip);
    }
    let mut other = lan.keepalived(&router);
    eventually(LONG, "keepalived runs as backup", || {
        other.log().contains("Entering BACKUP STATE")
    });
    lan.assert_peace();
    lan.wait_for_adc();
    let switch = lan.topology.port("adc").namespace;
    let known_at = |port: &str| {
        for (vip, mac) in [(VIP_V4.into(), MAC_V4), (VIP_V6.into(), MAC_V6)] {
            assert_pings(&lan.topology.client, vip);
            let known = neighbour(&lan.topology.client, vip);
            assert!(known.contains(&text(mac)), "{known}");
            assert_eq!(port_of(&switch, mac).as_deref(), Some(port));
        }
    };
    known_at("adc");

    // keepalived with more preempts adc, is heard by it, and resigns when stopped.
    other.terminate();
    router.priority = 200;
    let mut other = lan.keepalived(&router);
    lan.wait_for_other();
    lan.assert_peace();
    lan.assert_understood();
    known_at("router");
    other.terminate();
    lan.wait_for_adc();
    known_at("adc");
    lan.assert_served();
    let answer = get_in(&lan.topology.client, WWW, "/", LONG);
    assert_eq!(answer.expect("served").body, "web1");
}
