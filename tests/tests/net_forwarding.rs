//! What crosses the balancer arrives as it was sent, where it should.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Read},
    net::SocketAddr,
    time::Duration,
};

use adc_tests::{
    agent::{Agent, Backend, Config},
    drive::{HeldConnections, Load, UdpClient, get_in},
    process::Process,
    require,
    scene::{ECHO, Scene, WWW, WWW6},
    serve::{Nginx, UdpEcho},
    topology::{BackendHost, Topology, VIP_V4, VIP_V6},
    wait::eventually,
};

const MIB: usize = 1 << 20;
/// Flows of the spread case, and the weights they are spread by.
const FLOWS: u64 = 10_000;
const WEIGHTS: [u16; 4] = [100, 100, 200, 50];

#[test]
fn flows_are_spread_within_two_percent_of_weight() {
    require!(namespaces, agent);
    let scene = Scene::with(Topology::two_arm(4), |mut config| {
        for (backend, weight) in config.pool_mut("web").backends.iter_mut().zip(WEIGHTS) {
            backend.weight = weight;
        }
        config
    });
    let load = Load::start(&scene.topology.client, &[WWW], 4, Duration::ZERO);
    load.wait_for(FLOWS);
    let report = load.stop();
    report.assert_none_failed();
    let answers = report.per_backend();
    let total = report.requests.len() as u64;
    let weights: u64 = WEIGHTS.iter().copied().map(u64::from).sum();
    for (host, weight) in scene.topology.backends.iter().zip(WEIGHTS) {
        let answered = answers.get(&host.name).copied().unwrap_or(0);
        // In hundredths of a percent of all flows.
        let share = answered * 10_000 / total;
        let due = u64::from(weight) * 10_000 / weights;
        assert!(
            share.abs_diff(due) <= 200,
            "{} answered {answered} of {total} flows, its share by weight is {due} of 10 000: {answers:?}",
            host.name
        );
    }
}

#[test]
fn a_large_download_arrives_intact_over_both_families() {
    require!(namespaces, agent, "nginx", "curl");
    let topology = Topology::two_arm(1);
    let host = &topology.backends[0];
    let nginx = Nginx::start(host, 8080, topology.directory());
    let sent = nginx.file("large");
    write_noise(&sent, 256 * MIB);
    let wanted = sha256(&sent);
    let config = Config::new(&topology)
        .pool("files", &[], vec![Backend::v4(host, 8080)])
        .pool("files6", &[], vec![Backend::v6(host, 8080)])
        .service("files", WWW, "tcp", "files")
        .service("files6", WWW6, "tcp", "files6");
    let agent = Agent::start(&topology, &config);
    agent.wait_for_available("files", 1);
    agent.wait_for_available("files6", 1);
    for vip in [WWW, WWW6] {
        let received = topology.directory().join("received");
        let path = received.display().to_string();
        let url = format!("http://{vip}/files/large");
        topology
            .client
            .run("curl", &["-fsS", "--max-time", "60", "-o", &path, &url]);
        assert_eq!(sha256(&received), wanted, "through {vip}");
        fs::remove_file(&received).unwrap();
    }
}

#[test]
fn udp_flows_reach_their_backend_and_come_back() {
    require!(namespaces, agent);
    let topology = Topology::two_arm(2);
    let servers: Vec<UdpEcho> = topology
        .backends
        .iter()
        .map(|host| UdpEcho::start(host, 5353))
        .collect();
    let hosts = &topology.backends;
    let v4 = hosts.iter().map(|host| Backend::v4(host, 5353)).collect();
    let v6 = hosts.iter().map(|host| Backend::v6(host, 5353)).collect();
    let (vip4, vip6) = (
        SocketAddr::from((VIP_V4, 53)),
        SocketAddr::from((VIP_V6, 53)),
    );
    let config = Config::new(&topology)
        .pool("dns", &[], v4)
        .pool("dns6", &[], v6)
        .service("dns", vip4, "udp", "dns")
        .service("dns6", vip6, "udp", "dns6");
    let agent = Agent::start(&topology, &config);
    agent.wait_for_available("dns", 2);
    agent.wait_for_available("dns6", 2);
    let mut answers = BTreeMap::<String, u64>::new();
    for vip in [vip4, vip6] {
        for flow in 0..50_u8 {
            let client = UdpClient::open(&topology.client, vip);
            let first = client.exchange(&[flow; 1]).unwrap();
            // Every datagram of a flow goes to the same backend, whatever its size.
            for size in [0, 100, 1_400] {
                assert_eq!(client.exchange(&vec![flow; size]).unwrap(), first);
            }
            *answers.entry(first).or_default() += 1;
        }
    }
    assert_eq!(answers.len(), 2, "one backend got all flows: {answers:?}");
    let received: u64 = servers.iter().map(UdpEcho::received).sum();
    assert_eq!(received, 2 * 50 * 4);
}

#[test]
fn bulk_tcp_and_udp_flow_in_both_directions() {
    require!(namespaces, agent, "iperf3");
    let topology = Topology::two_arm(1);
    let host = &topology.backends[0];
    let _server = iperf_server(host, &topology);
    let vip = SocketAddr::from((VIP_V4, 5201));
    let pool = || vec![Backend::v4(host, 5201)];
    let config = Config::new(&topology)
        .pool("iperf", &[], pool())
        .pool("iperf-udp", &[], pool())
        .service("iperf", vip, "tcp", "iperf")
        .service("iperf-udp", vip, "udp", "iperf-udp");
    let agent = Agent::start(&topology, &config);
    agent.wait_for_available("iperf", 1);
    agent.wait_for_available("iperf-udp", 1);
    let address = VIP_V4.to_string();
    for direction in [[].as_slice(), &["-R"]] {
        let mut tcp = vec!["-c", &address, "-t", "2", "-J"];
        tcp.extend(direction);
        let end = iperf(&topology, &tcp);
        let received = end["sum_received"]["bytes"].as_u64().unwrap();
        assert!(
            received > 10 * MIB as u64,
            "{direction:?}: {received} bytes"
        );

        let mut udp = vec![
            "-c", &address, "-u", "-b", "20M", "-l", "1200", "-t", "2", "-J",
        ];
        udp.extend(direction);
        let end = iperf(&topology, &udp);
        let lost = end["sum"]["lost_percent"].as_f64().unwrap();
        let packets = end["sum"]["packets"].as_u64().unwrap();
        // 20 Mbit/s is little; what a loaded machine may lose is scheduling, not forwarding.
        assert!(
            packets > 3_000 && lost < 5.0,
            "{direction:?}: {lost} % of {packets} lost"
        );
    }
}

#[test]
fn one_arm_balances_both_families_on_a_single_interface() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::one_arm(3));
    let held = HeldConnections::open(&scene.topology.client, ECHO, 30);
    let load = scene.load();
    load.wait_for(1_000);
    let report = load.stop();
    report.assert_none_failed();
    let names: Vec<String> = report.per_backend().into_keys().collect();
    assert_eq!(names, ["web1", "web2", "web3"]);
    held.assert_all_alive();
}

#[test]
fn skb_mode_balances_where_native_is_not_wanted() {
    require!(namespaces, agent);
    let scene = Scene::with(Topology::two_arm(2), |mut config| {
        config.attach = "skb";
        config
    });
    let status = scene.agent.json(&["status"]);
    for interface in status["interfaces"].as_array().unwrap() {
        assert_eq!(interface["mode"], "skb", "{interface}");
    }
    let load = scene.load();
    load.wait_for(500);
    load.stop().assert_none_failed();
}

/// A limit of the kernel, pinned down: a veth marks its packets "checksum to be completed by
/// hardware", and the mark does not survive XDP. If this ever starts to work, tell the documentation.
#[test]
fn a_veth_peer_is_served_only_if_it_completes_its_checksums() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(1));
    scene.agent.expect_broken_arrivals();
    let client = &scene.topology.client;
    let get = || get_in(client, WWW, "/", Duration::from_millis(700));
    client.run("ethtool", &["-K", "eth0", "tx", "on"]);
    assert_eq!(get().unwrap_err().kind(), ErrorKind::TimedOut);
    let broken = [("result", "arrived_broken")];
    let metrics = scene.agent.metrics();
    assert!(metrics.sum("adc_self_check_packets_total", &broken) > 0);
    client.run("ethtool", &["-K", "eth0", "tx", "off"]);
    assert_eq!(get().unwrap().body, "web1");
}

fn iperf_server(host: &BackendHost, topology: &Topology) -> Process {
    let mut command = std::process::Command::new("iperf3");
    command.args(["-s", "--forceflush"]);
    let server = Process::spawn(
        &host.namespace,
        "iperf3",
        &mut command,
        topology.directory(),
    );
    eventually(Duration::from_secs(10), "iperf3 listens", || {
        server.log().contains("Server listening")
    });
    server
}

fn iperf(topology: &Topology, arguments: &[&str]) -> serde_json::Value {
    let text = topology.client.run("iperf3", arguments);
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(report.get("error").is_none(), "{report}");
    report["end"].clone()
}

fn write_noise(path: &std::path::Path, length: usize) {
    let mut noise = File::open("/dev/urandom").unwrap().take(length as u64);
    std::io::copy(&mut noise, &mut File::create(path).unwrap()).unwrap();
}

fn sha256(path: &std::path::Path) -> String {
    let line = adc_tests::net::run("sha256sum", &[&path.display().to_string()]);
    line.split_whitespace().next().unwrap().to_owned()
}
