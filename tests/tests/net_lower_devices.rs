//! Devices that stand on others: bonds and VLANs, with adc on what is below them. Needs a kernel that has them; the kernels
//! of the matrix do.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use adc_tests::{
    agent::{Agent, Backend, Config},
    drive::{HeldConnections, get_in},
    net::{Bridge, Link, Namespace},
    require,
    scene::{ECHO, ECHO_PORT, HTTP_PORT, Scene, WWW, WWW6},
    serve::{self, TcpServer},
    topology::{
        BackendHost, CLIENT_V4, CLIENT_V6, GATEWAY_V4, GATEWAY_V6, Topology, VIP_V4, backend_v4,
        backend_v6,
    },
    wait::eventually,
};

/// An emulated machine takes its time.
const PATIENCE: Duration = Duration::from_mins(1);
const TIMEOUT: Duration = Duration::from_secs(5);

/// Port of the servers that talk without being asked.
const TICKER_PORT: u16 = 7009;
/// Service `ticker`.
const TICKER: SocketAddr = SocketAddr::new(IpAddr::V4(VIP_V4), 9);

/// Clients behind `bond0`, backends behind `bond1`; each of two cables into a switch of its own.
struct Bonds {
    _servers: Vec<TcpServer>,
    client: Namespace,
    adc: Namespace,
    config: Config,
    topology: Topology,
    /// The switches' ends of eth2 and eth3 (bond0), eth1 and eth4 (bond1).
    ports: [Link; 4],
    _front: Bridge,
}

const PORTS: [&str; 4] = ["eth2", "eth3", "eth1", "eth4"];

fn bonds(mode: &str) -> Bonds {
    let topology = Topology::two_arm(2);
    let adc = topology.adc.clone();
    // The client moves from its cable to a switch.
    let client = topology.client.clone();
    client.ip(&["link", "del", "eth0"]);
    let front = Bridge::new("front");
    let (eth0, _) = front.plug(&client, "eth0", "client");
    for address in [format!("{CLIENT_V4}/24"), format!("{CLIENT_V6}/64")] {
        eth0.add_address(address.parse().unwrap());
    }
    route_by(&client, &GATEWAY_V4.0.into());
    route_by(&client, &GATEWAY_V6.0.into());

    let (_, eth2) = front.plug(&adc, "eth2", "adc2");
    let (_, eth3) = front.plug(&adc, "eth3", "adc3");
    let (_, eth4) = topology.plug_adc("eth4", "adc4");
    let ports = [eth2, eth3, topology.switch_port.clone(), eth4];
    for port in &ports {
        port.enable_gro();
    }
    adc.ip(&["address", "flush", "dev", "eth1"]);
    bond(&adc, "bond0", mode, ["eth2", "eth3"], 0);
    bond(&adc, "bond1", mode, ["eth1", "eth4"], 1);

    let (servers, mut config) = served(&topology);
    config.interfaces = PORTS.map(str::to_owned).into();
    config.vip_interface = Some("bond0".into());
    Bonds {
        _servers: servers,
        client,
        adc,
        config,
        topology,
        ports,
        _front: front,
    }
}

/// Servers on every backend, and a configuration with all of them.
fn served(topology: &Topology) -> (Vec<TcpServer>, Config) {
    let hosts = &topology.backends;
    let start = |host: &BackendHost| {
        let ticker = TcpServer::start(&host.namespace, TICKER_PORT, tick);
        let http = serve::http(host, HTTP_PORT);
        [http, serve::echo(host, ECHO_PORT), ticker]
    };
    let servers = hosts.iter().flat_map(start).collect();
    let tickers = hosts.iter().map(|host| Backend::v4(host, TICKER_PORT));
    let config = Scene::config(topology)
        .pool("ticker", &[], tickers.collect())
        .service("ticker", TICKER, "tcp", "ticker");
    (servers, config)
}

/// Sends a byte now and then, for as long as somebody listens.
fn tick(mut stream: TcpStream) {
    while stream.write_all(b".").is_ok() {
        thread::sleep(Duration::from_millis(20));
    }
}

fn route_by(host: &Namespace, gateway: &IpAddr) {
    let family = if gateway.is_ipv4() { "-4" } else { "-6" };
    let gateway = gateway.to_string();
    host.ip(&[family, "route", "replace", "default", "via", &gateway]);
}

/// A bond with the adc node's addresses on side 0 (clients) or 1 (backends).
fn bond(adc: &Namespace, name: &str, mode: &str, ports: [&str; 2], side: usize) {
    adc.ip(&[
        "link", "add", name, "type", "bond", "mode", mode, "miimon", "50",
    ]);
    for port in ports {
        // A bond takes in only what is down.
        adc.ip(&["link", "set", port, "down"]);
        adc.ip(&["link", "set", port, "master", name]);
    }
    adc.ip(&["link", "set", name, "up"]);
    let link = Link {
        namespace: adc.clone(),
        name: name.to_owned(),
    };
    let v4 = [GATEWAY_V4.0, GATEWAY_V4.1][side];
    let v6 = [GATEWAY_V6.0, GATEWAY_V6.1][side];
    link.add_address(format!("{v4}/24").parse().unwrap());
    link.add_address(format!("{v6}/64").parse().unwrap());
}

impl Bonds {
    fn start(&self) -> Agent {
        let agent = Agent::start(&self.topology, &self.config);
        for pool in ["web", "web6", "echo"] {
            agent.wait_for_available(pool, 2);
        }
        agent
    }

    fn answers(&self) -> bool {
        [WWW, WWW6]
            .iter()
            .all(|vip| get_in(&self.client, *vip, "/", TIMEOUT).is_ok())
    }

    /// The active port of a bond, as the kernel says.
    fn active(&self, bond: &str) -> String {
        let link = Link {
            namespace: self.adc.clone(),
            name: bond.to_owned(),
        };
        let details = link.details();
        let active = details["linkinfo"]["info_data"]["active_slave"].as_str();
        active.unwrap_or_else(|| panic!("{details}")).to_owned()
    }

    /// The switch's end of a port.
    fn cable(&self, port: &str) -> &Link {
        let at = PORTS.iter().position(|name| *name == port);
        &self.ports[at.unwrap()]
    }

    fn cut(&self, port: &str) {
        let cable = self.cable(port);
        cable.namespace.ip(&["link", "set", &cable.name, "down"]);
    }

    fn mend(&self, port: &str) {
        self.cable(port).up();
    }
}

#[test]
fn a_bond_is_refused_with_its_ports_named() {
    require!(namespaces, agent, bonds);
    let mut bonds = bonds("active-backup");
    bonds.config.interfaces = vec!["bond0".into(), "bond1".into()];
    let mut agent = Agent::prepare(&bonds.topology, &bonds.config);
    agent.spawn();
    let status = agent.process().wait(PATIENCE);
    assert!(!status.success());
    let log = agent.process().log();
    assert!(
        log.contains("bond0") && log.contains("(eth2, eth3)"),
        "{log}"
    );
}

#[test]
fn connections_survive_when_either_bond_changes_its_active_port_and_back() {
    require!(namespaces, agent, bonds);
    let bonds = bonds("active-backup");
    let agent = bonds.start();
    eventually(PATIENCE, "the VIPs on the bond answer", || bonds.answers());
    let held = HeldConnections::open(&bonds.client, ECHO, 10);
    for bond in ["bond0", "bond1", "bond0", "bond1"] {
        let before = bonds.active(bond);
        bonds.cut(&before);
        eventually(PATIENCE, "the bond fails over", || {
            bonds.active(bond) != before
        });
        held.assert_all_alive();
        eventually(PATIENCE, "new connections work", || bonds.answers());
        bonds.mend(&before);
        agent.wait_for_available("web", 2);
    }
    held.assert_all_alive();
}

#[test]
fn a_client_that_only_listens_is_followed_to_the_other_port() {
    require!(namespaces, agent, bonds);
    let bonds = bonds("active-backup");
    let _agent = bonds.start();
    eventually(PATIENCE, "the VIPs on the bond answer", || bonds.answers());
    let before = bonds.active("bond0");
    let connect = || TcpStream::connect_timeout(&TICKER, TIMEOUT);
    let mut stream = bonds.client.enter(connect).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.read_exact(&mut [0; 10]).unwrap();
    bonds.cut(&before);
    eventually(PATIENCE, "the bond fails over", || {
        bonds.active("bond0") != before
    });
    // More than may have been on its way when the cable was cut: what is sent again after the change.
    let heard = stream.read_exact(&mut [0; 200]);
    heard.expect("the server is heard by the other port");
}

#[test]
fn a_bond_that_balances_carries_on_with_the_port_that_is_left() {
    require!(namespaces, agent, bonds);
    for mode in ["balance-xor", "802.3ad"] {
        let bonds = bonds(mode);
        let _agent = bonds.start();
        eventually(PATIENCE, "the VIPs on the bond answer", || bonds.answers());
        let held = HeldConnections::open(&bonds.client, ECHO, 10);
        for port in ["eth2", "eth1"] {
            bonds.cut(port);
            eventually(PATIENCE, "new connections work", || bonds.answers());
            held.assert_all_alive();
            bonds.mend(port);
            eventually(PATIENCE, "new connections work", || bonds.answers());
        }
        held.assert_all_alive();
    }
}

/// VLAN 100 towards the client, 200 towards the backends, on the interfaces that adc is attached to.
fn vlans() -> (Vec<TcpServer>, Config, Topology) {
    let topology = Topology::two_arm(2);
    let adc = &topology.adc;
    let (v4, v6) = (GATEWAY_V4, GATEWAY_V6);
    vlan(adc, "eth0", 100, v4.0.into(), v6.0.into());
    vlan(adc, "eth1", 200, v4.1.into(), v6.1.into());
    vlan(
        &topology.client,
        "eth0",
        100,
        CLIENT_V4.into(),
        CLIENT_V6.into(),
    );
    route_by(&topology.client, &v4.0.into());
    route_by(&topology.client, &v6.0.into());
    for (index, host) in topology.backends.iter().enumerate() {
        let (own4, own6) = (backend_v4(index), backend_v6(index));
        vlan(&host.namespace, "eth0", 200, own4.into(), own6.into());
        route_by(&host.namespace, &v4.1.into());
        route_by(&host.namespace, &v6.1.into());
    }
    let (servers, mut config) = served(&topology);
    config.vip_interface = Some("eth0.100".into());
    (servers, config, topology)
}

/// Moves a host's addresses from an interface to a VLAN on it, whose tags are written into the frames.
fn vlan(host: &Namespace, on: &str, id: u16, v4: IpAddr, v6: IpAddr) {
    host.run("ethtool", &["-K", on, "txvlan", "off"]);
    host.ip(&["address", "flush", "dev", on]);
    let (name, id) = (format!("{on}.{id}"), id.to_string());
    host.ip(&[
        "link", "add", "link", on, "name", &name, "type", "vlan", "id", &id,
    ]);
    host.ip(&["link", "set", &name, "up"]);
    let link = Link {
        namespace: host.clone(),
        name,
    };
    link.add_address(format!("{v4}/24").parse().unwrap());
    link.add_address(format!("{v6}/64").parse().unwrap());
}

#[test]
fn tagged_traffic_is_forwarded_from_one_vlan_to_another() {
    require!(namespaces, agent, vlans);
    let (_servers, config, topology) = vlans();
    let agent = Agent::start(&topology, &config);
    agent.wait_for_available("web", 2);
    agent.wait_for_available("web6", 2);
    for vip in [WWW, WWW6] {
        eventually(PATIENCE, "the VIP answers", || {
            get_in(&topology.client, vip, "/", TIMEOUT).is_ok()
        });
    }
    let held = HeldConnections::open(&topology.client, ECHO, 10);
    held.assert_all_alive();
    let forwarded = |reason| {
        agent
            .metrics()
            .sum("adc_packets_total", &[("reason", reason)])
    };
    assert!(forwarded("forwarded_to_backend") > 0);
    assert!(forwarded("forwarded_to_client") > 0);
}

#[test]
fn a_vlan_device_is_refused_with_the_one_below_it_named() {
    require!(namespaces, agent, vlans);
    let (_servers, mut config, topology) = vlans();
    config.interfaces = vec!["eth0.100".into(), "eth1".into()];
    let mut agent = Agent::prepare(&topology, &config);
    agent.spawn();
    assert!(!agent.process().wait(PATIENCE).success());
    let log = agent.process().log();
    assert!(log.contains("VLAN 100 on eth0"), "{log}");
}
