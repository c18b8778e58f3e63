//! The harness itself: without the agent, the adc node is an ordinary router, and everything the
//! other cases build on must work through it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use adc_tests::{
    drive::{HeldConnections, Load, UdpClient, get_in},
    net::Namespace,
    require, serve,
    topology::Topology,
};

const PORT: u16 = 8080;

fn both_families(topology: &Topology) -> Vec<SocketAddr> {
    let hosts = topology.backends.iter();
    hosts
        .flat_map(|host| [host.v4(PORT), host.v6(PORT)])
        .collect()
}

fn clients_reach_every_backend_through(topology: &Topology) {
    topology.enable_kernel_forwarding();
    let servers: Vec<_> = topology
        .backends
        .iter()
        .map(|host| (serve::http(host, PORT), serve::UdpEcho::start(host, PORT)))
        .collect();
    let targets = both_families(topology);
    let load = Load::start(&topology.client, &targets, 2, Duration::ZERO);
    load.wait_for(200);
    let report = load.stop();
    report.assert_none_failed();
    let expected: BTreeMap<_, _> = topology
        .backends
        .iter()
        .zip(&servers)
        .map(|(host, (http, _))| (host.name.clone(), http.accepted()))
        .collect();
    assert_eq!(report.per_backend(), expected);
    for host in &topology.backends {
        for address in [host.v4(PORT), host.v6(PORT)] {
            let client = UdpClient::open(&topology.client, address);
            assert_eq!(client.exchange(b"ping").unwrap(), host.name);
        }
    }
}

#[test]
fn two_arm_topology_carries_tcp_and_udp_of_both_families() {
    require!(namespaces);
    let topology = Topology::two_arm(2);
    assert_eq!(topology.interface_names(), ["eth0", "eth1"]);
    clients_reach_every_backend_through(&topology);
}

#[test]
fn one_arm_topology_carries_tcp_and_udp_of_both_families() {
    require!(namespaces);
    let topology = Topology::one_arm(2);
    assert_eq!(topology.interface_names(), ["eth0"]);
    clients_reach_every_backend_through(&topology);
}

#[test]
fn without_kernel_forwarding_nothing_crosses_the_adc_node() {
    require!(namespaces);
    let topology = Topology::two_arm(1);
    let _server = serve::http(&topology.backends[0], PORT);
    let address = topology.backends[0].v4(PORT);
    let answer = get_in(&topology.client, address, "/", Duration::from_millis(500));
    assert!(answer.is_err(), "{answer:?}");
}

#[test]
fn held_connections_notice_the_death_of_their_server() {
    require!(namespaces);
    let topology = Topology::two_arm(1);
    topology.enable_kernel_forwarding();
    let server = serve::echo(&topology.backends[0], PORT);
    let held = HeldConnections::open(&topology.client, topology.backends[0].v4(PORT), 20);
    assert_eq!(server.open(), 20);
    held.assert_all_alive();
    drop(server);
    held.wait_for_rounds(2);
    assert_eq!(held.broken().len(), 20);
}

#[test]
fn nginx_serves_files_until_it_is_killed_and_again_after_restart() {
    require!(namespaces, "nginx");
    let topology = Topology::two_arm(1);
    topology.enable_kernel_forwarding();
    let host = &topology.backends[0];
    let mut nginx = serve::Nginx::start(host, PORT, topology.directory());
    std::fs::write(nginx.file("greeting"), "hello\n").unwrap();
    let (client, address) = (&topology.client, host.v6(PORT));
    let get = |path: &str| get_in(client, address, path, Duration::from_secs(2));
    assert_eq!(get("/files/greeting").unwrap().body, "hello");
    assert_eq!(get("/").unwrap().body, "web1");
    assert_eq!(get("/healthz").unwrap().status, 200);
    nginx.kill9();
    assert!(get("/").is_err());
    nginx.restart();
    assert_eq!(get("/").unwrap().body, "web1");
}

#[test]
fn everything_is_removed_even_when_a_test_panics() {
    require!(namespaces);
    let remembered = Mutex::new(Vec::new());
    let outcome = std::panic::catch_unwind(|| {
        let topology = Topology::one_arm(1);
        std::fs::create_dir(topology.pin_path()).unwrap();
        let path = |namespace: &Namespace| format!("/run/netns/{}", namespace.name());
        let mut paths = remembered.lock().unwrap();
        paths.extend([
            path(&topology.client),
            path(&topology.adc),
            path(&topology.backends[0].namespace),
            topology.directory().display().to_string(),
            topology.pin_path().display().to_string(),
        ]);
        assert!(paths.iter().all(|path| Path::new(path).exists()));
        panic!("on purpose");
    });
    assert!(outcome.is_err());
    let paths = remembered.into_inner();
    for path in paths.unwrap_or_else(PoisonError::into_inner) {
        assert!(!Path::new(&path).exists(), "{path} was left behind");
    }
}
