//! Two adc nodes with each other's flows: connections outlive the node that made them.

use std::{
    io::Write,
    net::{IpAddr, SocketAddr, TcpStream},
};

use adc_tests::{
    drive::UdpClient,
    lan::LONG,
    require,
    sync_pair::{
        CABLE, FULL_NAT, FULL_NAT6, Held, NAT, NAT6, Node, ON_CABLE, SyncPair, TALK,
        without_replication, write_key,
    },
    topology::BackendHost,
    wait::{eventually, eventually_some},
};
use adc_userspace::ha::sync::greeting::Hello;
use socket2::{Domain, Socket, Type};

/// Connections per mode.
const HELD: usize = 500;
/// The same over IPv6.
const HELD_V6: usize = 100;
/// Connections where their number does not matter.
const FEW: usize = 20;

/// UDP flows, and which backend answers each.
struct Talk(Vec<(UdpClient, String)>);

impl Talk {
    /// So many that every backend has one.
    fn open(pair: &SyncPair, service: SocketAddr) -> Self {
        let mut flows: Vec<(UdpClient, String)> = Vec::new();
        let hosts = &pair.topology.backends;
        eventually(LONG, "every backend has a UDP flow", || {
            let flow = UdpClient::open(&pair.topology.client, service);
            let name = flow.exchange(b"hello").expect("an answer");
            flows.push((flow, name));
            let has_one = |host: &BackendHost| flows.iter().any(|(_, name)| *name == host.name);
            hosts.iter().all(has_one)
        });
        Self(flows)
    }

    fn assert_answered_as_before(&self) {
        for (flow, name) in &self.0 {
            let answer = || flow.exchange(b"still there?").ok();
            let (who, _) = eventually_some(LONG, "a UDP flow is answered", answer);
            assert_eq!(who, *name, "another backend answers");
        }
    }
}

#[test]
fn a_thousand_connections_outlive_the_node_that_made_them_and_come_back_with_it() {
    require!(namespaces, agent);
    let mut pair = SyncPair::start();
    let [nat, full_nat] = [NAT, FULL_NAT].map(|service| pair.hold(service, HELD));
    let [nat6, full_nat6] = [NAT6, FULL_NAT6].map(|service| pair.hold(service, HELD_V6));
    let talks = TALK.map(|service| Talk::open(&pair, service));
    let talking: usize = talks.iter().map(|talk| talk.0.len()).sum();
    let all = 2 * HELD + 2 * HELD_V6 + talking;
    pair.second.wait_for_flows(all as u64);
    for node in [&mut pair.first, &mut pair.second] {
        node.turn_from_first_backend();
    }
    let assert_nothing_lost = || {
        for held in [&nat, &full_nat, &nat6, &full_nat6] {
            held.assert_all_alive();
        }
        for talk in &talks {
            talk.assert_answered_as_before();
        }
    };

    pair.first.power_off();
    pair.wait_for_second_alone();
    assert_nothing_lost();
    let turned_from = &pair.topology.backends[0].name;
    for pool in ["echo", "echo6", "talk", "talk6"] {
        let flows = pair.second.agent.flows(pool, turned_from);
        assert!(flows > 0, "{pool}: no flow shows that it was not lost");
    }

    pair.first.power_on();
    pair.wait_for(0);
    assert!(
        pair.first.is_in_sync(),
        "it preempted before it had the flows"
    );
    assert_nothing_lost();
}

/// What the test above would show if nothing were replicated.
#[test]
fn without_replication_flows_of_a_backend_that_gets_no_new_ones_are_lost() {
    require!(namespaces, agent);
    let mut pair = SyncPair::started(|_, config| without_replication(config));
    let held = [NAT, FULL_NAT, NAT6, FULL_NAT6].map(|service| pair.hold(service, FEW));
    let turned_from = &pair.topology.backends[0].name;
    let of_first = |pool| pair.first.agent.flows(pool, turned_from);
    let lost = ["echo", "echo6"].map(of_first).into_iter().sum::<u64>();
    assert!(lost > 0, "every flow went to one backend");
    for node in [&mut pair.first, &mut pair.second] {
        node.turn_from_first_backend();
    }
    pair.first.power_off();
    pair.wait_for_second_alone();
    eventually(LONG, "connections break", || {
        held.iter().map(Held::broken).sum::<usize>() as u64 >= lost
    });
}

#[test]
fn a_node_that_comes_back_leaves_the_group_to_the_other_until_it_has_its_flows() {
    require!(namespaces, agent);
    let mut pair = SyncPair::start();
    let held = pair.hold(NAT, FEW);
    pair.second.wait_for_flows(FEW as u64);
    pair.first.power_off();
    pair.wait_for_second_alone();

    pair.first.power_on_without_cable();
    // Many times as long as it takes to preempt.
    let told = pair.second.adverts() + 30;
    eventually(LONG, "the second node has told that it is active", || {
        pair.second.adverts() >= told
    });
    assert!(!pair.first.is_in_sync());
    let roles = [&pair.first, &pair.second].map(Node::role);
    assert_eq!(roles, ["backup", "active"]);
    assert_eq!(pair.first.took_over(), 0, "it was active without the flows");

    pair.first.cable.up();
    pair.wait_for(0);
    assert!(pair.first.is_in_sync());
    held.assert_all_alive();
}

#[test]
fn after_a_cut_cable_everything_is_fetched_again() {
    require!(namespaces, agent);
    let pair = SyncPair::start();
    pair.first.cable.down();
    eventually(LONG, "the second node notices", || {
        pair.second.sync()["following"] == false
    });
    assert!(!pair.second.is_in_sync());
    let _held = [pair.hold(NAT, FEW), pair.hold(FULL_NAT, FEW)];
    assert_eq!(pair.second.established(), 0);
    pair.first.cable.up();
    pair.second.wait_for_flows(2 * FEW as u64);
    eventually(LONG, "the second node is in sync", || {
        pair.second.is_in_sync()
    });
    assert!(pair.second.sync_count("pulls") >= 2);
    assert_eq!(
        pair.second.role(),
        "backup",
        "roles do not hang on the cable"
    );
}

#[test]
fn flows_of_what_the_other_node_does_not_have_are_skipped_until_it_does() {
    require!(namespaces, agent);
    let mut pair = SyncPair::with(|number, config| {
        if number == 1 {
            config.services.retain(|(name, _)| name == "nat");
        }
    });
    let _held = [pair.hold(NAT, FEW), pair.hold(FULL_NAT, FEW)];
    eventually(LONG, "flows are skipped", || {
        skipped(&pair.second, "unknown_backend") >= FEW as u64
    });
    pair.second.wait_for_flows(FEW as u64);
    assert_eq!(pair.second.established(), FEW as u64);
    let mut whole = pair.second.config.clone();
    whole.services.clone_from(&pair.first.config.services);
    pair.second.agent.reload(&whole);
    pair.second.wait_for_flows(2 * FEW as u64);
}

#[test]
fn a_node_that_starts_together_with_the_others_agent_gets_every_flow() {
    require!(namespaces, agent);
    let mut pair = SyncPair::start();
    let held = [pair.hold(NAT, FEW), pair.hold(FULL_NAT, FEW)];
    pair.first.wait_for_flows(2 * FEW as u64);
    pair.second.power_off();
    assert!(pair.first.agent.leave().success());
    pair.second.power_on();
    // It asks once a second, so also before the agent knows that this node is active.
    pair.first.agent.restart();
    eventually(LONG, "the second node is in sync", || {
        pair.second.is_in_sync()
    });
    assert!(pair.second.established() >= 2 * FEW as u64);
    for held in &held {
        held.assert_all_alive();
    }
}

#[test]
fn a_node_with_another_key_gets_nothing_and_tells_nothing() {
    require!(namespaces, agent);
    let pair = SyncPair::started(|number, config| {
        if number == 1 {
            write_key(config, &[8; 64]);
        }
    });
    for node in [&pair.first, &pair.second] {
        eventually(LONG, "the other's key is refused", || {
            refused(node, "key") > 0
        });
    }
    let _held = pair.hold(NAT, FEW);
    pair.first.wait_for_flows(FEW as u64);
    let before = refused(&pair.second, "key");
    eventually(LONG, "it is tried again", || {
        refused(&pair.second, "key") > before
    });
    assert_eq!(pair.second.established(), 0);
    assert!(!pair.second.is_in_sync());
}

#[test]
fn strangers_are_refused_by_reason_and_disturb_nobody() {
    require!(namespaces, agent);
    let pair = SyncPair::start();
    let hello = Hello {
        life: 1,
        nonce: [0; 32],
    };
    let mut newer = hello.write();
    newer[4] = 99;
    let proofless = [&hello.write()[..], &[0; 32]].concat();
    let said: [(&str, &[u8]); 4] = [
        ("greeting", &[b'x'; 48]),
        ("version", &newer),
        ("key", &proofless),
        ("silent", b"adcS"),
    ];
    for (reason, bytes) in said {
        let mut stream = stranger(&pair, None);
        stream.write_all(bytes).expect("a connection");
        eventually(LONG, reason, || refused(&pair.first, reason) > 0);
    }
    pair.second
        .cable
        .add_address("10.99.0.9/24".parse().expect("an address"));
    let _stream = stranger(&pair, Some([10, 99, 0, 9].into()));
    eventually(LONG, "the address is refused", || {
        refused(&pair.first, "address") > 0
    });
    // Nothing of that was a word of the other node.
    let _held = pair.hold(NAT, FEW);
    pair.second.wait_for_flows(FEW as u64);
    assert_eq!(pair.second.sync_count("pulls"), 1);
}

/// A connection to the first node's port, by the cable.
fn stranger(pair: &SyncPair, from: Option<IpAddr>) -> TcpStream {
    pair.second.link.namespace.enter(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket
            .bind_device(Some(CABLE.as_bytes()))
            .expect("the cable");
        if let Some(from) = from {
            let from = SocketAddr::new(from, 0).into();
            socket.bind(&from).expect("an address");
        }
        let to = SocketAddr::new(IpAddr::from(ON_CABLE[0]), 9554).into();
        socket.connect(&to).expect("the first node's port");
        socket.into()
    })
}

fn skipped(node: &Node, reason: &str) -> u64 {
    node.sync()["skipped"][reason].as_u64().unwrap_or_default()
}

fn refused(node: &Node, reason: &str) -> u64 {
    node.sync()["refused"][reason].as_u64().unwrap_or_default()
}
