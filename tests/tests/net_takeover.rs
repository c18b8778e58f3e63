//! The agent dies, comes back, stops, or is started twice.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use adc_tests::{
    drive::{HeldConnections, UdpClient, get_in},
    require,
    scene::{ECHO, Scene, WWW},
    serve::UdpEcho,
    topology::{Topology, VIP_V4, VIP_V6},
};
use std::net::{IpAddr, SocketAddr};

const HELD: usize = 200;

#[test]
fn kill_9_under_load_leaves_traffic_flowing_and_the_next_agent_adopts_it() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(3));
    let held = HeldConnections::open(&scene.topology.client, ECHO, HELD);
    let load = scene.load();
    load.wait_for(300);
    scene.agent.kill9();
    let dead = Instant::now();
    load.wait_for(500);
    held.assert_all_alive();
    assert!(!scene.agent.is_ready(), "a killed agent answers");

    scene.agent.restart();
    let status = scene.agent.json(&["status"]);
    for interface in status["interfaces"].as_array().unwrap() {
        assert_eq!(interface["adopted"], true, "{interface}");
    }
    assert!(scene.agent.flow_count() >= HELD as u64);
    load.wait_for(500);
    held.assert_all_alive();
    // Long enough for the first health checks of the new agent to matter.
    scene.agent.wait_for_available("web", 3);
    load.wait_for(300);
    let report = load.stop();
    report.assert_none_failed();
    assert!(report.per_backend_since(Some(dead)).len() == 3, "{report}");
    held.assert_all_alive();
}

#[test]
fn repeated_crashes_lose_nothing() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::one_arm(2));
    let held = HeldConnections::open(&scene.topology.client, ECHO, 20);
    let load = scene.load();
    for _crash in 0..4 {
        load.wait_for(100);
        scene.agent.kill9();
        scene.agent.restart();
    }
    load.wait_for(100);
    load.stop().assert_none_failed();
    held.assert_all_alive();
}

#[test]
fn udp_flows_survive_a_crash_of_the_agent() {
    require!(namespaces, agent);
    let topology = Topology::two_arm(2);
    let servers: Vec<_> = topology
        .backends
        .iter()
        .map(|host| UdpEcho::start(host, 5353))
        .collect();
    let vip = SocketAddr::from((VIP_V4, 53));
    let hosts = topology.backends.clone();
    let mut scene = Scene::with(topology, |config| {
        let backends = hosts
            .iter()
            .map(|host| adc_tests::agent::Backend::v4(host, 5353));
        config
            .pool("dns", &[], backends.collect())
            .service("dns", vip, "udp", "dns")
    });
    let clients: Vec<_> = (0..30)
        .map(|_| UdpClient::open(&scene.topology.client, vip))
        .collect();
    let ask = || -> Vec<String> {
        let answers = clients.iter().map(|client| client.exchange(b"?").unwrap());
        answers.collect()
    };
    let before = ask();
    scene.agent.kill9();
    assert_eq!(ask(), before);
    scene.agent.restart();
    assert_eq!(ask(), before);
    drop(servers);
}

#[test]
fn sigterm_detaches_and_leaves_no_trace() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(1));
    let front = scene.topology.interfaces[0].clone();
    let (vip4, vip6) = (IpAddr::V4(VIP_V4), IpAddr::V6(VIP_V6));
    assert!(front.has_xdp_program() && scene.topology.interfaces[1].has_xdp_program());
    assert!(front.addresses().contains(&vip4) && front.addresses().contains(&vip6));
    assert!(is_populated(scene.topology.pin_path()));

    let status = scene.agent.stop();
    assert_eq!(status.code(), Some(0), "{status}");
    for interface in &scene.topology.interfaces {
        assert!(
            !interface.has_xdp_program(),
            "{} still has a program",
            interface.name
        );
    }
    let left = front.addresses();
    assert!(!left.contains(&vip4) && !left.contains(&vip6), "{left:?}");
    assert!(!is_populated(scene.topology.pin_path()), "pins are left");
    assert!(!scene.agent.socket().exists(), "the control socket is left");

    scene.agent.restart();
    scene.agent.wait_for_available("web", 1);
    let status = scene.agent.json(&["status"]);
    assert_eq!(status["interfaces"][0]["adopted"], false, "{status}");
    let answer = get_in(&scene.topology.client, WWW, "/", Duration::from_secs(2));
    assert_eq!(answer.unwrap().body, "web1");
}

#[test]
fn a_second_agent_is_refused_and_the_first_does_not_notice() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(1));
    let load = scene.load();
    let mut second = scene.agent.spawn_beside("second-agent");
    let status = second.wait(Duration::from_secs(10));
    assert_eq!(status.code(), Some(4), "{}", second.log());
    let said = second.log();
    assert!(
        said.contains("another") || said.contains("already"),
        "{said}"
    );
    assert!(scene.agent.is_ready() && scene.agent.process().is_running());
    load.wait_for(200);
    load.stop().assert_none_failed();
}

fn is_populated(directory: &Path) -> bool {
    let Ok(entries) = directory.read_dir() else {
        return false;
    };
    entries.flatten().any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => is_populated(&entry.path()),
        Ok(_) | Err(_) => true,
    })
}
