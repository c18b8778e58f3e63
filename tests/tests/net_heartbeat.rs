//! Two heartbeats over two cables: what is silence and what is not, and what is not believed.

use std::{
    fs,
    net::UdpSocket,
    os::{fd::AsFd, unix::fs::PermissionsExt},
    sync::{Arc, Mutex},
    time::Duration,
};

use adc_tests::{
    agent::{Agent, Config},
    net::{Namespace, VethPair},
    require,
    topology::{CLIENT_V4, GATEWAY_V4, Topology},
    wait::{eventually, eventually_some},
};
use adc_userspace::{
    ha::heartbeat::{
        counters::Counts,
        key::Key,
        packet::{Boot, Heartbeat, NodeId},
        refusal::Refusal,
        runner::{Event, Heartbeats, Setup, Statement, Watch},
    },
    model::{HeartbeatPath, Timing},
};
use nix::sys::socket::{setsockopt, sockopt::BindToDevice};

const PATIENCE: Duration = Duration::from_secs(30);
const PORT: u16 = 9553;
/// Often enough for a short test, and patient enough for a machine that does other things as well.
const TIMING: Timing = Timing {
    interval: Duration::from_millis(20),
    multiplier: 75,
};

/// Two nodes with a cable each of IPv4 and of IPv6.
struct Pair {
    a: Namespace,
    b: Namespace,
    _cables: [VethPair; 2],
}

fn pair() -> Pair {
    let (a, b) = (Namespace::new("node-a"), Namespace::new("node-b"));
    let cables = ["eth0", "eth1"].map(|name| VethPair::connect((&a, name), (&b, name)));
    cables[0].a.add_address("10.99.0.1/24".parse().unwrap());
    cables[0].b.add_address("10.99.0.2/24".parse().unwrap());
    cables[1].a.add_address("fd00:99::1/64".parse().unwrap());
    cables[1].b.add_address("fd00:99::2/64".parse().unwrap());
    Pair {
        a,
        b,
        _cables: cables,
    }
}

struct Node {
    heartbeats: Heartbeats,
    events: Arc<Mutex<Vec<Event>>>,
}

fn key() -> Key {
    Key::new(&[42; 32])
}

/// The peers of node a (host 1) are node b (host 2), and the other way round.
fn setup(own: &str, boot: u64) -> Setup {
    let (peer, host) = if own == "a" { ("b", 2) } else { ("a", 1) };
    let path = |interface: &str, peer: String| HeartbeatPath {
        interface: interface.to_owned(),
        peer: peer.parse().unwrap(),
    };
    Setup {
        own: NodeId::of(own),
        peer: NodeId::of(peer),
        boot: Boot(boot),
        key: key(),
        timing: TIMING,
        real_time: false,
        paths: vec![
            path("eth0", format!("10.99.0.{host}")),
            path("eth1", format!("fd00:99::{host}")),
        ],
        port: PORT,
    }
}

impl Node {
    fn start(namespace: &Namespace, setup: Setup) -> Self {
        Self::configured(namespace, setup, 7)
    }

    /// With another configuration than the other node's, if the hash is another.
    fn configured(namespace: &Namespace, setup: Setup, config_hash: u64) -> Self {
        let events = Arc::<Mutex<Vec<Event>>>::default();
        let sink = Arc::clone(&events);
        let tell = move |event| {
            sink.lock().unwrap().push(event);
            true
        };
        // Its thread inherits the namespace of the one that starts it.
        let heartbeats = namespace.enter(|| Heartbeats::start(setup, Watch, tell));
        let heartbeats = heartbeats.unwrap();
        heartbeats.say(Statement {
            config_hash,
            ..Statement::default()
        });
        Self { heartbeats, events }
    }

    /// What happened so far.
    fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    #[track_caller]
    fn waits_for(&self, event: &Event) {
        eventually(PATIENCE, &format!("{event:?}"), || {
            self.events().contains(event)
        });
    }

    fn forget(&self) {
        self.events.lock().unwrap().clear();
    }

    fn refused(&self, refusal: Refusal) -> u64 {
        let counts: Counts = self.heartbeats.counts();
        counts.refused.get(&refusal).copied().unwrap_or(0)
    }
}

/// What node a says to node b by eth0 (this takes the place of b's heartbeat for a while).
fn record(pair: &Pair, count: usize) -> Vec<Vec<u8>> {
    let socket = pair.b.enter(|| {
        let socket = UdpSocket::bind(("0.0.0.0", PORT)).unwrap();
        setsockopt(&socket.as_fd(), BindToDevice, &"eth0".into()).unwrap();
        socket
    });
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let one = |_| {
        let mut buffer = [0; 2048];
        let length = socket.recv(&mut buffer).unwrap();
        buffer[..length].to_vec()
    };
    (0..count).map(one).collect()
}

/// Sends datagrams from somewhere on node a to node b, by eth0.
fn send(pair: &Pair, datagrams: &[Vec<u8>]) {
    let socket = pair.a.enter(|| UdpSocket::bind("10.99.0.1:0").unwrap());
    for datagram in datagrams {
        socket.send_to(datagram, ("10.99.0.2", PORT)).unwrap();
    }
}

#[test]
fn one_cut_path_is_no_silence_and_all_of_them_are() {
    require!(namespaces);
    let pair = pair();
    let nodes = [
        Node::start(&pair.a, setup("a", 1)),
        Node::start(&pair.b, setup("b", 1)),
    ];
    let heard = |path| Event::Path { path, heard: true };
    let lost = |path| Event::Path { path, heard: false };
    for node in &nodes {
        node.waits_for(&heard(0));
        node.waits_for(&heard(1));
        node.waits_for(&Event::Peer { heard: true });
        node.forget();
    }

    pair.a.ip(&["link", "set", "eth0", "down"]);
    for node in &nodes {
        node.waits_for(&lost(0));
        assert_eq!(node.events(), [lost(0)]);
        node.forget();
    }
    pair.a.ip(&["link", "set", "eth1", "down"]);
    for node in &nodes {
        node.waits_for(&Event::Peer { heard: false });
        node.forget();
    }
    pair.a.ip(&["link", "set", "eth0", "up"]);
    for node in &nodes {
        node.waits_for(&Event::Peer { heard: true });
    }
    let counts = nodes[0].heartbeats.counts();
    assert!(counts.paths[1].not_sent > 0, "{counts:?}");
    assert!(counts.refused.is_empty(), "{counts:?}");
}

#[test]
fn what_was_recorded_changes_nothing_in_this_life_of_the_sender_or_in_a_later_one() {
    require!(namespaces);
    let pair = pair();
    let a = Node::start(&pair.a, setup("a", 1));
    let recorded = record(&pair, 5);
    let b = Node::start(&pair.b, setup("b", 1));
    b.waits_for(&Event::Peer { heard: true });

    send(&pair, &recorded);
    eventually(PATIENCE, "all of them are refused", || {
        b.refused(Refusal::Replayed) == 5
    });
    // The sender dies: what is sent again does not keep it alive.
    drop(a);
    send(&pair, &recorded);
    b.waits_for(&Event::Peer { heard: false });
    b.forget();
    let _later = Node::start(&pair.a, setup("a", 2));
    b.waits_for(&Event::Peer { heard: true });
    send(&pair, &recorded);
    eventually(PATIENCE, "all of them are refused as stale", || {
        b.refused(Refusal::StaleBoot) == 5
    });
}

#[test]
fn strangers_are_counted_by_what_is_wrong_with_them_and_not_heard() {
    require!(namespaces);
    let pair = pair();
    let b = Node::start(&pair.b, setup("b", 1));
    let a = Node::start(&pair.a, setup("a", 1));
    b.waits_for(&Event::Peer { heard: true });
    drop(a);
    let recorded = {
        drop(b);
        let _a = Node::start(&pair.a, setup("a", 1));
        record(&pair, 1)
    };
    let b = Node::start(&pair.b, setup("b", 1));
    let real = Heartbeat::decode(&recorded[0], &key()).unwrap();
    let as_node = |name: &str| Heartbeat {
        node: NodeId::of(name),
        ..real.clone()
    };
    let other_path = Heartbeat {
        path: 1,
        ..real.clone()
    };
    let mut newer = recorded[0].clone();
    newer[4] += 1;
    let cases = [
        (Refusal::Hmac, real.encode(&Key::new(&[43; 32]))),
        (Refusal::OwnNode, as_node("b").encode(&key())),
        (Refusal::UnknownNode, as_node("c").encode(&key())),
        (Refusal::OtherPath, other_path.encode(&key())),
        (Refusal::Length, b"hello".to_vec()),
        (Refusal::Version, newer),
    ];
    for (refusal, datagram) in cases {
        eventually_some(PATIENCE, refusal.name(), || {
            send(&pair, std::slice::from_ref(&datagram));
            (b.refused(refusal) > 0).then_some(())
        });
    }
    assert_eq!(b.events(), [], "it heard somebody");
}

#[test]
fn nodes_with_another_key_do_not_hear_each_other_and_those_with_another_configuration_say_so() {
    require!(namespaces);
    let pair = pair();
    let b = Node::start(&pair.b, setup("b", 1));
    let stranger = Setup {
        key: Key::new(&[43; 32]),
        ..setup("a", 1)
    };
    let a = Node::start(&pair.a, stranger);
    eventually(PATIENCE, "both refuse", || {
        a.refused(Refusal::Hmac) > 3 && b.refused(Refusal::Hmac) > 3
    });
    assert_eq!(b.events(), []);
    drop(a);
    let _a = Node::configured(&pair.a, setup("a", 1), 8);
    b.waits_for(&Event::ConfigDiffers(true));
    b.waits_for(&Event::Peer { heard: true });
}

#[test]
fn a_path_whose_interface_comes_later_is_used_from_then_on() {
    require!(namespaces);
    let (a, b) = (Namespace::new("node-a"), Namespace::new("node-b"));
    let first = Node::start(&a, setup("a", 1));
    let second = Node::start(&b, setup("b", 1));
    eventually(PATIENCE, "the trouble is told", || {
        let told = |event: &Event| matches!(event, Event::Trouble(text) if text.contains("eth0"));
        first.events().iter().any(told)
    });
    let cable = VethPair::connect((&a, "eth0"), (&b, "eth0"));
    cable.a.add_address("10.99.0.1/24".parse().unwrap());
    cable.b.add_address("10.99.0.2/24".parse().unwrap());
    for node in [&first, &second] {
        node.waits_for(&Event::Peer { heard: true });
    }
}

#[test]
fn an_agent_with_a_peer_hears_it_and_one_whose_key_others_may_read_does_not_start() {
    require!(namespaces, agent);
    let topology = Topology::two_arm(1);
    let key_file = topology.directory().join("ha.key");
    fs::write(&key_file, [42; 32]).unwrap();
    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o644)).unwrap();
    let mut config = Config::new(&topology);
    config.extra = format!(
        "[ha.heartbeat]\npeer = \"lb-b\"\nprofile = \"fast\"\nkey_file = \"{}\"\npaths = [{{ interface = \"eth0\", peer = \"{CLIENT_V4}\" }}]\n",
        key_file.display()
    );
    let mut agent = Agent::prepare(&topology, &config);
    agent.spawn();
    assert!(!agent.process().wait(PATIENCE).success());
    let log = agent.process().log();
    assert!(log.contains("chmod 600"), "{log}");
    assert!(!topology.interfaces[0].has_xdp_program());

    fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).unwrap();
    agent.restart();
    let peer = Setup {
        own: NodeId::of("lb-b"),
        peer: NodeId::of("lb-a"),
        paths: vec![HeartbeatPath {
            interface: "eth0".into(),
            peer: GATEWAY_V4.0.into(),
        }],
        ..setup("b", 1)
    };
    let peer = Node::start(&topology.client, peer);
    peer.waits_for(&Event::Peer { heard: true });
    // Another hash than the agent's.
    peer.waits_for(&Event::ConfigDiffers(true));
    let logged = |agent: &mut Agent, text: &str| {
        eventually(PATIENCE, text, || agent.process().log().contains(text));
    };
    logged(&mut agent, "the peer is there");
    let seen = |agent: &Agent| agent.json(&["ha", "status"])["heartbeat"].clone();
    eventually(PATIENCE, "heartbeats are counted", || {
        seen(&agent)["paths"][0]["received"].as_u64() > Some(0)
    });
    let said = seen(&agent);
    assert_eq!(said["heard"], true, "{said}");
    assert_eq!(said["config_differs"], true, "{said}");
    assert_eq!(said["paths"][0]["heard"], true, "{said}");
    assert_eq!(agent.metrics().sum("adc_heartbeat_peer_heard", &[]), 1);
    drop(peer);
    logged(&mut agent, "the peer is silent on all paths");
    eventually(PATIENCE, "silence is shown", || {
        let said = seen(&agent);
        said["heard"] == false && said["paths"][0]["heard"] == false
    });
    assert_eq!(agent.metrics().sum("adc_heartbeat_peer_heard", &[]), 0);
    assert!(agent.terminate().success());
}
