//! Direct server return with real servers: the backend holds the VIP on its loopback, takes packets as they are or out
//! of a tunnel, and answers the client past the balancer.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::Command,
    time::Duration,
};

use adc_tests::{
    agent::{self, Agent, Backend, Config, Monitor},
    direct_return::{decapsulate, nth_vip, take_vips, wake_port},
    drive::UdpClient,
    net::Namespace,
    process::Process,
    require,
    serve::{Nginx, UdpEcho},
    topology::{BackendHost, Topology, VIP_V4, VIP_V6},
    wait::eventually,
};

const HTTP: u16 = 80;
const DNS: u16 = 53;

/// Enough for hundreds of full packets; nginx takes bodies up to a megabyte.
const LARGE: usize = 900_000;

/// One VIP per way to a backend: the mode, and the family of the backend's address.
const WAYS: [(&str, bool); 4] = [
    ("dsr-ipip", true),
    ("dsr-ipip", false),
    ("dsr-gue", true),
    ("dsr-gue", false),
];

fn curl(topology: &Topology, arguments: &[&str]) -> String {
    let all = [&["-sS", "--max-time", "60"], arguments].concat();
    topology.client.run("curl", &all)
}

/// A request, a large answer and a large question.
fn converse(topology: &Topology, nginx: &Nginx, vip: IpAddr) {
    let base = format!("http://{}", SocketAddr::new(vip, HTTP));
    assert_eq!(
        curl(topology, &["-f", &format!("{base}/")]).trim(),
        "web1",
        "{vip}"
    );
    let large = nginx.file("large").display().to_string();
    let received = topology.directory().join("received");
    let path = received.display().to_string();
    curl(
        topology,
        &["-f", "-o", &path, &format!("{base}/files/large")],
    );
    assert_eq!(
        fs::read(&received).unwrap(),
        fs::read(&large).unwrap(),
        "{vip}"
    );
    let upload = format!("@{large}");
    let answer = curl(
        topology,
        &[
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{size_upload}",
            "--data-binary",
            &upload,
            &format!("{base}/"),
        ],
    );
    assert_eq!(answer, format!("200 {LARGE}"), "{vip}");
}

fn noise() -> Vec<u8> {
    (0..LARGE)
        .map(|n| (n * 31 % 251).to_le_bytes()[0])
        .collect()
}

/// A configuration with a monitor.
fn checked(topology: &Topology) -> Config {
    let often = Monitor {
        interval: Duration::from_millis(100),
        timeout: Duration::from_millis(100),
        fall: 100,
        ..Monitor::tcp()
    };
    Config::new(topology).monitor("tcp", often)
}

/// The monitors of a pool.
fn monitors(protocol: &str) -> &'static [&'static str] {
    if protocol == "tcp" { &["tcp"] } else { &[] }
}

/// The path MTU that a host knows to an address.
fn path_mtu(namespace: &Namespace, to: IpAddr) -> Option<u64> {
    let text = namespace.ip(&["-json", "route", "get", &to.to_string()]);
    let routes: serde_json::Value = serde_json::from_str(&text).unwrap();
    routes[0]["metrics"][0]["mtu"].as_u64()
}

/// A service whose packets go through a tunnel.
struct Tunnel {
    name: String,
    vip: IpAddr,
    mode: &'static str,
    /// The family of the outer header.
    outer_v4: bool,
}

/// Each family in each, in every way.
fn tunnels() -> Vec<Tunnel> {
    let mut tunnels = Vec::new();
    for (base, inner) in [(IpAddr::V4(VIP_V4), 4), (IpAddr::V6(VIP_V6), 6)] {
        for ((mode, outer_v4), n) in WAYS.into_iter().zip(1..) {
            let outer = if outer_v4 { 4 } else { 6 };
            tunnels.push(Tunnel {
                name: format!("{mode}-{inner}in{outer}"),
                vip: nth_vip(base, n),
                mode,
                outer_v4,
            });
        }
    }
    tunnels
}

impl Tunnel {
    /// Adds the service and its pool, with one backend.
    fn service(
        &self,
        config: Config,
        host: &BackendHost,
        port: u16,
        protocol: &'static str,
    ) -> Config {
        let backend = if self.outer_v4 {
            Backend::v4(host, port)
        } else {
            Backend::v6(host, port)
        };
        let name = &self.name;
        config
            .pool(name, monitors(protocol), vec![backend])
            .service(name, SocketAddr::new(self.vip, port), protocol, name)
            .mode(self.mode)
    }

    /// Bytes of the longest packet that it takes.
    fn mtu(&self) -> usize {
        let ip = if self.outer_v4 { 20 } else { 40 };
        let gue = if self.mode == "dsr-gue" { 8 } else { 0 };
        1500 - ip - gue
    }

    /// Bytes of the longest payload of a datagram that goes through it whole.
    fn payload(&self) -> usize {
        let ip = if self.vip.is_ipv4() { 20 } else { 40 };
        self.mtu() - ip - 8
    }
}

/// Servers at every VIP, each of which answers from it.
fn echo_at(host: &BackendHost, tunnels: &[Tunnel]) -> Vec<UdpEcho> {
    let mut pairs: Vec<(Ipv4Addr, Ipv6Addr)> = Vec::new();
    for n in (1..).take(WAYS.len()) {
        let (v4, v6) = (nth_vip(VIP_V4.into(), n), nth_vip(VIP_V6.into(), n));
        if let (IpAddr::V4(v4), IpAddr::V6(v6)) = (v4, v6) {
            pairs.push((v4, v6));
        }
    }
    assert_eq!(pairs.len() * 2, tunnels.len());
    let at_vips = |(v4, v6)| BackendHost {
        v4,
        v6,
        ..host.clone()
    };
    let hosts = pairs.into_iter().map(at_vips);
    hosts.map(|host| UdpEcho::start(&host, DNS)).collect()
}

#[test]
fn backends_on_the_same_switch_get_packets_as_they_are() {
    require!(namespaces, agent, "nginx", "curl");
    let topology = Topology::one_arm(1);
    let _port = wake_port(&topology.switch_port, topology.directory());
    let host = &topology.backends[0];
    let vips = [IpAddr::V4(VIP_V4), IpAddr::V6(VIP_V6)];
    take_vips(host, &vips);
    let nginx = Nginx::start(host, HTTP, topology.directory());
    fs::write(nginx.file("large"), noise()).unwrap();
    let at_vips = BackendHost {
        v4: VIP_V4,
        v6: VIP_V6,
        ..host.clone()
    };
    let _dns = UdpEcho::start(&at_vips, DNS);
    let service = |config: Config, name: &str, vip: IpAddr, port, protocol, backend| {
        config
            .pool(name, monitors(protocol), vec![backend])
            .service(name, SocketAddr::new(vip, port), protocol, name)
            .mode("dsr-l2")
    };
    let mut config = checked(&topology);
    let (v4, v6) = (Backend::v4, Backend::v6);
    config = service(config, "www", vips[0], HTTP, "tcp", v4(host, HTTP));
    config = service(config, "www6", vips[1], HTTP, "tcp", v6(host, HTTP));
    config = service(config, "dns", vips[0], DNS, "udp", v4(host, DNS));
    config = service(config, "dns6", vips[1], DNS, "udp", v6(host, DNS));
    let agent = Agent::start(&topology, &config);
    for name in ["www", "www6", "dns", "dns6"] {
        agent.wait_for_available(name, 1);
    }
    for vip in vips {
        converse(&topology, &nginx, vip);
        let client = UdpClient::open(&topology.client, SocketAddr::new(vip, DNS));
        for size in [0, 100, 1400] {
            assert_eq!(client.exchange(&vec![7; size]).unwrap(), "web1");
        }
    }
    let flows = |pool: &str| agent.traffic(pool, "web1", "flows_established");
    assert!(flows("www") >= 3, "three connections were seen");
    assert_eq!(flows("dns"), 1, "one UDP flow was seen");
    assert_eq!(
        agent.traffic("www", "web1", "reply_packets"),
        0,
        "answers do not come by here"
    );
}

#[test]
fn tunnels_of_every_kind_end_in_adc_decap() {
    require!(namespaces, agent, "nginx", "curl");
    let topology = Topology::one_arm(1);
    let _port = wake_port(&topology.switch_port, topology.directory());
    let host = &topology.backends[0];
    let tunnels = tunnels();
    let vips: Vec<_> = tunnels.iter().map(|tunnel| tunnel.vip).collect();
    take_vips(host, &vips);
    let nginx = Nginx::start(host, HTTP, topology.directory());
    fs::write(nginx.file("large"), noise()).unwrap();
    let mut decap = decapsulate(host, &vips, topology.directory());
    let mut config = checked(&topology);
    for tunnel in &tunnels {
        config = tunnel.service(config, host, HTTP, "tcp");
    }
    let agent = Agent::start(&topology, &config);
    for tunnel in &tunnels {
        agent.wait_for_available(&tunnel.name, 1);
        converse(&topology, &nginx, tunnel.vip);
        assert_eq!(
            path_mtu(&topology.client, tunnel.vip),
            Some(tunnel.mtu() as u64),
            "{}: what the client learned",
            tunnel.name
        );
    }
    let status = decap.terminate(Duration::from_secs(10));
    assert!(status.success(), "{status}");
    let log = decap.log();
    let counted = log.lines().find_map(|line| {
        line.strip_prefix("decapsulated")?
            .split_whitespace()
            .next()?
            .parse::<u64>()
            .ok()
    });
    assert!(counted > Some(1000), "{log}");
    let links = host.namespace.ip(&["link", "show", "dev", "eth0"]);
    assert!(!links.contains("xdp"), "{links}");
}

/// Datagrams as long as the tunnel takes go whole. Of a longer one the client learns the path MTU from adc; from then on it
/// sends fragments, which go the same way and are put together by the backend.
#[test]
fn datagrams_go_through_tunnels_of_every_kind() {
    require!(namespaces, agent);
    let topology = Topology::one_arm(1);
    let _port = wake_port(&topology.switch_port, topology.directory());
    let host = &topology.backends[0];
    let tunnels = tunnels();
    let vips: Vec<_> = tunnels.iter().map(|tunnel| tunnel.vip).collect();
    take_vips(host, &vips);
    let _echo = echo_at(host, &tunnels);
    let _decap = decapsulate(host, &vips, topology.directory());
    let mut config = checked(&topology);
    for tunnel in &tunnels {
        config = tunnel.service(config, host, DNS, "udp");
    }
    let agent = Agent::start(&topology, &config);
    for tunnel in &tunnels {
        let name = &tunnel.name;
        agent.wait_for_available(name, 1);
        let client = UdpClient::open(&topology.client, SocketAddr::new(tunnel.vip, DNS));
        for size in [0, 1, 512, tunnel.payload() - 1, tunnel.payload()] {
            let answer = client.exchange(&vec![7; size]);
            assert_eq!(answer.unwrap(), "web1", "{name}: {size} bytes");
        }
        let longer = vec![8; tunnel.payload() + 1];
        eventually(Duration::from_secs(10), "the path MTU is learned", || {
            client.exchange(&longer).is_ok()
        });
        assert_eq!(
            path_mtu(&topology.client, tunnel.vip),
            Some(tunnel.mtu() as u64),
            "{name}"
        );
        for size in [3000, 9000, 60_000] {
            let answer = client.exchange(&vec![9; size]);
            assert_eq!(answer.unwrap(), "web1", "{name}: {size} bytes");
        }
        assert_eq!(agent.traffic(name, "web1", "flows_established"), 1);
        assert_eq!(agent.traffic(name, "web1", "reply_packets"), 0);
    }
}

#[test]
fn the_decapsulator_says_why_it_can_not() {
    require!(namespaces, agent);
    let topology = Topology::one_arm(1);
    let host = &topology.backends[0];
    let run = |interface: &str| {
        let mut command = Command::new(agent::binary().unwrap());
        command.args(["decap", "--interface", interface]);
        Process::spawn(
            &host.namespace,
            interface,
            &mut command,
            topology.directory(),
        )
    };
    let ended = |mut process: Process, words: &str| {
        eventually(Duration::from_secs(10), words, || {
            process.try_wait().is_some()
        });
        assert!(process.log().contains(words), "{}", process.log());
        assert!(!process.try_wait().unwrap().success());
    };
    ended(run("eth7"), "there is no such interface");
    let first = run("eth0");
    eventually(Duration::from_secs(10), "the first is attached", || {
        first.log().contains("decapsulating")
    });
    let mut command = Command::new(agent::binary().unwrap());
    command.args(["decap", "--interface", "eth0"]);
    let second = Process::spawn(
        &host.namespace,
        "second",
        &mut command,
        topology.directory(),
    );
    ended(second, "it already has an XDP program");
}
