//! What a start may touch, and what is left when it fails.

use std::{fs, net::IpAddr, path::Path, process::Command, time::Duration};

use adc_common::abi::ABI_VERSION;
use adc_tests::{
    agent::Agent,
    drive::{HeldConnections, get_in},
    process::Process,
    require,
    scene::{ECHO, Scene, WWW},
    topology::{Topology, VIP_V4, VIP_V6},
    wait::eventually,
};
use nix::sys::signal::Signal;

/// What `dist/adc.service` grants.
const CAPABILITIES: &str = "-all,+bpf,+perfmon,+net_admin,+net_raw,+chown";

const A_START: Duration = Duration::from_secs(30);

/// `adc run` as root with only these capabilities.
fn spawn_with(topology: &Topology, agent: &Agent, capabilities: &str, label: &str) -> Process {
    let bounding = format!("--bounding-set={capabilities}");
    let mut command = Command::new("setpriv");
    command
        .args([&bounding, "--inh-caps=-all", "--no-new-privs"])
        .arg(agent.binary())
        .args(["run", "-c"])
        .arg(agent.config_path());
    Process::spawn(&topology.adc, label, &mut command, topology.directory())
}

fn entries(directory: &Path) -> Vec<String> {
    let list = directory.read_dir().into_iter().flatten().flatten();
    list.map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn has_vips(topology: &Topology) -> bool {
    let found = topology.interfaces[0].addresses();
    let vips = [IpAddr::V4(VIP_V4), IpAddr::V6(VIP_V6)];
    vips.iter().all(|vip| found.contains(vip))
}

#[test]
fn a_start_that_fails_beside_another_agent_takes_nothing_of_it_away() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(1));
    let load = scene.load();
    // Directories of its own, but the same interfaces and VIPs.
    let mut process = scene.spawn_rival();
    let status = process.wait(A_START);
    assert!(!status.success(), "{}", process.log());
    assert!(has_vips(&scene.topology), "{}", process.log());
    assert!(scene.topology.interfaces[0].has_xdp_program());
    let left = entries(scene.config.pin_path());
    assert!(!left.contains(&"other".to_owned()), "{left:?}");
    load.wait_for(100);
    load.stop().assert_none_failed();
}

#[test]
fn a_first_start_that_fails_while_loading_leaves_no_pins() {
    require!(namespaces, agent, "setpriv");
    let topology = Topology::two_arm(1);
    let agent = Agent::prepare(&topology, &Scene::config(&topology));
    // Maps can be made without CAP_NET_ADMIN, the program can not be loaded.
    let mut process = spawn_with(&topology, &agent, "-net_admin,-sys_admin", "powerless");
    let status = process.wait(A_START);
    let said = process.log();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("CAP_NET_ADMIN"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(entries(topology.pin_path()), Vec::<String>::new(), "{said}");
}

#[test]
fn the_capabilities_of_the_unit_file_are_enough_to_run_adopt_and_stop() {
    require!(namespaces, agent, "setpriv");
    let scene = Scene::new(Topology::two_arm(2));
    let Scene {
        mut agent,
        topology,
        http: _servers,
        echo: _echo,
        ..
    } = scene;
    let status = agent.stop();
    assert!(status.success());

    let mut first = spawn_with(&topology, &agent, CAPABILITIES, "few-capabilities");
    let answers = || get_in(&topology.client, WWW, "/", Duration::from_millis(500)).is_ok();
    eventually(A_START, "traffic flows", answers);
    first.kill9();
    assert!(answers(), "nothing flows without the agent");
    let mut second = spawn_with(&topology, &agent, CAPABILITIES, "few-capabilities");
    eventually(A_START, "the next one answers", || agent.is_ready());
    let status = agent.json(&["status"]);
    assert_eq!(status["interfaces"][0]["adopted"], true, "{status}");
    // A backend that the first agent had not checked yet is warned about until its first check ends.
    eventually(A_START, "nothing is left to warn about", || {
        agent.json(&["status"])["warnings"] == serde_json::json!([])
    });
    second.signal(Signal::SIGINT);
    let status = second.wait(A_START);
    assert_eq!(status.code(), Some(0), "{}", second.log());
    assert_eq!(entries(topology.pin_path()), Vec::<String>::new());
    assert!(!has_vips(&topology));
}

#[test]
fn an_interrupt_during_the_start_leaves_no_trace() {
    require!(namespaces, agent);
    let topology = Topology::two_arm(1);
    let mut agent = Agent::prepare(&topology, &Scene::config(&topology));
    agent.spawn();
    eventually(A_START, "the start has begun to make maps", || {
        let version = topology.pin_path().join(format!("v{ABI_VERSION}"));
        entries(&version).iter().any(|name| name == "FLOWS4")
    });
    agent.process().signal(Signal::SIGINT);
    let status = agent.process().wait(A_START);
    assert_eq!(status.code(), Some(0), "{}", agent.process().log());
    assert_eq!(entries(topology.pin_path()), Vec::<String>::new());
    assert!(!has_vips(&topology));
    assert!(!topology.interfaces[0].has_xdp_program());
}

#[test]
fn damaged_runtime_changes_stop_the_start_and_not_the_traffic() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(1));
    let held = HeldConnections::open(&scene.topology.client, ECHO, 20);
    let load = scene.load();
    scene.agent.kill9();
    let file = scene.config.state_dir().join("edits.json");
    fs::create_dir_all(scene.config.state_dir()).unwrap();
    fs::write(&file, "{\"version\":1,\"edits\":[{]}").unwrap();
    let mut process = scene.agent.spawn_beside("damaged");
    let status = process.wait(A_START);
    // 3: systemd must not try again and again.
    assert_eq!(status.code(), Some(3), "{}", process.log());
    assert!(process.log().contains(&file.display().to_string()));
    load.wait_for(100);
    held.assert_all_alive();
    fs::remove_file(&file).unwrap();
    scene.agent.restart();
    load.wait_for(100);
    load.stop().assert_none_failed();
    held.assert_all_alive();
}

#[test]
fn a_start_that_can_not_attach_to_a_new_interface_leaves_the_adopted_ones_forwarding() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(2));
    let held = HeldConnections::open(&scene.topology.client, ECHO, 20);
    let load = scene.load();
    scene.agent.kill9();
    // A bridge has no native XDP. The new file also takes a backend out, which must not come true.
    let adc = &scene.topology.adc;
    adc.ip(&["link", "add", "br9", "type", "bridge"]);
    adc.ip(&["link", "set", "br9", "up"]);
    let mut wrong = scene.config.clone();
    wrong.interfaces.push("br9".into());
    wrong.pool_mut("web").backends.remove(0);
    scene.agent.write_config(&wrong);
    let mut process = scene.agent.spawn_beside("wrong");
    let status = process.wait(A_START);
    assert_eq!(status.code(), Some(1), "{}", process.log());
    assert!(process.log().contains("br9"), "{}", process.log());
    load.wait_for(200);
    held.assert_all_alive();
    let report = load.stop();
    report.assert_none_failed();
    assert_eq!(report.per_backend().len(), 2, "{report}");

    scene.agent.write_config(&scene.config);
    scene.agent.restart();
    let status = scene.agent.json(&["status"]);
    assert_eq!(status["interfaces"][0]["adopted"], true, "{status}");
    held.assert_all_alive();
}
