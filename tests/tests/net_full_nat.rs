//! Mode `full-nat` between real hosts: the backends have no route to the clients, and know the balancer's addresses only.

use std::{
    fs::{self, File},
    io::Read as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use adc_tests::{
    agent::{Agent, Backend, Config},
    drive::{HeldConnections, Load, UdpClient, get_in, ping},
    require,
    scene::{ECHO, ECHO_PORT, HTTP_PORT, Scene, WWW, WWW6},
    serve::{Nginx, UdpEcho},
    topology::{GATEWAY_V4, SPARE_VIP_V4, Topology, VIP_V4, VIP_V6},
    wait::eventually,
};

/// The balancer's own addresses towards the backends.
const LOCAL: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 2, 0, 100)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 0x100)),
];
/// An IPv6 VIP of IPv4 backends.
const WWW64: SocketAddr = SocketAddr::new(IpAddr::V6(VIP_V6), 8064);

const MIB: usize = 1 << 20;

/// Backends that can reach their own network only.
fn without_routes(topology: Topology) -> Topology {
    for host in &topology.backends {
        host.namespace.ip(&["route", "del", "default"]);
        host.namespace.ip(&["-6", "route", "del", "default"]);
    }
    topology
}

/// The usual scene, IPv6 clients of IPv4 backends included, in `full-nat`.
fn scene(topology: Topology) -> Scene {
    Scene::with(without_routes(topology), |config| {
        config
            .service("www64", WWW64, "tcp", "web")
            .full_nat(&LOCAL)
    })
}

#[test]
fn a_large_download_arrives_intact_over_ipv4_ipv6_and_from_one_to_the_other() {
    require!(namespaces, agent, "nginx", "curl");
    let topology = without_routes(Topology::two_arm(1));
    let host = &topology.backends[0];
    let nginx = Nginx::start(host, HTTP_PORT, topology.directory());
    let sent = nginx.file("large");
    let mut noise = File::open("/dev/urandom").unwrap().take(64 * MIB as u64);
    std::io::copy(&mut noise, &mut File::create(&sent).unwrap()).unwrap();
    let wanted = sha256(&sent);
    let config = Config::new(&topology)
        .pool("files", &[], vec![Backend::v4(host, HTTP_PORT)])
        .pool("files6", &[], vec![Backend::v6(host, HTTP_PORT)])
        .service("files", WWW, "tcp", "files")
        .service("files6", WWW6, "tcp", "files6")
        .service("files64", WWW64, "tcp", "files")
        .full_nat(&LOCAL);
    let agent = Agent::start(&topology, &config);
    agent.wait_for_available("files", 1);
    agent.wait_for_available("files6", 1);
    for vip in [WWW, WWW6, WWW64] {
        let received = topology.directory().join("received");
        let path = received.display().to_string();
        let url = format!("http://{vip}/files/large");
        topology
            .client
            .run("curl", &["-gfsS", "--max-time", "60", "-o", &path, &url]);
        assert_eq!(sha256(&received), wanted, "through {vip}");
        fs::remove_file(&received).unwrap();
    }
    assert_no_checksum_errors(&topology);
}

#[test]
fn flows_survive_kill_9_of_the_agent_under_load() {
    require!(namespaces, agent);
    let mut scene = scene(Topology::two_arm(2));
    let client = scene.topology.client.clone();
    let held = HeldConnections::open(&client, ECHO, 50);
    let load = Load::start(&client, &[WWW, WWW6, WWW64], 4, Duration::from_millis(3));
    load.wait_for(300);
    scene.agent.kill9();
    load.wait_for(300);
    held.assert_all_alive();
    scene.agent.restart();
    scene.agent.wait_for_available("web", 2);
    load.wait_for(300);
    let report = load.stop();
    report.assert_none_failed();
    assert_eq!(report.per_backend().len(), 2, "{report}");
    held.assert_all_alive();
}

#[test]
fn one_arm_needs_no_routing_trick_at_the_backends() {
    require!(namespaces, agent);
    let scene = scene(Topology::one_arm(2));
    let load = scene.load();
    load.wait_for(500);
    load.stop().assert_none_failed();
}

#[test]
fn datagrams_cross_in_all_families() {
    require!(namespaces, agent);
    let topology = without_routes(Topology::two_arm(1));
    let host = &topology.backends[0];
    let _server = UdpEcho::start(host, 5353);
    let vips = [
        SocketAddr::from((VIP_V4, 53)),
        SocketAddr::from((VIP_V6, 53)),
        SocketAddr::from((VIP_V6, 64)),
    ];
    let config = Config::new(&topology)
        .pool("dns", &[], vec![Backend::v4(host, 5353)])
        .pool("dns6", &[], vec![Backend::v6(host, 5353)])
        .service("dns", vips[0], "udp", "dns")
        .service("dns6", vips[1], "udp", "dns6")
        .service("dns64", vips[2], "udp", "dns")
        .full_nat(&LOCAL);
    let agent = Agent::start(&topology, &config);
    agent.wait_for_available("dns", 1);
    agent.wait_for_available("dns6", 1);
    for vip in vips {
        for size in [0, 1, 100, 1_400] {
            let client = UdpClient::open(&topology.client, vip);
            let name = client.exchange(&vec![7; size]).unwrap();
            assert_eq!(name, host.name, "{size} bytes through {vip}");
            assert_eq!(client.exchange(&vec![8; size]).unwrap(), host.name);
        }
    }
    assert_no_checksum_errors(&topology);
}

#[test]
fn two_vips_with_one_backend_and_one_local_address_do_not_meet() {
    require!(namespaces, agent);
    let second = SocketAddr::from((SPARE_VIP_V4, 7));
    let scene = Scene::with(without_routes(Topology::two_arm(1)), |config| {
        config
            .service("echo2", second, "tcp", "echo")
            .full_nat(&LOCAL)
    });
    let client = &scene.topology.client;
    // More connections to each than the client would ever use the same port for by chance alone.
    let first = HeldConnections::open(client, ECHO, 300);
    let second = HeldConnections::open(client, second, 300);
    first.wait_for_rounds(3);
    second.wait_for_rounds(3);
    first.assert_all_alive();
    second.assert_all_alive();
}

#[test]
fn local_addresses_come_and_go_with_the_configuration_and_stay_answered_for() {
    require!(namespaces, agent);
    let mut scene = scene(Topology::two_arm(1));
    let host = &scene.topology.backends[0];
    let holds = |scene: &Scene, address: IpAddr| {
        let addresses = scene.topology.adc.ip(&["address", "show", "dev", "eth1"]);
        addresses.contains(&format!(" {address}/"))
    };
    host.namespace
        .sysctl("net.ipv4.ping_group_range", "0 2147483647");
    for address in LOCAL {
        assert!(holds(&scene, address), "{address} is not on eth1");
        // No flow matches a ping: it is not swallowed.
        ping(&host.namespace, address).unwrap();
    }
    // And a connection to it is refused by the kernel, not dropped.
    let closed = SocketAddr::new(LOCAL[0], 9);
    let error = get_in(&host.namespace, closed, "/", Duration::from_secs(5)).unwrap_err();
    assert_eq!(
        error.kind(),
        std::io::ErrorKind::ConnectionRefused,
        "{error}"
    );

    let config = Scene::config(&scene.topology);
    scene.agent.reload(&config);
    eventually(
        Duration::from_secs(20),
        "the addresses are taken off",
        || LOCAL.iter().all(|address| !holds(&scene, *address)),
    );
}

/// What `adc status` says of addresses of `snat`.
fn warnings(agent: &Agent) -> Vec<String> {
    let status = agent.json(&["status"]);
    let warnings = status["warnings"].as_array().into_iter().flatten();
    let about_snat = warnings.filter(|warning| warning["subject"] == "snat");
    about_snat
        .map(|warning| warning["what"].to_string())
        .collect()
}

#[test]
fn an_address_of_the_node_itself_is_told_at_start_and_reload() {
    require!(namespaces, agent);
    let topology = Topology::two_arm(1);
    let host = &topology.backends[0];
    let with = |snat: &[IpAddr]| {
        Config::new(&topology)
            .pool("web", &[], vec![Backend::v4(host, HTTP_PORT)])
            .service("www", WWW, "tcp", "web")
            .full_nat(snat)
    };
    let own = [LOCAL[0], IpAddr::V4(GATEWAY_V4.1)];
    let mut agent = Agent::start(&topology, &with(&own));
    agent.wait_for_available("web", 1);
    let told = |agent: &Agent| {
        let told = warnings(agent);
        matches!(&told[..], [one] if one.contains(&own[1].to_string()) && one.contains("eth1"))
    };
    assert!(told(&agent), "{:?}", warnings(&agent));
    assert!(
        agent
            .process()
            .log()
            .contains("an address of this machine's own")
    );

    agent.reload(&with(&LOCAL[..1]));
    assert_eq!(warnings(&agent), [""; 0]);

    agent.write_config(&with(&own));
    let applied = agent.json(&["config", "apply"]);
    let notes = applied["notes"].to_string();
    assert!(
        notes.contains("an address of this machine's own"),
        "{applied}"
    );
    assert!(told(&agent), "{:?}", warnings(&agent));
    // Only what adc put there is ever taken off.
    agent.reload(&with(&LOCAL[..1]));
    let addresses = topology.adc.ip(&["address", "show", "dev", "eth1"]);
    assert!(addresses.contains(&format!(" {}/", own[1])), "{addresses}");
}

#[test]
fn the_use_of_local_ports_is_shown() {
    require!(namespaces, agent);
    let scene = scene(Topology::two_arm(1));
    let held = HeldConnections::open(&scene.topology.client, ECHO, 40);
    held.wait_for_rounds(1);
    let backend = scene.topology.backends[0].v4(ECHO_PORT).to_string();
    let labels = [("service", "echo"), ("backend", backend.as_str())];
    // A scrape may show what a sweep up to a second ago found.
    eventually(Duration::from_secs(20), "the flows are counted", || {
        let metrics = scene.agent.metrics();
        let share = metrics.total("adc_backend_snat_saturation_ratio", &labels);
        (40.0 / 64_512.0..0.01).contains(&share)
    });
    let exhausted = scene
        .agent
        .metrics()
        .sum("adc_backend_snat_exhausted_total", &labels);
    assert_eq!(exhausted, 0);
    let shown = scene.agent.json(&["service", "show", "echo"]);
    assert_eq!(shown["mode"], "full-nat");
    assert_eq!(
        shown["snat"],
        serde_json::json!(["10.2.0.100", "fd00:2::100"])
    );
    held.assert_all_alive();
}

/// Nothing that we translated may have been refused by a host for its checksum.
fn assert_no_checksum_errors(topology: &Topology) {
    let hosts = topology.backends.iter().map(|host| &host.namespace);
    for namespace in hosts.chain([&topology.client]) {
        let counters = namespace.run("nstat", &["-asz"]);
        for line in counters.lines() {
            let mut words = line.split_whitespace();
            let (name, count) = (words.next().unwrap_or(""), words.next().unwrap_or("0"));
            let wrong = name.contains("Csum") || name == "IpInHdrErrors";
            assert!(!wrong || count == "0", "{}: {line}", namespace.name());
        }
    }
}

fn sha256(path: &std::path::Path) -> String {
    let line = adc_tests::net::run("sha256sum", &[&path.display().to_string()]);
    line.split_whitespace().next().unwrap().to_owned()
}
