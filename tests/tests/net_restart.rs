//! The active node of a pair while its agent is replaced, killed and upgraded, and while its keeper dies: a stream of a
//! thousand datagrams a second each way loses none, no role moves, and held connections live.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
};

use adc_tests::{
    agent::{Agent, Backend},
    drive::{HeldConnections, Stream},
    lan::LONG,
    pair::Pair,
    require,
    scene::{ECHO, ECHO_PORT},
    serve::{self, TcpServer, UdpEcho},
    topology::VIP_V4,
    wait::eventually,
};
use serde_json::Value;

/// The service of the stream.
const DNS: SocketAddr = SocketAddr::new(IpAddr::V4(VIP_V4), 53);
const DNS_PORT: u16 = 5353;
const PER_SECOND: u32 = 1_000;
const HELD: usize = 50;

/// A pair, a stream through it and connections that are held.
struct Busy {
    held: HeldConnections,
    stream: Stream,
    pair: Pair,
    udp: Vec<UdpEcho>,
    _tcp: Vec<TcpServer>,
    /// What each node had become before the test began.
    before: [Standing; 2],
}

/// What a node is, and how often it changed that.
#[derive(Clone, Debug, PartialEq)]
struct Standing {
    role: Value,
    since: Value,
    transitions: Value,
}

impl Standing {
    fn of(agent: &Agent) -> Self {
        let group = agent.json(&["ha", "status"])["groups"][0].clone();
        Self {
            role: group["role"].clone(),
            since: group["since"].clone(),
            transitions: group["counters"]["transitions"].clone(),
        }
    }
}

impl Busy {
    fn start() -> Self {
        let pair = Pair::start_with(|hosts, config| {
            let on = |port| hosts.iter().map(|host| Backend::v4(host, port)).collect();
            config
                .pool("echo", &[], on(ECHO_PORT))
                .pool("dns", &[], on(DNS_PORT))
                .service("echo", ECHO, "tcp", "echo")
                .service("dns", DNS, "udp", "dns")
        });
        let hosts = &pair.topology.backends;
        let tcp = hosts.iter().map(|host| serve::echo(host, ECHO_PORT));
        let tcp = tcp.collect();
        let udp = hosts.iter().map(|host| UdpEcho::start(host, DNS_PORT));
        let udp: Vec<_> = udp.collect();
        let held = HeldConnections::open(&pair.topology.client, ECHO, HELD);
        let stream = Stream::start(&pair.topology.client, DNS, PER_SECOND);
        stream.wait_for(500);
        let before = [&pair.first, &pair.second].map(|node| Standing::of(&node.agent));
        assert_eq!(before[0].role, "active");
        Self {
            held,
            stream,
            pair,
            udp,
            _tcp: tcp,
            before,
        }
    }

    fn roles(&self) -> [Standing; 2] {
        [&self.pair.first, &self.pair.second].map(|node| Standing::of(&node.agent))
    }

    /// Not one datagram is missing, nobody has changed roles, and every connection lives.
    fn assert_nothing_lost(self) {
        self.stream.wait_for(500);
        assert_eq!(self.roles(), self.before, "a role moved");
        self.held.assert_all_alive();
        let (sent, returned) = self.stream.stop();
        let arrived: u64 = self.udp.iter().map(UdpEcho::received).sum();
        println!("{sent} sent, {arrived} arrived, {returned} came back");
        assert_eq!((arrived, returned), (sent, sent), "arrived and came back");
    }
}

#[test]
fn an_agent_that_is_restarted_ten_times_loses_no_packet_and_moves_no_role() {
    require!(namespaces, agent);
    let mut busy = Busy::start();
    let keeper = busy.pair.first.agent.keeper();
    for _restart in 0..10 {
        assert!(busy.pair.first.agent.leave().success());
        busy.stream.wait_for(100);
        busy.pair.first.agent.restart();
    }
    assert_eq!(busy.pair.first.agent.keeper(), keeper, "one keeper");
    busy.assert_nothing_lost();
}

#[test]
fn an_agent_that_is_killed_loses_no_packet_and_moves_no_role() {
    require!(namespaces, agent);
    let mut busy = Busy::start();
    for _kill in 0..3 {
        busy.pair.first.agent.kill9();
        // As long as the backup waits for adverts, and longer.
        busy.stream.wait_for(1_000);
        busy.pair.first.agent.restart();
    }
    busy.assert_nothing_lost();
}

#[test]
fn a_binary_at_another_path_takes_program_and_keeper_over_and_loses_nothing() {
    require!(namespaces, agent);
    let mut busy = Busy::start();
    let first = &mut busy.pair.first.agent;
    let keeper = first.keeper().unwrap();
    let program = || fs::read_link(format!("/proc/{keeper}/exe")).unwrap();
    assert_eq!(program(), first.binary());
    let newer = busy.pair.topology.directory().join("adc");
    fs::copy(first.binary(), &newer).unwrap();
    first.use_binary(newer.clone());
    assert!(first.leave().success());
    first.restart();
    assert_eq!(first.keeper(), Some(keeper), "the same process");
    assert_eq!(program(), newer, "with the newer program");
    let status = first.json(&["status"]);
    assert_eq!(status["interfaces"][0]["adopted"], true, "{status}");
    busy.assert_nothing_lost();
}

#[test]
fn a_keeper_that_is_killed_is_started_again_and_one_node_has_the_addresses() {
    require!(namespaces, agent);
    let pair = Pair::start();
    for _kill in 0..3 {
        let keeper = pair.first.agent.keeper();
        pair.first.agent.kill9_keeper();
        eventually(LONG, "another keeper is there", || {
            let other = pair.first.agent.keeper();
            other.is_some() && other != keeper
        });
        pair.wait_for_first();
        pair.assert_served_by(&pair.first);
    }
    let status = pair.first.agent.json(&["ha", "status"]);
    assert_eq!(status["keeper"]["restarts"], 3, "{status}");
}

#[test]
fn a_node_without_agent_and_keeper_is_replaced_and_takes_its_addresses_off_when_it_is_back() {
    require!(namespaces, agent);
    let mut pair = Pair::start();
    pair.first.agent.kill9();
    pair.first.agent.kill9_keeper();
    eventually(LONG, "the second node has the addresses", || {
        pair.second.has_all()
    });
    // They are on both now, which only an agent can mend.
    pair.first.agent.restart();
    pair.wait_for_first();
    pair.assert_served_by(&pair.first);
}

#[test]
fn a_node_that_is_long_without_an_agent_is_the_last_choice_and_better_than_none() {
    require!(namespaces, agent);
    let mut pair = Pair::start_with(|_hosts, mut config| {
        config.extra += "\n[ha]\nagent_grace = \"1s\"\n";
        config
    });
    pair.first.agent.kill9();
    eventually(LONG, "the second node is better", || {
        pair.second.has_all() && pair.first.has_none()
    });
    assert!(pair.second.agent.stop().success());
    eventually(LONG, "the first has it, for lack of others", || {
        let here = pair.first.link.addresses();
        here.contains(&VIP_V4.into())
    });
    pair.first.agent.restart();
    assert_eq!(pair.first.role(), "active");
    eventually(LONG, "its priority is what it was", || {
        let status = pair.first.agent.json(&["ha", "status"]);
        status["groups"][0]["priority"]["effective"] == 150
    });
}

#[test]
fn addresses_that_somebody_took_off_are_back_and_those_of_nobody_go() {
    require!(namespaces, agent);
    let pair = Pair::start();
    let link = &pair.first.link;
    let vip = format!("{VIP_V4}/32");
    link.namespace
        .ip(&["address", "del", &vip, "dev", &link.name]);
    pair.wait_for_first();
    pair.assert_served_by(&pair.first);
    // The backup finds what it should not have, with adc's mark on it, when its keeper is another.
    pair.second.agent.kill9_keeper();
    pair.wait_for_first();
    assert!(pair.second.has_none());
}
