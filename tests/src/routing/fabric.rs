//! client – router – two adc nodes – backends: nodes, router and backends on one switch, the client behind the router.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use super::{Bird, Frr, node_config, router_config};
use crate::{
    agent::{Agent, Backend, Config, Monitor},
    direct_return::wake_port,
    net::{Link, Namespace, VethPair},
    process::Process,
    serve::{self, TcpServer},
    topology::{GATEWAY_V4, GATEWAY_V6, ROUTER_V4, ROUTER_V6, Topology},
    wait::eventually,
};

/// The VIP of the services with direct server return.
const VIP_DSR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// The VIP of the service with address translation.
const VIP_NAT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 11);
/// The VIP of the service over IPv6, with direct server return.
pub const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
const HTTP: u16 = 8080;
const ECHO: u16 = 7007;
/// HTTP, `dsr-l2`, monitored.
pub const WWW_DSR: SocketAddr = SocketAddr::new(IpAddr::V4(VIP_DSR), HTTP);
/// Echo, `dsr-l2`, not monitored.
pub const ECHO_DSR: SocketAddr = SocketAddr::new(IpAddr::V4(VIP_DSR), ECHO);
/// Echo, `full-nat`, not monitored.
pub const ECHO_NAT: SocketAddr = SocketAddr::new(IpAddr::V4(VIP_NAT), ECHO);
/// All VIPs of IPv4, as the router has them.
pub const SERVED: [IpAddr; 2] = [IpAddr::V4(VIP_DSR), IpAddr::V4(VIP_NAT)];

/// The nodes' addresses towards the router and towards the backends.
const NODES: [(Ipv4Addr, Ipv4Addr, Ipv6Addr); 2] = [
    (GATEWAY_V4.0, GATEWAY_V4.1, GATEWAY_V6.0),
    (
        Ipv4Addr::new(10, 1, 0, 4),
        Ipv4Addr::new(10, 2, 0, 4),
        Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 4),
    ),
];
/// The second node towards backends with IPv6; the first is where the topology has it.
const INSIDE_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 4);
/// What each node sends from in mode `full-nat`.
const SNAT: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 2, 0, 101), Ipv4Addr::new(10, 2, 0, 102)];
/// The router towards the backends, and towards the client.
const ROUTER_INSIDE: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 3);
const ROUTER_OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 10);
const LONG: Duration = Duration::from_secs(40);

/// What announces a node's VIPs.
#[derive(Debug)]
pub enum NodeDaemon {
    /// BIRD 2, both families.
    Bird(Bird),
    /// FRR, IPv4.
    Frr(Frr),
}

/// The network; everything runs.
#[derive(Debug)]
pub struct Fabric {
    // Dropped in this order.
    /// The adc nodes.
    pub agents: [Agent; 2],
    /// Their routing daemons.
    pub daemons: [NodeDaemon; 2],
    /// Their interfaces.
    pub links: [Link; 2],
    /// What they run.
    pub configs: [Config; 2],
    /// Where clients run.
    pub client: Namespace,
    router: Link,
    http: Vec<TcpServer>,
    _processes: Vec<Process>,
    _servers: Vec<TcpServer>,
    _uplink: VethPair,
    _bird: Bird,
    topology: Topology,
}

impl Fabric {
    /// Two nodes with BIRD, or the second with FRR; every VIP is announced by both. With `bfd`, a busy machine may part router
    /// and nodes for a moment.
    #[track_caller]
    pub fn new(second_has_frr: bool, bfd: bool) -> Self {
        let topology = Topology::one_arm(2);
        let (router, uplink) = place_router(&topology);
        let links = place_nodes(&topology);
        place_backends(&topology);
        let directory = topology.directory().to_owned();
        let processes = vec![
            wake_port(&topology.switch_port, &directory),
            wake_port(&port(&topology, "second"), &directory),
        ];
        let hosts = topology.backends.iter();
        let servers = hosts.map(|host| serve::echo(host, ECHO)).collect();
        let http = http_servers(&topology);
        let peers = NODES.map(|(outside, _, v6)| (outside, v6));
        let config = router_config(ROUTER_V4, ROUTER_V6, &peers, bfd);
        let bird = Bird::start(&router.namespace, "router", &config, &directory);
        let daemons = [0, 1].map(|n| {
            let frr = second_has_frr && n == 1;
            start_daemon(&links[n].namespace, n, (frr, bfd), &directory)
        });
        let configs = [0, 1].map(|n| node(&topology, n, second_has_frr && n == 1));
        if second_has_frr {
            let own = format!("{}/24", SNAT[1]);
            links[1].add_address(own.parse().unwrap());
        }
        let agents = [0, 1].map(|n| {
            let mut agent = Agent::prepare_in(&links[n].namespace, &configs[n]);
            agent.spawn();
            agent.wait_until_ready();
            agent
        });
        let fabric = Self {
            agents,
            daemons,
            links,
            configs,
            client: uplink.a.namespace.clone(),
            router,
            http,
            _processes: processes,
            _servers: servers,
            _uplink: uplink,
            _bird: bird,
            topology,
        };
        for vip in SERVED {
            fabric.wait_for_ways(vip, &[0, 1]);
        }
        fabric
    }

    /// The nodes by which the router reaches a VIP now.
    pub fn ways(&self, vip: IpAddr) -> Vec<usize> {
        let family = if vip.is_ipv4() { "-4" } else { "-6" };
        let text = self
            .router
            .namespace
            .ip(&[family, "route", "show", &vip.to_string()]);
        let via = |address: IpAddr| {
            let words: Vec<_> = text.split_whitespace().collect();
            let address = address.to_string();
            words.windows(2).any(|pair| pair == ["via", &address])
        };
        let node = |(outside, _, v6): (Ipv4Addr, Ipv4Addr, Ipv6Addr)| -> IpAddr {
            if vip.is_ipv4() {
                outside.into()
            } else {
                v6.into()
            }
        };
        let ways = NODES.into_iter().map(node).enumerate();
        ways.filter(|(_, address)| via(*address))
            .map(|(n, _)| n)
            .collect()
    }

    /// Waits until the router reaches a VIP by these nodes, and says how long that took.
    #[track_caller]
    pub fn wait_for_ways(&self, vip: IpAddr, nodes: &[usize]) -> Duration {
        let what = format!("the router reaches {vip} by the nodes {nodes:?}");
        eventually(LONG, &what, || self.ways(vip) == nodes)
    }

    /// The HTTP servers of all backends die.
    pub fn stop_http(&mut self) {
        self.http.clear();
    }

    /// They come back.
    pub fn start_http(&mut self) {
        self.http = http_servers(&self.topology);
    }

    /// A flow counter of a node, over the backends of a pool.
    pub fn flows(&self, node: usize, pool: &str) -> u64 {
        let names = self.topology.backends.iter().map(|host| &host.name);
        names.map(|name| self.agents[node].flows(pool, name)).sum()
    }

    /// Packets of clients that a node sent to the backends of a pool.
    pub fn forwarded(&self, node: usize, pool: &str) -> u64 {
        let names = self.topology.backends.iter().map(|host| &host.name);
        let agent = &self.agents[node];
        names
            .map(|name| agent.traffic(pool, name, "forward_packets"))
            .sum()
    }
}

/// The router: two arms on the switch's subnets, one to the client. It hashes addresses and ports.
fn place_router(topology: &Topology) -> (Link, VethPair) {
    let inside = [ROUTER_V4.into(), ROUTER_V6.into(), ROUTER_INSIDE.into()];
    let router = topology.add_machine("router", &inside);
    let namespace = &router.namespace;
    namespace.sysctl("net.ipv4.ip_forward", "1");
    namespace.sysctl("net.ipv4.fib_multipath_hash_policy", "1");
    let client = Namespace::new("user");
    let uplink = VethPair::connect((&client, "eth0"), (namespace, "eth1"));
    uplink
        .a
        .add_address(format!("{CLIENT}/24").parse().unwrap());
    let outside = format!("{ROUTER_OUTSIDE}/24");
    uplink.b.add_address(outside.parse().unwrap());
    let via = ROUTER_OUTSIDE.to_string();
    client.ip(&["route", "add", "default", "via", &via]);
    (router, uplink)
}

/// The second node beside the one that the topology has.
fn place_nodes(topology: &Topology) -> [Link; 2] {
    let (outside, inside, v6) = NODES[1];
    let addresses = [outside.into(), inside.into(), v6.into(), INSIDE_V6.into()];
    let second = topology.add_node("second", &addresses);
    let links = [topology.interfaces[0].clone(), second];
    for link in &links {
        let via = ROUTER_V4.to_string();
        let namespace = &link.namespace;
        namespace.ip(&["route", "replace", "default", "via", &via]);
    }
    links
}

/// Backends hold the VIPs with direct server return, and answer by the router.
fn place_backends(topology: &Topology) {
    for host in &topology.backends {
        let namespace = &host.namespace;
        for scope in ["all", "eth0"] {
            namespace.sysctl(&format!("net.ipv4.conf.{scope}.arp_ignore"), "1");
            namespace.sysctl(&format!("net.ipv4.conf.{scope}.arp_announce"), "2");
        }
        let vip = format!("{VIP_DSR}/32");
        namespace.ip(&["address", "add", &vip, "dev", "lo"]);
        let via = ROUTER_INSIDE.to_string();
        namespace.ip(&["route", "replace", "default", "via", &via]);
    }
}

/// The switch's end of a machine's interface.
fn port(topology: &Topology, name: &str) -> Link {
    Link {
        namespace: topology.switch_port.namespace.clone(),
        name: name.to_owned(),
    }
}

fn http_servers(topology: &Topology) -> Vec<TcpServer> {
    let hosts = topology.backends.iter();
    hosts.map(|host| serve::http(host, HTTP)).collect()
}

fn start_daemon(
    namespace: &Namespace,
    n: usize,
    (frr, bfd): (bool, bool),
    directory: &Path,
) -> NodeDaemon {
    let (id, _, v6) = NODES[n];
    if frr {
        return NodeDaemon::Frr(Frr::start(namespace, id, ROUTER_V4, bfd, directory));
    }
    let config = node_config(id, v6, (ROUTER_V4, ROUTER_V6), bfd);
    let name = format!("bird{n}");
    NodeDaemon::Bird(Bird::start(namespace, &name, &config, directory))
}

/// The same on both nodes, but for what they send from, and who has the VIPs: for zebra a VIP on an interface is connected,
/// which beats what it imports.
fn node(topology: &Topology, n: usize, frr: bool) -> Config {
    let hosts = &topology.backends;
    let v4 = |port| hosts.iter().map(|host| Backend::v4(host, port)).collect();
    let v6 = hosts.iter().map(|host| Backend::v6(host, ECHO)).collect();
    let mut config = Config::new(topology)
        .of_node(["first", "second"][n])
        .monitor("http", Monitor::http())
        .pool("web", &["http"], v4(HTTP))
        .pool("echo", &[], v4(ECHO))
        .pool("plain", &[], v4(ECHO))
        .pool("echo6", &[], v6)
        .service("plain", ECHO_NAT, "tcp", "plain")
        .full_nat(&[SNAT[n].into()])
        .service("www", WWW_DSR, "tcp", "web")
        .mode("dsr-l2")
        .service("echo", ECHO_DSR, "tcp", "echo")
        .mode("dsr-l2")
        .service("echo6", (VIP6, ECHO), "tcp", "echo6")
        .mode("dsr-l2");
    config.interfaces = vec!["eth0".into()];
    let vip_interface = if frr { "none" } else { "lo" };
    config.vip_interface = Some(vip_interface.into());
    config.extra = "\n[announce]\nrequire = \"all\"\nup_after = \"300ms\"\ndown_after = \"300ms\"\ndrain = \"2s\"\n".into();
    config
}
