//! Two adc nodes that share VIPs, a gateway and their flows, which they tell each other over a cable of their own.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    agent::{Agent, Backend, Config},
    drive::HeldConnections,
    lan::{LONG, VRID},
    net::{Link, VethPair},
    process::Process,
    scene::ECHO_PORT,
    serve::{self, TcpServer, UdpEcho},
    topology::{BackendHost, GATEWAY_V4, GATEWAY_V6, Topology, VIP_V4, VIP_V6},
    wait::eventually,
};

/// The cable between the nodes.
pub const CABLE: &str = "sync0";
/// The nodes' addresses on it.
pub const ON_CABLE: [[u8; 4]; 2] = [[10, 99, 0, 1], [10, 99, 0, 2]];
/// The local addresses of mode `full-nat`; they move with the VIPs.
const SNAT: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 2, 0, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 0x200)),
];
/// Echo service in mode `nat`.
pub const NAT: SocketAddr = SocketAddr::new(IpAddr::V4(VIP_V4), 7);
/// The same in mode `full-nat`.
pub const FULL_NAT: SocketAddr = SocketAddr::new(IpAddr::V4(VIP_V4), 8);
/// [`NAT`] over IPv6.
pub const NAT6: SocketAddr = SocketAddr::new(IpAddr::V6(VIP_V6), 7);
/// [`FULL_NAT`] over IPv6.
pub const FULL_NAT6: SocketAddr = SocketAddr::new(IpAddr::V6(VIP_V6), 8);
/// UDP echo services in mode `nat`, of both families.
pub const TALK: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(VIP_V4), 9),
    SocketAddr::new(IpAddr::V6(VIP_V6), 9),
];
/// Where backends answer to that.
const TALK_PORT: u16 = 9009;
/// A key that both have.
pub const KEY: [u8; 64] = [7; 64];

/// The last table of the configuration.
const REPLICATION: &str = "\n[ha.sync]";

/// Threads that use held connections.
const HANDS: usize = 10;

/// Connections in use.
#[derive(Debug)]
pub struct Held(Vec<HeldConnections>);

impl Held {
    /// Demands that every connection has survived so far, and tries each once more.
    pub fn assert_all_alive(&self) {
        for hand in &self.0 {
            hand.assert_all_alive();
        }
    }

    /// How many are broken.
    pub fn broken(&self) -> usize {
        self.0.iter().map(|hand| hand.broken().len()).sum()
    }
}

/// One of the two.
#[derive(Debug)]
pub struct Node {
    /// Its agent.
    pub agent: Agent,
    /// Its configuration.
    pub config: Config,
    /// Its interface.
    pub link: Link,
    /// Its end of the cable.
    pub cable: Link,
}

/// Two adc nodes with one arm each on one switch.
#[derive(Debug)]
pub struct SyncPair {
    /// Priority 150.
    pub first: Node,
    /// Priority 100.
    pub second: Node,
    /// The network.
    pub topology: Topology,
    _servers: Vec<TcpServer>,
    _talkers: Vec<UdpEcho>,
    /// Of the ports of both nodes: each packet goes out when it is sent.
    _ports: [Process; 2],
}

impl Node {
    /// What it says of replication.
    pub fn sync(&self) -> Value {
        self.agent.json(&["ha", "status"])["sync"].clone()
    }

    /// A number of that.
    pub fn sync_count(&self, name: &str) -> u64 {
        self.sync()[name].as_u64().unwrap_or_default()
    }

    /// Whether it has the other's flows.
    pub fn is_in_sync(&self) -> bool {
        self.sync()["in_sync"] == true
    }

    /// Adverts that it has sent.
    pub fn adverts(&self) -> u64 {
        let status = self.agent.json(&["ha", "status"]);
        let sent = status["groups"][0]["counters"]["adverts_sent"].as_u64();
        sent.unwrap_or_else(|| panic!("no count of adverts in {status}"))
    }

    /// How often it became active in its keeper's life.
    pub fn took_over(&self) -> usize {
        let status = self.agent.json(&["ha", "status"]);
        let changes = status["groups"][0]["changes"].as_array();
        let changes = changes.into_iter().flatten();
        changes.filter(|change| change["to"] == "active").count()
    }

    /// What it is for the group.
    pub fn role(&self) -> String {
        let status = self.agent.json(&["ha", "status"]);
        let role = status["groups"][0]["role"].as_str();
        role.unwrap_or_default().to_owned()
    }

    /// Validated flows that it has.
    pub fn established(&self) -> u64 {
        let count = self.agent.json(&["flow", "count"]);
        let tables = count["tables"].as_array().into_iter().flatten();
        let main = tables.filter(|table| {
            let name = table["table"].as_str().unwrap_or_default();
            name.starts_with("established")
        });
        main.filter_map(|table| table["flows"].as_u64()).sum()
    }

    /// Waits until it has so many validated flows.
    #[track_caller]
    pub fn wait_for_flows(&self, count: u64) {
        eventually(LONG, "the node has the flows", || {
            self.established() >= count
        });
    }

    /// Power off: nothing of it runs, and nothing of it is heard. What was in its memory is gone when it is
    /// [`Self::power_on`].
    pub fn power_off(&mut self) {
        self.agent.kill9();
        self.agent.kill9_keeper();
        self.link.down();
        self.cable.down();
    }

    /// Starts it again, without a flow and without an address of the group.
    pub fn power_on(&mut self) {
        self.cable.up();
        self.power_on_without_cable();
    }

    /// The same, and it can not reach the other node by the cable.
    pub fn power_on_without_cable(&mut self) {
        fs::remove_dir_all(self.config.pin_path()).expect("removing pins");
        for address in moving() {
            self.link.remove_address(address);
        }
        self.link.up();
        self.agent.restart();
    }

    /// The first backend gets no new flows of this node any more: a flow that is lost, and picked up again, goes to another one.
    pub fn turn_from_first_backend(&mut self) {
        for (_name, pool) in &mut self.config.pools {
            pool.backends[0].weight = 0;
        }
        self.agent.reload(&self.config);
    }
}

impl SyncPair {
    /// Both run, the first is active, and each has the other's flows.
    pub fn start() -> Self {
        Self::with(|_, _| {})
    }

    /// The same, with configurations that `change` has changed: that of node 0, that of node 1.
    pub fn with(change: impl Fn(usize, &mut Config)) -> Self {
        let pair = Self::started(change);
        for node in [&pair.first, &pair.second] {
            eventually(LONG, "the node has the other's flows", || node.is_in_sync());
        }
        pair
    }

    /// Both run, and the first is active.
    pub fn started(change: impl Fn(usize, &mut Config)) -> Self {
        let topology = Topology::one_arm(2);
        let servers = topology.backends.iter();
        let servers = servers.map(|host| serve::echo(host, ECHO_PORT)).collect();
        let talkers = topology.backends.iter();
        let talkers = talkers.map(|host| UdpEcho::start(host, TALK_PORT));
        let talkers = talkers.collect();
        let [link, other] = topology.with_fellow_of_both_families("second");
        let ports = topology.wake_ports("second");
        let cable = VethPair::connect((&topology.adc, CABLE), (&other.namespace, CABLE));
        for (end, address) in [&cable.a, &cable.b].into_iter().zip(ON_CABLE) {
            let address = format!("{}/24", IpAddr::from(address));
            end.add_address(address.parse().expect("an address"));
        }
        let node = |number: usize, link: Link, cable: Link| {
            let mut config = config(&topology, number);
            change(number, &mut config);
            let mut agent = Agent::prepare_in(&link.namespace, &config);
            agent.spawn();
            agent.wait_until_ready();
            Node {
                agent,
                config,
                link,
                cable,
            }
        };
        let first = node(0, link, cable.a.clone());
        let second = node(1, other, cable.b.clone());
        let pair = Self {
            first,
            second,
            topology,
            _servers: servers,
            _talkers: talkers,
            _ports: ports,
        };
        pair.wait_for(0);
        pair
    }

    /// Waits until one node is active, and the other is not.
    #[track_caller]
    pub fn wait_for(&self, number: usize) -> Duration {
        let (active, other) = match number {
            0 => (&self.first, &self.second),
            _ => (&self.second, &self.first),
        };
        eventually(LONG, "the node is active, alone", || {
            active.role() == "active" && other.role() == "backup"
        })
    }

    /// Waits until the second node is active; the first can not be asked.
    #[track_caller]
    pub fn wait_for_second_alone(&self) -> Duration {
        eventually(LONG, "the second node is active", || {
            self.second.role() == "active"
        })
    }

    /// Opens connections and keeps them in use, many at a time: one after the other they would wait for each other's answers.
    ///
    /// # Panics
    /// If one can not be opened.
    pub fn hold(&self, service: SocketAddr, count: usize) -> Held {
        let client = &self.topology.client;
        let each = count / HANDS;
        let hands = thread::scope(|scope| {
            let open = || HeldConnections::open(client, service, each);
            let hands: Vec<_> = (0..HANDS).map(|_| scope.spawn(open)).collect();
            let joined = hands.into_iter().map(|hand| hand.join().expect("a hand"));
            joined.collect()
        });
        Held(hands)
    }
}

/// What moves.
fn moving() -> [IpAddr; 6] {
    let gateways = [GATEWAY_V4.1.into(), GATEWAY_V6.1.into()];
    let [[vip, vip6], [gateway, gateway6], [snat, snat6]] =
        [[VIP_V4.into(), VIP_V6.into()], gateways, SNAT];
    [vip, gateway, snat, vip6, gateway6, snat6]
}

/// The configuration of one node.
fn config(topology: &Topology, number: usize) -> Config {
    let on = |backend: fn(&BackendHost, u16) -> Backend, port| {
        let hosts = topology.backends.iter();
        hosts.map(|host| backend(host, port)).collect()
    };
    let name = ["first", "second"][number];
    let mut config = Config::new(topology)
        .of_node(name)
        .pool("echo", &[], on(Backend::v4, ECHO_PORT))
        .pool("echo6", &[], on(Backend::v6, ECHO_PORT))
        .pool("talk", &[], on(Backend::v4, TALK_PORT))
        .pool("talk6", &[], on(Backend::v6, TALK_PORT))
        .service("nat", NAT, "tcp", "echo")
        .service("nat6", NAT6, "tcp", "echo6")
        .service("talk", TALK[0], "udp", "talk")
        .service("talk6", TALK[1], "udp", "talk6");
    let full_nat = [
        ("full-nat", FULL_NAT, "echo"),
        ("full-nat6", FULL_NAT6, "echo6"),
    ];
    for ((name, vip, pool), snat) in full_nat.into_iter().zip(SNAT) {
        config = config.service(name, vip, "tcp", pool).mode("full-nat");
        if let Some((_, service)) = config.services.last_mut() {
            service.extra = format!("snat = [\"{snat}\"]");
        }
    }
    config.extra = group(number);
    config.extra += &replication(&config, number);
    config
}

/// The group of a node.
fn group(number: usize) -> String {
    let priority = [150, 100][number];
    let gateways = [IpAddr::V4(GATEWAY_V4.1), IpAddr::V6(GATEWAY_V6.1)];
    let vips = moving().map(|address| match address {
        IpAddr::V4(_) if gateways.contains(&address) => format!("\"{address}/24\""),
        IpAddr::V6(_) if gateways.contains(&address) => format!("\"{address}/64\""),
        IpAddr::V4(_) | IpAddr::V6(_) => format!("\"{address}\""),
    });
    let vips = vips.join(", ");
    format!(
        "\n[[ha.group]]\nname = \"front\"\nvrid = {VRID}\ninterface = \"eth0\"\npriority = {priority}\nadvert_interval = \"100ms\"\nvips = [{vips}]\n"
    )
}

/// How a node has the other's flows.
fn replication(config: &Config, number: usize) -> String {
    let peer = IpAddr::from(ON_CABLE[1 - number]);
    let key = config.directory().join("sync.key");
    write_key(config, &KEY);
    format!(
        "{REPLICATION}\ninterface = \"{CABLE}\"\npeer = \"{peer}\"\nkey_file = \"{}\"\n",
        key.display()
    )
}

/// Takes replication out of a configuration.
///
/// # Panics
/// If there is none.
pub fn without_replication(config: &mut Config) {
    let at = config.extra.find(REPLICATION);
    config.extra.truncate(at.expect("replication"));
}

/// Gives a node its key.
///
/// # Panics
/// If the file can not be written.
pub fn write_key(config: &Config, key: &[u8]) {
    fs::create_dir_all(config.directory()).expect("the node's directory");
    let path = config.directory().join("sync.key");
    fs::write(&path, key).expect("the key");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("the key's mode");
}
