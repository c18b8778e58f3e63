//! ICMP through the balancer, with real kernels at both ends: what a host learns about its own packets, and nothing more.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use adc_tests::{
    agent::{Agent, Backend, Config},
    drive::{UdpClient, ping_with},
    net::{Link, Namespace, VethPair},
    require,
    scene::{ECHO_PORT, Scene},
    serve::{self, TcpServer},
    topology::{BackendHost, CLIENT_V4, CLIENT_V6, Topology, VIP_V4, VIP_V6},
    wait::eventually,
};

const MIB: usize = 1 << 20;

/// What the narrow links let through; more than IPv6 demands.
const NARROW: &str = "1300";

const VIPS: [IpAddr; 2] = [IpAddr::V4(VIP_V4), IpAddr::V6(VIP_V6)];

/// A client and a backend each behind a router of their own, which lets no packet over [`NARROW`] pass.
struct Distant {
    client: Namespace,
    host: BackendHost,
    agent: Agent,
    _echo: TcpServer,
    _topology: Topology,
}

impl Distant {
    fn new() -> Self {
        let topology = Topology::two_arm(1);
        let client = Namespace::new("far");
        let host = BackendHost {
            name: "deep".into(),
            namespace: Namespace::new("deep"),
            v4: [10, 8, 0, 2].into(),
            v6: "fd00:8::2".parse().expect("an address"),
        };
        behind(&topology.client, &client, ("10.9.0", "fd00:9:"));
        let router = &topology.backends[0];
        behind(&router.namespace, &host.namespace, ("10.8.0", "fd00:8:"));
        // For what the node itself answers, pings; flows go back where they came from.
        let (v4, v6) = (CLIENT_V4.to_string(), CLIENT_V6.to_string());
        let adc = &topology.adc;
        adc.ip(&["route", "add", "10.9.0.0/24", "via", &v4]);
        adc.ip(&["-6", "route", "add", "fd00:9::/64", "via", &v6]);
        let (v4, v6) = (router.v4.to_string(), router.v6.to_string());
        topology
            .adc
            .ip(&["route", "add", "10.8.0.0/24", "via", &v4]);
        topology
            .adc
            .ip(&["-6", "route", "add", "fd00:8::/64", "via", &v6]);
        let echo = serve::echo(&host, ECHO_PORT);
        let v4 = || vec![Backend::v4(&host, ECHO_PORT)];
        let v6 = || vec![Backend::v6(&host, ECHO_PORT)];
        let config = Config::new(&topology)
            .pool("echo", &[], v4())
            .pool("echo6", &[], v6())
            .service("echo", (VIP_V4, 7), "tcp", "echo")
            .service("echo6", (VIP_V6, 7), "tcp", "echo6")
            .service("udp", (VIP_V4, 7), "udp", "echo")
            .service("udp6", (VIP_V6, 7), "udp", "echo6");
        let agent = Agent::start(&topology, &config);
        agent.wait_for_available("echo", 1);
        agent.wait_for_available("echo6", 1);
        Self {
            client,
            host,
            agent,
            _echo: echo,
            _topology: topology,
        }
    }

    fn counted(&self, reason: &str) -> u64 {
        let metrics = self.agent.metrics();
        metrics.sum("adc_packets_total", &[("reason", reason)])
    }
}

/// Puts `host` behind `router`, on networks of their own, with a narrow way towards it.
fn behind(router: &Namespace, host: &Namespace, (v4, v6): (&str, &str)) {
    router.sysctl("net.ipv4.ip_forward", "1");
    router.sysctl("net.ipv6.conf.all.forwarding", "1");
    let VethPair { a: outer, b: inner } = VethPair::connect((router, "eth7"), (host, "eth0"));
    let address = |link: &Link, n: u8| {
        link.add_address(format!("{v4}.{n}/24").parse().expect("an address"));
        link.add_address(format!("{v6}:{n}/64").parse().expect("an address"));
    };
    address(&outer, 1);
    address(&inner, 2);
    host.ip(&["route", "add", "default", "via", &format!("{v4}.1")]);
    host.ip(&["-6", "route", "add", "default", "via", &format!("{v6}:1")]);
    let (net4, net6) = (format!("{v4}.2/32"), format!("{v6}:2/128"));
    let narrow = ["dev", "eth7", "mtu", "lock", NARROW];
    router.ip(&[&["route", "add", &net4], &narrow[..]].concat());
    router.ip(&[&["-6", "route", "add", &net6], &narrow[..]].concat());
}

/// Sends `length` bytes to the echo service and gets them back.
fn echo(namespace: &Namespace, vip: IpAddr, length: usize) {
    let address = SocketAddr::new(vip, 7);
    let mut stream = namespace
        .enter(|| TcpStream::connect_timeout(&address, Duration::from_secs(5)))
        .unwrap_or_else(|error| panic!("connecting to {address}: {error}"));
    for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
        set(&stream, Some(Duration::from_secs(20))).expect("a timeout");
    }
    let mut writer = stream.try_clone().expect("a second handle");
    let sender = thread::spawn(move || writer.write_all(&vec![0x5a; length]));
    let mut back = vec![0; length];
    stream
        .read_exact(&mut back)
        .unwrap_or_else(|error| panic!("{length} bytes through {vip}: {error}"));
    sender.join().expect("no panic").expect("sending");
    assert!(back.iter().all(|byte| *byte == 0x5a));
}

#[test]
fn path_mtu_discovery_works_both_ways_through_a_vip() {
    require!(namespaces, agent);
    let scene = Distant::new();
    for vip in VIPS {
        let (to_backend, to_client) = (
            scene.counted("icmp_error_to_backend"),
            scene.counted("icmp_error_to_client"),
        );
        echo(&scene.client, vip, 4 * MIB);
        assert!(scene.counted("icmp_error_to_backend") > to_backend, "{vip}");
        assert!(scene.counted("icmp_error_to_client") > to_client, "{vip}");
        let known = |namespace: &Namespace, to: IpAddr| {
            let route = namespace.ip(&["route", "get", &to.to_string()]);
            assert!(route.contains("mtu 1300"), "towards {to}: {route}");
        };
        known(&scene.client, vip);
        let client = if vip.is_ipv4() {
            "10.9.0.2"
        } else {
            "fd00:9::2"
        };
        known(&scene.host.namespace, client.parse().expect("an address"));
    }
}

#[test]
fn a_closed_port_of_a_backend_is_a_refusal_by_the_vip() {
    require!(namespaces, agent);
    let topology = Topology::two_arm(1);
    let host = &topology.backends[0];
    let config = Config::new(&topology)
        .pool("dns", &[], vec![Backend::v4(host, 5353)])
        .pool("dns6", &[], vec![Backend::v6(host, 5353)])
        .service("dns", (VIP_V4, 53), "udp", "dns")
        .service("dns6", (VIP_V6, 53), "udp", "dns6");
    let agent = Agent::start(&topology, &config);
    agent.wait_for_available("dns", 1);
    agent.wait_for_available("dns6", 1);
    for vip in VIPS {
        let client = UdpClient::open(&topology.client, SocketAddr::new(vip, 53));
        let error = client.exchange(b"anybody?").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{vip}: {error}");
    }
}

#[test]
fn a_traceroute_through_a_vip_shows_nothing_behind_it() {
    require!(namespaces, agent, "traceroute");
    let scene = Distant::new();
    // The closed UDP port answers with an error of the backend's own.
    for (how, port) in [("-T", "7"), ("-U", "7"), ("-I", "0")] {
        for vip in VIPS {
            let vip = vip.to_string();
            let mut arguments = vec!["-n", how, "-q", "2", "-w", "1", "-m", "6"];
            if how != "-I" {
                arguments.extend(["-p", port]);
            }
            arguments.push(&vip);
            let shown = scene.client.run("traceroute", &arguments);
            let hops = shown.split_once('\n').map_or("", |(_, hops)| hops);
            assert!(
                hops.contains(&vip),
                "{how} to {vip} does not get there:\n{shown}"
            );
            for hidden in ["10.2.", "10.8.", "fd00:2:", "fd00:8:"] {
                assert!(
                    !hops.contains(hidden),
                    "{how} to {vip} shows {hidden}:\n{shown}"
                );
            }
        }
    }
    eventually(Duration::from_secs(5), "errors were translated", || {
        scene.counted("icmp_error_to_client") > 0
    });
}

#[test]
fn pings_of_any_size_are_answered_unless_a_service_says_no() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(1));
    let answers = |vip, size: usize| {
        let answer = ping_with(&scene.topology.client, vip, &vec![7; size]);
        answer.unwrap_or_else(|error| panic!("{size} bytes to {vip}: {error}"));
    };
    for vip in VIPS {
        for size in [8, 1_400, 8_000] {
            answers(vip, size);
        }
    }
    // `www` and `echo` share the IPv4 VIP.
    let service = scene.config.services.iter_mut();
    for (_, service) in service.filter(|(name, _)| name == "www") {
        service.extra = "ping = false".to_owned();
    }
    scene.agent.reload(&scene.config);
    for size in [8, 8_000] {
        let silence = ping_with(&scene.topology.client, VIP_V4.into(), &vec![7; size]);
        assert_eq!(silence.unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    answers(VIP_V6.into(), 8);
    let refused = scene
        .agent
        .metrics()
        .sum("adc_packets_total", &[("reason", "echo_refused")]);
    assert!(refused >= 2, "{refused} refused");
}
