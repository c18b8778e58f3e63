//! An agent that finds flow tables of an earlier layout takes their flows over, under traffic.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use adc_common::abi::ABI_VERSION;
use adc_tests::{
    agent::Backend,
    announce,
    drive::{HeldConnections, Stream},
    earlier::{SAMPLE, entries, fill, sampled, turn_back},
    require,
    scene::{ECHO, ECHO_PORT, Scene},
    serve::UdpEcho,
    topology::{Topology, VIP_V4, VIP_V6},
    wait::eventually,
};

const ECHO6: SocketAddr = SocketAddr::new(IpAddr::V6(VIP_V6), 7);
const DNS: SocketAddr = SocketAddr::new(IpAddr::V4(VIP_V4), 53);
const DNS_PORT: u16 = 5353;
const PER_SECOND: u32 = 1_000;
const HELD: usize = 200;
/// So many that moving them takes a while.
const MANY: u32 = 100_000;
/// Longer than a start takes.
const LONG: Duration = Duration::from_secs(30);

/// The balancer's own addresses towards the backends.
const LOCAL: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 2, 0, 100)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 0x100)),
];

/// A node that an earlier release has left, with connections and a stream through it.
struct Node {
    held: Vec<HeldConnections>,
    stream: Stream,
    udp: Vec<UdpEcho>,
    /// Where the earlier release has its pins.
    earlier: PathBuf,
    scene: Scene,
}

impl Node {
    fn start(mode: &str) -> Self {
        let topology = Topology::two_arm(2);
        let hosts = topology.backends.clone();
        let udp = hosts.iter().map(|host| UdpEcho::start(host, DNS_PORT));
        let udp = udp.collect();
        let mut scene = Scene::with(topology, |config| {
            let v4 = hosts.iter().map(|host| Backend::v4(host, DNS_PORT));
            let v6 = hosts.iter().map(|host| Backend::v6(host, ECHO_PORT));
            let config = config
                .pool("dns", &[], v4.collect())
                .pool("echo6", &[], v6.collect())
                .service("dns", DNS, "udp", "dns")
                .service("echo6", ECHO6, "tcp", "echo6");
            match mode {
                "nat" => config,
                _ => config.full_nat(&LOCAL),
            }
        });
        scene.agent.kill9();
        let earlier = turn_back(scene.topology.pin_path());
        let client = &scene.topology.client;
        let held = [ECHO, ECHO6].map(|vip| HeldConnections::open(client, vip, HELD));
        let stream = Stream::start(client, DNS, PER_SECOND);
        stream.wait_for(500);
        Self {
            held: held.into(),
            stream,
            udp,
            earlier,
            scene,
        }
    }

    /// The agent is killed; what it has begun goes on without it.
    fn die(&mut self) {
        self.scene.agent.kill9();
        let left = entries(&self.earlier, "FLOWS4");
        announce(format_args!("{left} entries are left to be moved"));
        assert!(left > 0, "it died too late to show anything");
        self.stream.wait_for(500);
        for held in &self.held {
            held.assert_all_alive();
        }
        // Made while two programs serve.
        HeldConnections::open(&self.scene.topology.client, ECHO, 20).close();
    }

    /// Not one datagram is missing, and every connection lives.
    fn assert_nothing_lost(self) {
        self.stream.wait_for(500);
        for held in &self.held {
            held.assert_all_alive();
        }
        assert!(!self.earlier.exists(), "what was taken over is gone");
        let (sent, returned) = self.stream.stop();
        let arrived: u64 = self.udp.iter().map(UdpEcho::received).sum();
        announce(format_args!(
            "{sent} sent, {arrived} arrived, {returned} came back"
        ));
        assert_eq!((arrived, returned), (sent, sent), "arrived and came back");
    }
}

/// What the agent says of flows that it moved.
fn said(log: &str, word: &str) -> u64 {
    let line = log
        .lines()
        .rfind(|line| line.contains("took over the maps of an earlier layout"))
        .unwrap_or_else(|| panic!("nothing was taken over: {log}"));
    announce(format_args!("{line}"));
    let (_, value) = line
        .split_once(&format!("{word}="))
        .unwrap_or_else(|| panic!("no {word} in {line}"));
    let digits = value.split(|digit: char| !digit.is_ascii_digit()).next();
    digits.unwrap_or_default().parse().expect("a number")
}

#[test]
fn flows_of_an_earlier_layout_live_on_and_no_packet_is_lost() {
    require!(namespaces, agent, earlier);
    let mut node = Node::start("nat");
    // A flow that is lost, and picked up again, would go to the other backend.
    for (_name, pool) in &mut node.scene.config.pools {
        pool.backends[0].weight = 0;
    }
    node.scene.agent.write_config(&node.scene.config);
    node.scene.agent.restart();
    // The connections were counted by the earlier program, in counters of another size; this one has made a check or two.
    let operations = [("operation", "inserted")];
    let metrics = node.scene.agent.metrics();
    let inserted = metrics.sum("adc_flow_table_operations_total", &operations);
    assert!(inserted > 2 * HELD as u64, "{inserted}");
    let log = node.scene.agent.process().log();
    // Each connection, and the stream.
    assert!(said(&log, "established") > 2 * HELD as u64);
    assert_eq!(said(&log, "lost"), 0);
    let status = node.scene.agent.json(&["status"]);
    for interface in status["interfaces"].as_array().unwrap() {
        assert_eq!(interface["adopted"], true, "{interface}");
    }
    let name = &node.scene.topology.backends[0].name;
    for pool in ["echo", "echo6"] {
        assert!(node.scene.agent.flows(pool, name) > 0, "{pool}/{name}");
    }
    node.assert_nothing_lost();
}

#[test]
fn ports_of_full_nat_move_with_their_flows() {
    require!(namespaces, agent, earlier);
    let mut node = Node::start("full-nat");
    node.scene.agent.restart();
    let log = node.scene.agent.process().log();
    assert!(said(&log, "established") > 2 * HELD as u64);
    // What new connections get now is nobody else's.
    let more = HeldConnections::open(&node.scene.topology.client, ECHO, HELD);
    more.assert_all_alive();
    node.assert_nothing_lost();
}

#[test]
fn flow_tables_that_have_not_changed_are_taken_over_as_they_are() {
    require!(namespaces, agent);
    let topology = Topology::two_arm(2);
    let hosts = topology.backends.clone();
    let udp = hosts.iter().map(|host| UdpEcho::start(host, DNS_PORT));
    let udp: Vec<_> = udp.collect();
    let mut scene = Scene::with(topology, |config| {
        let v4 = hosts.iter().map(|host| Backend::v4(host, DNS_PORT));
        config
            .pool("dns", &[], v4.collect())
            .service("dns", DNS, "udp", "dns")
    });
    let client = &scene.topology.client;
    let held = HeldConnections::open(client, ECHO, HELD);
    let stream = Stream::start(client, DNS, PER_SECOND);
    stream.wait_for(500);
    scene.agent.kill9();
    let [own, earlier] = [ABI_VERSION, ABI_VERSION - 1]
        .map(|version| scene.topology.pin_path().join(format!("v{version}")));
    fs::rename(&own, &earlier).unwrap();
    // An older release had no program pinned.
    fs::remove_file(earlier.join("program")).unwrap();
    scene.agent.restart();
    assert_eq!(said(&scene.agent.process().log(), "established"), 0);
    assert!(scene.agent.flow_count() > HELD as u64);
    stream.wait_for(500);
    held.assert_all_alive();
    assert!(!earlier.exists());
    let aside = scene.topology.pin_path().join("taken-over");
    assert!(!aside.exists());
    let (sent, returned) = stream.stop();
    let arrived: u64 = udp.iter().map(UdpEcho::received).sum();
    assert_eq!((arrived, returned), (sent, sent), "arrived and came back");

    // As left by an agent that died before its last step.
    fs::create_dir(&aside).unwrap();
    scene.agent.kill9();
    scene.agent.restart();
    assert!(!aside.exists());
    held.assert_all_alive();
}

#[test]
fn an_agent_that_dies_while_flows_move_is_carried_on_by_the_next() {
    require!(namespaces, agent, earlier);
    let mut node = Node::start("full-nat");
    fill(&node.earlier, MANY);
    let begun = |node: &mut Node, words: &str| {
        eventually(LONG, words, || {
            node.scene.agent.process().log().contains(words)
        });
    };
    node.scene.agent.spawn();
    begun(&mut node, "copying the flows");
    node.die();
    node.scene.agent.spawn();
    begun(&mut node, "moving the flows");
    node.die();
    node.scene.agent.spawn();
    eventually(LONG, "a quarter of the flows was moved", || {
        sampled(&node.earlier, MANY) < SAMPLE / 4 * 3
    });
    node.die();
    node.scene.agent.restart();
    said(&node.scene.agent.process().log(), "established");
    assert!(node.scene.agent.flow_count() > u64::from(MANY));
    node.assert_nothing_lost();
}

#[test]
fn a_start_that_fails_before_flows_move_leaves_everything_to_the_earlier_release() {
    require!(namespaces, agent, earlier);
    let mut node = Node::start("nat");
    let mut wrong = node.scene.config.clone();
    wrong.interfaces.push("nosuch0".into());
    node.scene.agent.write_config(&wrong);
    let mut process = node.scene.agent.spawn_beside("mistaken");
    assert!(!process.wait(LONG).success());
    assert!(process.log().contains("nosuch0"), "{}", process.log());
    let own = node.scene.topology.pin_path();
    let own = own.join(format!("v{ABI_VERSION}"));
    assert_eq!(fs::read_dir(&own).unwrap().count(), 0, "nothing is left");
    for held in &node.held {
        held.assert_all_alive();
    }
    node.scene.agent.write_config(&node.scene.config);
    node.scene.agent.restart();
    node.assert_nothing_lost();
}

#[test]
fn a_newer_layout_that_serves_is_left_alone_and_the_agent_says_what_to_do() {
    require!(namespaces, agent, earlier);
    let mut scene = Scene::new(Topology::two_arm(1));
    let held = HeldConnections::open(&scene.topology.client, ECHO, 10);
    scene.agent.kill9();
    let pins = scene.topology.pin_path().to_owned();
    let version = ABI_VERSION;
    let own = pins.join(format!("v{version}"));
    let newer = pins.join(format!("v{}", version + 1));
    // As a release with one layout more would have named it.
    fs::rename(&own, &newer).unwrap();
    let mut process = scene.agent.spawn_beside("downgraded");
    let status = process.wait(LONG);
    assert!(!status.success());
    let log = process.log();
    assert!(
        log.contains(&newer.display().to_string()) && log.contains("start the newer adc again"),
        "{log}"
    );
    assert!(!own.exists(), "nothing was made");
    held.assert_all_alive();
    fs::rename(&newer, &own).unwrap();
    scene.agent.restart();
    held.assert_all_alive();
}
