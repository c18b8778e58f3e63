//! The unit that adc comes with, under a real systemd: `systemctl restart adc` loses no packet, and `systemctl stop adc`
//! leaves nothing.

use std::net::{IpAddr, SocketAddr};

use adc_tests::{
    agent::{Backend, Config},
    drive::{HeldConnections, Stream},
    lan::{LONG, VRID},
    require,
    scene::{ECHO, ECHO_PORT},
    serve::{self, TcpServer, UdpEcho},
    systemd::Systemd,
    topology::{Topology, VIP_V4},
    wait::eventually,
};
use serde_json::Value;

/// The service of the stream.
const DNS: SocketAddr = SocketAddr::new(IpAddr::V4(VIP_V4), 53);
const DNS_PORT: u16 = 5353;
const PER_SECOND: u32 = 1_000;
const HELD: usize = 50;
const RESTARTS: usize = 5;

/// A node with a VIP that an HA group has.
struct Node {
    systemd: Systemd,
    udp: Vec<UdpEcho>,
    _tcp: Vec<TcpServer>,
    topology: Topology,
}

impl Node {
    fn start() -> Self {
        let topology = Topology::two_arm(2);
        let hosts = &topology.backends;
        let tcp = hosts.iter().map(|host| serve::echo(host, ECHO_PORT));
        let tcp = tcp.collect();
        let udp = hosts.iter().map(|host| UdpEcho::start(host, DNS_PORT));
        let udp = udp.collect();
        let systemd = Systemd::boot(&topology.adc, &config(&topology));
        systemd.systemctl(&["start", "adc"]);
        let node = Self {
            systemd,
            udp,
            _tcp: tcp,
            topology,
        };
        node.wait_until_active();
        eventually(LONG, "every backend takes new flows", || {
            let backends = node.systemd.adc(&["backend", "list"]);
            let is_available = |backend: &Value| backend["weight"]["effective"].as_u64() > Some(0);
            let backends = backends.as_array();
            backends.is_some_and(|all| all.len() == 4 && all.iter().all(is_available))
        });
        node
    }

    fn wait_until_active(&self) {
        eventually(LONG, "the node has the group", || {
            self.systemd.adc(&["ha", "status"])["groups"][0]["role"] == "active"
        });
    }

    /// The agent, as the node calls it.
    fn agent(&self) -> String {
        self.systemd.property("MainPID")
    }

    fn keeper(&self) -> u64 {
        let status = self.systemd.adc(&["ha", "status"]);
        status["keeper"]["pid"].as_u64().expect("a keeper")
    }
}

fn config(topology: &Topology) -> Config {
    let on = |port| {
        let hosts = topology.backends.iter();
        hosts.map(|host| Backend::v4(host, port)).collect()
    };
    let mut config = Config::new(topology)
        .pool("echo", &[], on(ECHO_PORT))
        .pool("dns", &[], on(DNS_PORT))
        .service("echo", ECHO, "tcp", "echo")
        .service("dns", DNS, "udp", "dns");
    config.extra = format!(
        "\n[[ha.group]]\nname = \"front\"\nvrid = {VRID}\ninterface = \"eth0\"\nvips = [\"{VIP_V4}\"]\n"
    );
    config
}

#[test]
fn restarts_and_a_crash_under_systemd_lose_no_packet_and_move_no_role() {
    require!(namespaces, agent, "systemctl");
    let node = Node::start();
    let held = HeldConnections::open(&node.topology.client, ECHO, HELD);
    let stream = Stream::start(&node.topology.client, DNS, PER_SECOND);
    stream.wait_for(500);
    let (keeper, mut agent) = (node.keeper(), node.agent());
    for _restart in 0..RESTARTS {
        node.systemd.systemctl(&["restart", "adc"]);
        let next = node.agent();
        assert_ne!(next, agent, "another process");
        agent = next;
        node.wait_until_active();
        stream.wait_for(100);
    }
    node.systemd
        .systemctl(&["kill", "--signal=KILL", "--kill-who=main", "adc"]);
    eventually(LONG, "systemd starts it again", || {
        ![agent.as_str(), "0"].contains(&node.agent().as_str())
    });
    node.wait_until_active();
    node.systemd.systemctl(&["reload", "adc"]);
    stream.wait_for(500);
    assert_eq!(node.keeper(), keeper, "roles never stopped");
    held.assert_all_alive();
    let (sent, returned) = stream.stop();
    let arrived: u64 = node.udp.iter().map(UdpEcho::received).sum();
    println!("{sent} sent, {arrived} arrived, {returned} came back");
    assert_eq!((arrived, returned), (sent, sent), "arrived and came back");
}

#[test]
fn a_stop_by_systemd_leaves_nothing() {
    require!(namespaces, agent, "systemctl");
    let node = Node::start();
    let front = &node.topology.interfaces[0];
    assert!(front.has_xdp_program());
    assert!(front.addresses().contains(&VIP_V4.into()));
    node.systemd.systemctl(&["stop", "adc"]);
    assert_eq!(node.systemd.property("ActiveState"), "inactive");
    assert_eq!(node.systemd.property("Result"), "success");
    eventually(LONG, "no process of adc is left", || {
        node.systemd.processes().is_empty()
    });
    for interface in &node.topology.interfaces {
        assert!(!interface.has_xdp_program(), "{}", interface.name);
    }
    assert!(!front.addresses().contains(&VIP_V4.into()));
}
