//! Services with many ports, between real kernels.

use std::{
    io::Write as _,
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use adc_tests::{
    agent::{Agent, Backend, Config},
    drive::HeldConnections,
    require,
    serve::{TcpServer, UdpEcho},
    topology::{BackendHost, Topology, VIP_V4, VIP_V6},
    wait::eventually,
};

/// Where servers listen, each behind the port of the VIP with the same number.
const PORTS: [u16; 3] = [5000, 5017, 5100];
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers every HTTP request with the backend's name and the port that it came to.
fn telling(host: &BackendHost, port: u16) -> TcpServer {
    let name = host.name.clone();
    TcpServer::start(&host.namespace, port, move |mut stream: TcpStream| {
        let Ok(own) = stream.local_addr() else { return };
        let mut request = [0; 1024];
        let _read = std::io::Read::read(&mut stream, &mut request);
        let body = format!("{name} {}\n", own.port());
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}");
        // A client that goes away early is its own business.
        let _written = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes());
    })
}

fn without_port(mut backend: Backend) -> Backend {
    backend.address.set_port(0);
    backend
}

/// What curl gets from a port of a VIP, if anything.
fn curl(topology: &Topology, vip: IpAddr, port: u16) -> String {
    let url = format!("http://{}/", SocketAddr::new(vip, port));
    // Its complaint is no answer.
    let command = format!("curl -s --max-time 2 -g '{url}' || true");
    topology
        .client
        .run("sh", &["-c", &command])
        .trim()
        .to_owned()
}

fn vip4(port: u16) -> SocketAddr {
    SocketAddr::from((VIP_V4, port))
}

#[test]
fn each_port_of_a_range_reaches_the_same_port_of_a_backend_in_both_families() {
    require!(namespaces, agent, "curl");
    let topology = Topology::two_arm(1);
    let host = &topology.backends[0];
    let _servers = PORTS.map(|port| telling(host, port));
    let _single = telling(host, 8080);
    let _beside = telling(host, 5101);
    let config = Config::new(&topology)
        .pool("many", &[], vec![without_port(Backend::v4(host, 0))])
        .pool("many6", &[], vec![without_port(Backend::v6(host, 0))])
        .pool("one", &[], vec![Backend::v4(host, 8080)])
        .service("many", vip4(0), "tcp", "many")
        .ports("5000-5100")
        .service("many6", SocketAddr::from((VIP_V6, 0)), "tcp", "many6")
        .ports("any")
        .service("one", vip4(5050), "tcp", "one")
        .service("translated", vip4(0), "tcp", "one")
        .ports("6000-6010");
    let agent = Agent::start(&topology, &config);
    agent.wait_for_available("many", 1);
    agent.wait_for_available("many6", 1);
    for vip in [VIP_V4.into(), VIP_V6.into()] {
        for port in PORTS {
            assert_eq!(curl(&topology, vip, port), format!("{} {port}", host.name));
        }
    }
    assert_eq!(
        curl(&topology, VIP_V4.into(), 5050),
        format!("{} 8080", host.name)
    );
    assert_eq!(
        curl(&topology, VIP_V4.into(), 6007),
        format!("{} 8080", host.name)
    );
    assert_eq!(curl(&topology, VIP_V4.into(), 5101), "", "beside the range");
    let beside6 = curl(&topology, VIP_V6.into(), 5101);
    assert_eq!(beside6, format!("{} 5101", host.name), "any port");

    let services = agent.json(&["service", "list"]);
    let ports = |name: &str| {
        let all = services.as_array().expect("a list");
        let found = all.iter().find(|service| service["name"] == name);
        found.expect("a service")["port"].clone()
    };
    assert_eq!(ports("many"), "5000-5100");
    assert_eq!(ports("many6"), "any");
    assert_eq!(ports("one"), 5050);
    let shown = agent.cli(&["service", "show", "many"]);
    assert!(shown.stdout.contains("5000-5100 tcp"), "{shown:?}");
    let backend = agent.backend("many", &host.name);
    assert_eq!(backend["address"], host.v4.to_string());
    let to = vip4(5017).to_string();
    let explained = agent.cli(&["explain", "tcp", "192.0.2.1:40000", &to]);
    assert!(
        explained.stdout.contains("is in the range of service many"),
        "{explained:?}"
    );
}

#[test]
fn connections_outlive_a_reload_that_changes_their_range_and_an_agent_that_is_killed() {
    require!(namespaces, agent, "curl");
    let topology = Topology::two_arm(1);
    let host = &topology.backends[0];
    let _echo = adc_tests::serve::echo(host, 5001);
    let _servers = [5010, 5090, 5190].map(|port| telling(host, port));
    let base = Config::new(&topology).pool("many", &[], vec![without_port(Backend::v4(host, 0))]);
    let with = |name: &str, ports| {
        base.clone()
            .service(name, vip4(0), "tcp", "many")
            .ports(ports)
    };
    let mut agent = Agent::start(&topology, &with("many", "5000-5100"));
    agent.wait_for_available("many", 1);
    let held = HeldConnections::open(&topology.client, vip4(5001), 20);
    let answers = |port| curl(&topology, VIP_V4.into(), port);
    let here = |port: u16| format!("{} {port}", host.name);
    assert_eq!(answers(5010), here(5010));
    assert_eq!(answers(5190), "");

    agent.reload(&with("many", "5050-5200"));
    assert_eq!(answers(5010), "");
    assert_eq!(answers(5090), here(5090));
    assert_eq!(answers(5190), here(5190));
    held.assert_all_alive();

    agent.kill9();
    assert_eq!(answers(5190), here(5190));
    agent.restart();
    agent.wait_for_available("many", 1);
    assert_eq!(answers(5190), here(5190));
    held.assert_all_alive();

    agent.reload(&with("all", "any"));
    assert_eq!(answers(5010), here(5010));
    held.assert_all_alive();
    agent.reload(&base);
    assert_eq!(answers(5010), "");
    assert_eq!(answers(5190), "");
    held.assert_all_alive();
}

#[test]
fn full_nat_and_datagrams_keep_the_port_too() {
    require!(namespaces, agent, "curl");
    let topology = Topology::two_arm(1);
    let host = &topology.backends[0];
    let _servers = PORTS.map(|port| telling(host, port));
    let _echo = PORTS.map(|port| UdpEcho::start(host, port));
    let local: IpAddr = "10.2.0.100".parse().expect("an address");
    let config = Config::new(&topology)
        .pool("many", &[], vec![without_port(Backend::v4(host, 0))])
        .service("many", vip4(0), "tcp", "many")
        .ports("5000-5100")
        .service("many-udp", vip4(0), "udp", "many")
        .ports("any")
        .full_nat(&[local]);
    let agent = Agent::start(&topology, &config);
    agent.wait_for_available("many", 1);
    for port in PORTS {
        eventually(PATIENCE, "an answer from the port that was asked", || {
            curl(&topology, VIP_V4.into(), port) == format!("{} {port}", host.name)
        });
        let client = adc_tests::drive::UdpClient::open(&topology.client, vip4(port));
        assert_eq!(client.exchange(b"x").expect("an answer"), host.name);
    }
}
