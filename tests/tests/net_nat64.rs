//! IPv6 clients of IPv4 backends, with real kernels at both ends: what is no whole segment or datagram.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

use adc_tests::{
    agent::{Agent, Backend, Config},
    drive::UdpClient,
    net::{Namespace, VethPair},
    require,
    serve::{Nginx, UdpEcho},
    topology::{BackendHost, CLIENT_V6, Topology, VIP_V6},
};

const MIB: u64 = 1 << 20;

/// The balancer's own address towards the backends.
const LOCAL: [IpAddr; 1] = [IpAddr::V4(Ipv4Addr::new(10, 2, 0, 100))];

/// What the narrow links let through: above what IPv6 demands, below in IPv4.
const NARROW6: &str = "1400";
const NARROW4: &str = "1300";

const HTTP: u16 = 8080;
const DATAGRAMS: u16 = 5353;

/// An IPv6 client and an IPv4 backend, each behind a router of its own with a narrow link.
struct Distant {
    client: Namespace,
    host: BackendHost,
    agent: Agent,
    _echo: UdpEcho,
    nginx: Nginx,
    topology: Topology,
}

fn vip(port: u16) -> SocketAddr {
    (VIP_V6, port).into()
}

impl Distant {
    fn new() -> Self {
        let topology = Topology::two_arm(1);
        let client = Namespace::new("far");
        let host = BackendHost {
            name: "deep".into(),
            namespace: Namespace::new("deep"),
            v4: [10, 8, 0, 2].into(),
            v6: Ipv6Addr::LOCALHOST,
        };
        let router = &topology.client;
        router.sysctl("net.ipv6.conf.all.forwarding", "1");
        let VethPair { a, b } = VethPair::connect((router, "eth7"), (&client, "eth0"));
        a.add_address("fd00:9::1/64".parse().expect("an address"));
        b.add_address("fd00:9::2/64".parse().expect("an address"));
        client.ip(&["-6", "route", "add", "default", "via", "fd00:9::1"]);
        narrow(router, "-6", "fd00:9::2/128", NARROW6);

        let router = &topology.backends[0];
        let via = &router.namespace;
        via.sysctl("net.ipv4.ip_forward", "1");
        let VethPair { a, b } = VethPair::connect((via, "eth7"), (&host.namespace, "eth0"));
        a.add_address("10.8.0.1/24".parse().expect("an address"));
        b.add_address("10.8.0.2/24".parse().expect("an address"));
        let default = ["route", "add", "default", "via", "10.8.0.1"];
        host.namespace.ip(&default);
        narrow(via, "-4", "10.8.0.2/32", NARROW4);

        let (v4, v6) = (router.v4.to_string(), CLIENT_V6.to_string());
        let adc = &topology.adc;
        adc.ip(&["route", "add", "10.8.0.0/24", "via", &v4]);
        adc.ip(&["-6", "route", "add", "fd00:9::/64", "via", &v6]);
        let nginx = Nginx::start(&host, HTTP, topology.directory());
        let echo = UdpEcho::start(&host, DATAGRAMS);
        let config = Config::new(&topology)
            .pool("web", &[], vec![Backend::v4(&host, HTTP)])
            .pool("dns", &[], vec![Backend::v4(&host, DATAGRAMS)])
            .pool("closed", &[], vec![Backend::v4(&host, 9)])
            .service("web", vip(80), "tcp", "web")
            .service("dns", vip(53), "udp", "dns")
            .service("closed", vip(9), "udp", "closed")
            .full_nat(&LOCAL);
        let agent = Agent::start(&topology, &config);
        for pool in ["web", "dns", "closed"] {
            agent.wait_for_available(pool, 1);
        }
        Self {
            client,
            host,
            agent,
            _echo: echo,
            nginx,
            topology,
        }
    }

    fn counted(&self, reason: &str) -> u64 {
        let metrics = self.agent.metrics();
        metrics.sum("adc_packets_total", &[("reason", reason)])
    }
}

/// Lets no packet over `mtu` pass towards `to`.
fn narrow(router: &Namespace, family: &str, to: &str, mtu: &str) {
    router.ip(&[
        family, "route", "add", to, "dev", "eth7", "mtu", "lock", mtu,
    ]);
}

fn bytes(length: usize) -> Vec<u8> {
    let pattern = (0_u8..251).cycle();
    pattern.take(length).collect()
}

fn noise(path: &Path, length: u64) {
    let mut noise = File::open("/dev/urandom").expect("noise").take(length);
    std::io::copy(&mut noise, &mut File::create(path).expect("a file")).expect("writing");
}

#[test]
fn path_mtu_discovery_works_from_ipv6_to_ipv4_and_back() {
    require!(namespaces, agent, "nginx", "curl");
    let scene = Distant::new();
    let sent = scene.nginx.file("large");
    noise(&sent, 8 * MIB);
    let received = scene.topology.directory().join("received");
    let path = received.display().to_string();
    let url = format!("http://{}/files/large", vip(80));
    // The answer does not fit the client's link: the backend must learn it.
    scene
        .client
        .run("curl", &["-gfsS", "--max-time", "60", "-o", &path, &url]);
    assert!(
        fs::read(&sent).expect("the file") == fs::read(&received).expect("the copy"),
        "the download differs"
    );
    assert!(scene.counted("icmp_error_to_backend") > 0, "no error");
    let route = scene.host.namespace.ip(&["route", "get", "10.2.0.100"]);
    assert!(route.contains("mtu 1380"), "of the backend: {route}");
    // And the request does not fit the backend's: the client must.
    let file = sent.display().to_string();
    let url = format!("http://{}/files/copy", vip(80));
    let limit = ["--max-time", "60", "-o", &path];
    let arguments = [&["-gfsS"], &limit[..], &["-T", &file, &url]].concat();
    scene.client.run("curl", &arguments);
    assert!(
        fs::read(&sent).expect("the file") == fs::read(scene.nginx.file("copy")).expect("the copy"),
        "the upload differs"
    );
    assert!(scene.counted("icmp_error_to_client") > 0, "no error");
    let route = scene
        .client
        .ip(&["-6", "route", "get", &VIP_V6.to_string()]);
    assert!(route.contains("mtu 1320"), "of the client: {route}");
}

#[test]
fn datagrams_of_any_size_change_their_family() {
    require!(namespaces, agent);
    let scene = Distant::new();
    // Full-sized IPv4 fragments do not fit behind IPv6's longer headers: the backend is to make shorter ones.
    let short = [
        "route",
        "add",
        "10.2.0.0/24",
        "via",
        "10.8.0.1",
        "mtu",
        "lock",
        "1280",
    ];
    scene.host.namespace.ip(&short);
    let client = UdpClient::open(&scene.client, vip(53));
    for size in [100, 1_300, 1_473, 8_000, 30_000] {
        // Where a path MTU is not known yet, a datagram is lost for each end to learn it.
        let mut tries = (0..4).map(|_| client.exchange(&bytes(size)));
        let name = tries.find_map(Result::ok);
        assert_eq!(name.as_deref(), Some("deep"), "{size} bytes");
    }
    assert_eq!(scene.counted("too_big_for_ipv6"), 0);
    assert_eq!(scene.counted("not_translated"), 0);
}

#[test]
fn a_closed_port_of_an_ipv4_backend_is_a_refusal_by_the_ipv6_vip() {
    require!(namespaces, agent);
    let scene = Distant::new();
    let client = UdpClient::open(&scene.client, vip(9));
    let error = client.exchange(b"anybody?").expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
}

#[test]
fn a_traceroute_through_an_ipv6_vip_shows_no_ipv4_router() {
    require!(namespaces, agent, "traceroute");
    let scene = Distant::new();
    let target = VIP_V6.to_string();
    for (how, port) in [("-T", "80"), ("-U", "9")] {
        let arguments = [
            "-6", "-n", how, "-q", "2", "-w", "2", "-m", "6", "-p", port, &target,
        ];
        let shown = scene.client.run("traceroute", &arguments);
        let hops = shown.split_once('\n').map_or("", |(_, hops)| hops);
        assert!(hops.contains(&target), "{how}:\n{shown}");
        for hidden in ["10.2.", "10.8.", "64:ff9b", "ffff:"] {
            assert!(!hops.contains(hidden), "{how} shows {hidden}:\n{shown}");
        }
    }
    assert!(scene.counted("icmp_error_to_client") > 0, "no error");
}
