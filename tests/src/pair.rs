//! Two adc nodes that share a VIP and the backends' gateway.

use std::{
    fs::{self, Permissions},
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::PermissionsExt as _,
    time::Duration,
};

use crate::{
    agent::{Agent, Backend, Config},
    drive::get_in,
    lan::{LONG, VRID},
    net::{Bridge, Link, VethPair},
    process::Process,
    scene::{HTTP_PORT, WWW},
    serve::{self, TcpServer},
    topology::{BackendHost, CLIENT_V4, GATEWAY_V4, INSIDE_V4, Topology, VIP_V4},
    wait::eventually,
};

/// One of the two.
#[derive(Debug)]
pub struct Node {
    /// Its agent.
    pub agent: Agent,
    /// Its interface.
    pub link: Link,
}

/// Two adc nodes with one arm each on one switch, service `www` in mode `nat` on both, and a group with its VIP and the
/// backends' gateway.
#[derive(Debug)]
pub struct Pair {
    /// Priority 150.
    pub first: Node,
    /// Priority 100.
    pub second: Node,
    /// A cable between the two, if the heartbeat decides.
    pub cable: Option<VethPair>,
    /// The network.
    pub topology: Topology,
    _elsewhere: Option<Bridge>,
    _servers: Vec<TcpServer>,
    _ports: [Process; 2],
}

/// The nodes' addresses on the cable between them.
const CABLE: [[u8; 4]; 2] = [[10, 99, 0, 1], [10, 99, 0, 2]];

/// The second interface of nodes whose groups move together.
pub const ELSEWHERE: &str = "eth1";

impl Node {
    /// Whether it is active and has both addresses.
    pub fn has_all(&self) -> bool {
        let here = self.link.namespace.addresses();
        self.role() == "active" && moving().iter().all(|address| here.contains(address))
    }

    /// Whether it has neither address.
    pub fn has_none(&self) -> bool {
        let here = self.link.namespace.addresses();
        !moving().iter().any(|address| here.contains(address))
    }

    /// What it is for the group.
    pub fn role(&self) -> String {
        let status = self.agent.json(&["ha", "status"]);
        status["groups"][0]["role"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

impl Pair {
    /// Both run, and the first is active.
    pub fn start() -> Self {
        Self::start_with(|_hosts, config| config)
    }

    /// The same with a changed configuration, of both.
    pub fn start_with(change: impl Fn(&[BackendHost], Config) -> Config) -> Self {
        let pair = Self::prepare(None, None, |_nodes| None, change);
        pair.wait_for_first();
        pair
    }

    /// The same, and the heartbeat decides, over a cable of its own and over the switch.
    pub fn by_heartbeat(profile: &str) -> Self {
        let unwired = |_: [&Link; 2]| None;
        let pair = Self::prepare(Some(profile), None, unwired, |_hosts, config| config);
        pair.wait_for_first();
        pair
    }

    /// Both run, and neither need be active yet. With a profile the heartbeat decides.
    pub fn unsettled(
        profile: Option<&str>,
        change: impl Fn(&[BackendHost], Config) -> Config,
    ) -> Self {
        Self::prepare(profile, None, |_nodes| None, change)
    }

    /// The same, and the client's machine is the witness.
    pub fn with_witness(profile: &str) -> Self {
        let unwired = |_: [&Link; 2]| None;
        let witness = Some(CLIENT_V4.into());
        let pair = Self::prepare(Some(profile), witness, unwired, |_hosts, config| config);
        pair.wait_for_first();
        pair
    }

    /// With a second interface, [`ELSEWHERE`], and a group `back` on it that moves with `front`. `profile` = the heartbeat
    /// decides.
    pub fn moving_together(profile: Option<&str>) -> Self {
        let plug = |nodes: [&Link; 2]| {
            // A switch of its own: on one link, Linux answers for the addresses of either interface on both.
            let switch = Bridge::new("elsewhere");
            let places = [("first", "10.77.0.2/24"), ("second", "10.77.0.3/24")];
            for (link, (port, address)) in nodes.into_iter().zip(places) {
                let (own, _port) = switch.plug(&link.namespace, ELSEWHERE, port);
                own.add_address(address.parse().expect("an address with a length"));
            }
            Some(switch)
        };
        let pair = Self::prepare(profile, None, plug, |_hosts, mut config| {
            let mut lines = config.extra.lines();
            let priority = lines.find(|line| line.starts_with("priority = "));
            let priority = priority.expect("the priority of the group");
            let more = format!(
                "\n[[ha.group]]\nname = \"back\"\nvrid = 77\ninterface = \"{ELSEWHERE}\"\n{priority}\nadvert_interval = \"100ms\"\nvips = [\"10.77.0.1/24\"]\n\n[[ha.sync_group]]\nname = \"edge\"\ngroups = [\"front\", \"back\"]\n"
            );
            config.extra.push_str(&more);
            config
        });
        pair.wait_for_first();
        pair
    }

    /// Cuts the first node off from everybody, and it can not tell by its interfaces.
    pub fn isolate_first(&self) {
        self.topology.switch_port.block();
        self.cut_cable();
    }

    /// Ends [`Self::isolate_first`] on the switch; the cable stays cut.
    pub fn reconnect_first(&self) {
        self.topology.switch_port.unblock();
    }

    /// Cuts the cable between the nodes.
    pub fn cut_cable(&self) {
        if let Some(cable) = &self.cable {
            cable.a.down();
        }
    }

    fn prepare(
        profile: Option<&str>,
        witness: Option<IpAddr>,
        wire: impl Fn([&Link; 2]) -> Option<Bridge>,
        change: impl Fn(&[BackendHost], Config) -> Config,
    ) -> Self {
        let topology = Topology::one_arm(2);
        let servers = topology.backends.iter();
        let servers = servers.map(|host| serve::http(host, HTTP_PORT)).collect();
        let [link, other] = topology.with_fellow("second");
        let elsewhere = wire([&link, &other]);
        let cable = profile.map(|_| {
            let cable = VethPair::connect((&link.namespace, "ha0"), (&other.namespace, "ha0"));
            let [first, second] = CABLE.map(Ipv4Addr::from);
            cable.a.add_address(format!("{first}/24").parse().unwrap());
            cable.b.add_address(format!("{second}/24").parse().unwrap());
            cable
        });
        let heartbeat =
            |own, peer| profile.map(|profile| heartbeat(&topology, profile, own, peer, witness));
        let ways = [("first", 0), ("second", 1)];
        let [first, second] = [heartbeat(ways[0], ways[1]), heartbeat(ways[1], ways[0])];
        let ports = topology.wake_ports("second");
        let first = first.unwrap_or_default();
        let second = second.unwrap_or_default();
        let first = node(&topology, "first", link, (150, &first), &change);
        let second = node(&topology, "second", other, (100, &second), &change);
        Self {
            first,
            second,
            cable,
            topology,
            _elsewhere: elsewhere,
            _servers: servers,
            _ports: ports,
        }
    }

    /// Waits until the first node has the addresses, and the second does not.
    #[track_caller]
    pub fn wait_for_first(&self) -> Duration {
        eventually(LONG, "the first node has the VIP, alone", || {
            self.first.has_all() && self.second.has_none()
        })
    }

    /// Waits until the second node has the addresses, and the first does not.
    #[track_caller]
    pub fn wait_for_second(&self) -> Duration {
        eventually(LONG, "the second node has the VIP, alone", || {
            self.second.has_all() && self.first.has_none()
        })
    }

    /// Waits until a client is served, by flows of `node`.
    #[track_caller]
    pub fn assert_served_by(&self, node: &Node) {
        let replies = || -> u64 {
            let reply = |name| node.agent.traffic("web", name, "reply_packets");
            ["web1", "web2"].map(reply).into_iter().sum()
        };
        let before = replies();
        let timeout = Duration::from_secs(2);
        eventually(LONG, "the client is served at the VIP", || {
            get_in(&self.topology.client, WWW, "/", timeout)
                .is_ok_and(|answer| answer.body.starts_with("web"))
        });
        assert!(replies() > before, "another node served it");
    }
}

/// What moves.
fn moving() -> [IpAddr; 2] {
    [VIP_V4.into(), GATEWAY_V4.1.into()]
}

/// The table of a node, and the key that both have.
fn heartbeat(
    topology: &Topology,
    profile: &str,
    (own, _): (&str, usize),
    (peer, at): (&str, usize),
    witness: Option<IpAddr>,
) -> String {
    let key = topology.directory().join(format!("{own}.key"));
    fs::write(&key, [42; 32]).expect("the key is written");
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("the key is closed");
    let (cable, lan) = (Ipv4Addr::from(CABLE[at]), INSIDE_V4[at]);
    let witness = witness.map_or_else(String::new, |at| format!("witness = \"{at}\"\n"));
    format!(
        "\n[ha.heartbeat]\n{witness}peer = \"{peer}\"\nprofile = \"{profile}\"\nkey_file = \"{}\"\npaths = [{{ interface = \"ha0\", peer = \"{cable}\" }}, {{ interface = \"eth0\", peer = \"{lan}\" }}]\n",
        key.display()
    )
}

/// Starts an agent.
fn node(
    topology: &Topology,
    name: &str,
    link: Link,
    (priority, heartbeat): (u8, &str),
    change: impl Fn(&[BackendHost], Config) -> Config,
) -> Node {
    let backends = topology.backends.iter();
    let backends = backends.map(|host| Backend::v4(host, HTTP_PORT)).collect();
    let mut config = Config::new(topology)
        .of_node(name)
        .pool("web", &[], backends)
        .service("www", WWW, "tcp", "web");
    let [vip, gateway] = moving();
    config.extra = format!(
        "{heartbeat}\n[[ha.group]]\nname = \"front\"\nvrid = {VRID}\ninterface = \"eth0\"\npriority = {priority}\nadvert_interval = \"100ms\"\nvips = [\"{vip}\", \"{gateway}/24\"]\n"
    );
    let config = change(&topology.backends, config);
    let mut agent = Agent::prepare_in(&link.namespace, &config);
    agent.spawn();
    agent.wait_until_ready();
    Node { agent, link }
}
