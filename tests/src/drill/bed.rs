//! The network of a drill: a switch, a client, backends, and two adc nodes with a cable between them.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::Duration,
};

use adc_userspace::ha::heartbeat::key::Key;

use super::{
    clock::Clock,
    instruments::{BULK_PORT, Questioner, Tap},
    node::Node,
    plan::{Mode, Profile},
};
use crate::{
    agent::{Agent, Backend, Config},
    net::{Link, VethPair},
    process::Process,
    topology::{GATEWAY_V4, ROUTER_V4, Topology, VIP_V4},
    wait::{eventually, soon},
};

/// Services at the VIP; the backends listen on the same ports.
pub(super) const STREAM: SocketAddr = SocketAddr::new(IpAddr::V4(VIP_V4), 9);
/// TCP echo.
pub(super) const ECHO: SocketAddr = SocketAddr::new(IpAddr::V4(VIP_V4), 7);
const BULK: SocketAddr = SocketAddr::new(IpAddr::V4(VIP_V4), BULK_PORT);
pub(super) const VRID: u8 = 51;
const KEY: [u8; 32] = [42; 32];
pub(super) const NAMES: [&str; 2] = ["node-a", "node-b"];
/// The switch's ports towards them.
const PORTS: [&str; 2] = ["adc", NAMES[1]];
/// The nodes' addresses on the cable.
const CABLE: [Ipv4Addr; 2] = [
    Ipv4Addr::new(192, 168, 99, 1),
    Ipv4Addr::new(192, 168, 99, 2),
];
/// What backends see with `full-nat`.
const SNAT: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 50);
/// Who asks for the VIP all the time.
pub(super) const QUESTIONER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 9);
/// Who should not be there.
const OUTSIDER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 8);
/// Whom nodes ask that do not hear each other.
pub(super) const WITNESS: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 7);
/// Longer than replication takes.
const REPLICATION: Duration = Duration::from_secs(5);
/// Longer than anything takes that ends well.
const LONG: Duration = Duration::from_mins(1);

/// What kind of pair it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) profile: Profile,
    pub(super) mode: Mode,
    /// Each node has the flows of the other.
    pub(super) sync: bool,
    /// The nodes' processes have a clock that can jump.
    pub(super) own_clock: bool,
    /// A third machine is asked by nodes that do not hear each other.
    pub(super) witness: bool,
}

/// Everything that is up during a drill.
#[derive(Debug)]
pub(super) struct Bed {
    // Dropped in this order: what runs in the network goes before the network.
    pub(super) nodes: [Node; 2],
    /// What leaves each node.
    pub(super) taps: [Tap; 2],
    pub(super) profile: Profile,
    /// Whether each node has the flows of the other.
    pub(super) sync: bool,
    /// A machine on the switch that nobody knows.
    pub(super) outsider: Link,
    /// What seals heartbeats.
    pub(super) key: Key,
    /// If the nodes' processes have a clock of their own.
    pub(super) clock: Option<Clock>,
    /// Who is asked by nodes that do not hear each other.
    pub(super) witness: Option<Link>,
    /// Streams so far.
    pub(super) runs: u32,
    _questioner: Questioner,
    _ports: [Process; 2],
    pub(super) topology: Topology,
}

impl Bed {
    /// Starts both nodes and waits until one is active and the other its backup.
    pub(super) fn start(setting: Setting) -> Self {
        let topology = Topology::one_arm(2);
        let links = topology.with_fellow(NAMES[1]);
        let programs = topology.wake_ports(NAMES[1]);
        let cable = VethPair::connect((&links[0].namespace, "eth1"), (&links[1].namespace, "eth1"));
        let key = topology.directory().join("ha.key");
        write_key(&key);
        let clock = setting.own_clock;
        let clock = clock.then(|| Clock::new(topology.directory()));
        let witness = setting.witness;
        let witness = witness.then(|| topology.add_machine("witness", &[WITNESS.into()]));
        let nodes = [0, 1].map(|index| {
            let cable = [&cable.a, &cable.b][index].clone();
            cable.add_address(ipnet::IpNet::new_assert(CABLE[index].into(), 24));
            let config = of_node(&topology, setting, index, &key);
            let mut agent = Agent::prepare_in(&links[index].namespace, &config);
            agent.environment = clock.as_ref().map(Clock::environment).unwrap_or_default();
            Node {
                agent,
                link: links[index].clone(),
                cable,
                port: topology.port(PORTS[index]),
                own: [GATEWAY_V4.0, ROUTER_V4][index],
                config,
                moving: moving(setting.mode).into(),
            }
        });
        let taps = nodes.each_ref().map(|node| Tap::listen(&node.port));
        let asking = topology.add_machine("asks", &[QUESTIONER.into()]);
        let mut bed = Self {
            nodes,
            taps,
            profile: setting.profile,
            sync: setting.sync,
            outsider: topology.add_machine("outsider", &[OUTSIDER.into()]),
            key: Key::new(&KEY),
            clock,
            witness,
            runs: 0,
            _questioner: Questioner::start(&asking, QUESTIONER),
            _ports: programs,
            topology,
        };
        for node in &mut bed.nodes {
            node.agent.spawn();
        }
        bed.recover();
        bed
    }

    /// Prints the end of what the agents said.
    pub(super) fn tell(mut self) {
        const LINES: usize = 40;
        for (node, name) in self.nodes.iter_mut().zip(NAMES) {
            let log = node.agent.process().log();
            let lines: Vec<&str> = log.lines().collect();
            let end = &lines[lines.len().saturating_sub(LINES)..];
            eprintln!("--- log of {name}:\n{}", end.join("\n"));
        }
    }

    /// The first backend gets new flows of TCP's echo service or, with weight 0, gets none: a connection that is lost, and
    /// picked up again, then goes to the other one, which does not know it. So those that survive were not lost.
    pub(super) fn weigh_first_echo_backend(&mut self, weight: u16) {
        for node in &mut self.nodes {
            let backend = &mut node.config.pool_mut("echo").backends[0];
            if backend.weight == weight {
                continue;
            }
            backend.weight = weight;
            node.take_config();
        }
    }

    /// Gives replication the time that it needs for connections that have just been opened; if it does not come to an end, the
    /// connections that are lost will tell.
    pub(super) fn wait_for_flows(&self, node: usize, count: usize) {
        let agent = &self.nodes[node].agent;
        soon(REPLICATION, || agent.flow_count() >= count as u64);
    }

    /// Hosts ask again who has the VIP and the gateway: no trial inherits what an earlier one left in their memory.
    pub(super) fn forget_neighbours(&self) {
        let hosts = self.topology.backends.iter().map(|host| &host.namespace);
        for namespace in hosts.chain([&self.topology.client]) {
            namespace.ip(&["neigh", "flush", "dev", "eth0"]);
        }
    }

    /// Waits until both agents answer, and returns which node is active and which its backup.
    #[track_caller]
    pub(super) fn recover(&mut self) -> (usize, usize) {
        for node in &mut self.nodes {
            node.wait_until_ready();
        }
        let mut found = (0, 1);
        eventually(LONG, "one node is active and the other its backup", || {
            found = if self.nodes[0].is_active() {
                (0, 1)
            } else {
                (1, 0)
            };
            self.nodes[found.0].is_active() && self.nodes[found.1].is_backup()
        });
        found
    }
}

fn write_key(path: &Path) {
    let written = fs::write(path, KEY);
    written
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o600)))
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

/// The VIP, and what the backends answer to.
pub(super) fn moving(mode: Mode) -> [IpAddr; 2] {
    let inside = match mode {
        Mode::Nat => GATEWAY_V4.1,
        Mode::FullNat => SNAT,
    };
    [VIP_V4.into(), inside.into()]
}

/// The file of a node.
fn of_node(topology: &Topology, setting: Setting, index: usize, key: &Path) -> Config {
    let Setting { profile, mode, .. } = setting;
    let mut config = configuration(topology, profile, mode, index, key);
    // The heartbeat's table is the last one.
    if setting.witness && profile.heartbeat().is_some() {
        let witness = format!("witness = \"{WITNESS}\"\n");
        config.extra.push_str(&witness);
    }
    if setting.sync {
        config.extra += &replication(index, key);
    }
    config
}

pub(super) fn configuration(
    topology: &Topology,
    profile: Profile,
    mode: Mode,
    index: usize,
    key: &Path,
) -> Config {
    let hosts = &topology.backends;
    let on = |port| hosts.iter().map(|host| Backend::v4(host, port)).collect();
    let mut config = Config::new(topology)
        .of_node(NAMES[index])
        .pool("stream", &[], on(STREAM.port()))
        .pool("echo", &[], on(ECHO.port()))
        .pool("bulk", &[], vec![Backend::v4(&hosts[0], BULK_PORT)])
        .service("stream", STREAM, "udp", "stream")
        .service("echo", ECHO, "tcp", "echo")
        .service("bulk", BULK, "tcp", "bulk");
    // As in service: one packet in a thousand is verified.
    config.self_check = 1000;
    if mode == Mode::FullNat {
        config = config.full_nat(&[SNAT.into()]);
    }
    config.extra = availability(profile, mode, index, key);
    config
}

/// The part of the configuration that makes two nodes a pair.
fn availability(profile: Profile, mode: Mode, index: usize, key: &Path) -> String {
    let priority = [150, 100][index];
    let [vip, inside] = moving(mode);
    let group = format!(
        "\n[[ha.group]]\nname = \"{GROUP}\"\nvrid = {VRID}\ninterface = \"eth0\"\npriority = {priority}\n\
         preempt = false\nadvert_interval = \"100ms\"\nvips = [\"{vip}\", \"{inside}/24\"]\n"
    );
    let heartbeat = profile.heartbeat().map(|profile| {
        let other = 1 - index;
        let (peer, cable) = (NAMES[other], CABLE[other]);
        let switch = [GATEWAY_V4.0, ROUTER_V4][other];
        let key = key.display();
        format!(
            "\n[ha.heartbeat]\npeer = \"{peer}\"\nprofile = \"{profile}\"\nkey_file = \"{key}\"\n\
             paths = [{{ interface = \"eth1\", peer = \"{cable}\" }}, {{ interface = \"eth0\", peer = \"{switch}\" }}]\n"
        )
    });
    group + &heartbeat.unwrap_or_default()
}

/// Flows of the other node.
fn replication(index: usize, key: &Path) -> String {
    let (peer, key) = (CABLE[1 - index], key.display());
    format!("\n[ha.sync]\ninterface = \"eth1\"\npeer = \"{peer}\"\nkey_file = \"{key}\"\n")
}

/// The group that moves.
pub(super) const GROUP: &str = "front";
