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

/// Makes a host take packets for `vips`, and answer clients without the balancer.
fn take_vips(host: &BackendHost, vips: &[IpAddr]) {
    let namespace = &host.namespace;
    // Nobody but the balancer answers ARP for a VIP, and none is asked from as one.
    for scope in ["all", "eth0"] {
        namespace.sysctl(&format!("net.ipv4.conf.{scope}.arp_ignore"), "1");
        namespace.sysctl(&format!("net.ipv4.conf.{scope}.arp_announce"), "2");
    }
    for vip in vips {
        match vip {
            IpAddr::V4(vip) => {
                namespace.ip(&["address", "add", &format!("{vip}/32"), "dev", "lo"]);
            }
            IpAddr::V6(vip) => {
                let vip = format!("{vip}/128");
                namespace.ip(&["-6", "address", "add", &vip, "dev", "lo", "nodad"]);
            }
        }
    }
    namespace.ip(&["route", "add", "10.1.0.0/24", "dev", "eth0"]);
    namespace.ip(&["-6", "route", "add", "fd00:1::/64", "dev", "eth0"]);
}

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

fn vip(base: IpAddr, n: u8) -> IpAddr {
    match base {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() + u32::from(n)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() + u128::from(n)).into(),
    }
}

/// Gives the switch's port towards the adc node an XDP program: `adc decap` for a VIP that nobody has, which passes all.
///
/// What a veth sends by `XDP_TX` stays in the ring of its peer until something else is sent there, unless the peer has an
/// XDP program; GRO alone is not enough (`veth_xdp_flush`, drivers/net/veth.c, Linux 6.18). Once the ring is full, after 256
/// packets, the link is dead: what is sent otherwise is dropped, and wakes nobody either.
fn wake_port(topology: &Topology) -> Process {
    let port = &topology.switch_port;
    let mut command = Command::new(agent::binary().unwrap());
    command.args(["decap", "--interface", &port.name, "--vip", "192.0.2.1"]);
    let directory = topology.directory();
    let process = Process::spawn(&port.namespace, "port", &mut command, directory);
    eventually(Duration::from_secs(10), "the port has its program", || {
        process.log().contains("decapsulating")
    });
    process
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

#[test]
fn backends_on_the_same_switch_get_packets_as_they_are() {
    require!(namespaces, agent, "nginx", "curl");
    let topology = Topology::one_arm(1);
    let _port = wake_port(&topology);
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
    let _port = wake_port(&topology);
    let host = &topology.backends[0];
    let services: Vec<(String, IpAddr, &'static str, bool)> =
        [IpAddr::V4(VIP_V4), IpAddr::V6(VIP_V6)]
            .into_iter()
            .flat_map(|base| {
                WAYS.into_iter().zip(1..).map(move |((mode, outer_v4), n)| {
                    let family = if base.is_ipv4() { 4 } else { 6 };
                    let outer = if outer_v4 { 4 } else { 6 };
                    (
                        format!("{mode}-{family}in{outer}"),
                        vip(base, n),
                        mode,
                        outer_v4,
                    )
                })
            })
            .collect();
    let vips: Vec<_> = services.iter().map(|(_, vip, ..)| *vip).collect();
    take_vips(host, &vips);
    let nginx = Nginx::start(host, HTTP, topology.directory());
    fs::write(nginx.file("large"), noise()).unwrap();
    let mut command = Command::new(agent::binary().unwrap());
    command.args(["decap", "--interface", "eth0"]);
    for vip in &vips {
        command.args(["--vip", &vip.to_string()]);
    }
    let mut decap = Process::spawn(&host.namespace, "decap", &mut command, topology.directory());
    eventually(
        Duration::from_secs(10),
        "the decapsulator is attached",
        || decap.log().contains("decapsulating"),
    );
    let mut config = checked(&topology);
    for (name, vip, mode, outer_v4) in &services {
        let backend = if *outer_v4 {
            Backend::v4(host, HTTP)
        } else {
            Backend::v6(host, HTTP)
        };
        config = config
            .pool(name, monitors("tcp"), vec![backend])
            .service(name, SocketAddr::new(*vip, HTTP), "tcp", name)
            .mode(mode);
    }
    let agent = Agent::start(&topology, &config);
    for (name, vip, _, outer_v4) in &services {
        agent.wait_for_available(name, 1);
        converse(&topology, &nginx, *vip);
        let overhead = if *outer_v4 { 20 } else { 40 } + if name.contains("gue") { 8 } else { 0 };
        assert_eq!(
            path_mtu(&topology.client, *vip),
            Some(1500 - overhead),
            "{name}: what the client learned"
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
