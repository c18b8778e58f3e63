//! Changes that are refused, and changes at awkward moments.

use std::{fs, net::IpAddr, sync::Barrier, thread, time::Duration};

use adc_tests::{
    agent::Backend,
    drive::Load,
    require,
    scene::{HTTP_PORT, Scene, WWW},
    topology::{Topology, VIP_V4, backend_v4},
    wait::eventually,
};
use nix::sys::signal::Signal;

const PATIENCE: Duration = Duration::from_secs(30);

/// A self-signed certificate, of no use but to be read.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBdDCCARugAwIBAgIUWSydKn8CFsSWtErLda9DpqsPx1MwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjExMzE1MDdaGA8yMTI2MTAyODEzMTUw
N1owDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDN0
C1nU9oUhQViwxXkw3BKLNXGJDzewGpep2S5jTsFWHWYy2tpIOMKW0MCIOuJVDNVp
ocUtOrziulX+2VhhfTyjUzBRMB0GA1UdDgQWBBRQ2WtW/aoQPA1X21E4zLZn+8pG
sTAfBgNVHSMEGDAWgBRQ2WtW/aoQPA1X21E4zLZn+8pGsTAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCIE8VWjuB5YiMAZK0NlXoriemCFLfe/59IVO/
Z+8We+dEAiAHzgqVffnFr8qEpGWvFWEdJ3rIkvKIgb+bBP32IISnlw==
-----END CERTIFICATE-----
";

#[test]
fn a_file_that_does_not_fit_the_tables_is_refused_and_no_backend_is_forgotten() {
    require!(namespaces, agent);
    let mut scene = Scene::with(Topology::two_arm(2), |mut config| {
        config.extra = "\n[dataplane.limits]\nbackends = 8\n".into();
        config
    });
    let load = scene.load();
    let since = scene.agent.backend("web", "web1")["health"]["since"].clone();
    let generation = scene.agent.generation();
    // Other backends instead of those that run, and more than the tables have room for: the higher limit waits for
    // a clean start.
    let mut large = scene.config.clone();
    large.extra = "\n[dataplane.limits]\nbackends = 100\n".into();
    large.pool_mut("web").backends = (0..20)
        .map(|index| Backend {
            name: format!("other{index}"),
            address: (backend_v4(50 + index), HTTP_PORT).into(),
            weight: 100,
        })
        .collect();
    scene.agent.write_config(&large);
    let output = scene.agent.cli(&["config", "apply"]);
    assert_eq!(output.code, 4, "{output:?}");
    assert!(
        output.stderr.contains("dataplane.limits.backends"),
        "{output:?}"
    );
    scene.agent.process().signal(Signal::SIGHUP);
    let error = || scene.agent.json(&["status"])["config"]["last_reload_error"].clone();
    eventually(PATIENCE, "the refusal is shown", || error().is_string());
    assert_eq!(scene.agent.generation(), generation);
    assert_eq!(scene.agent.backend("web", "web1")["health"]["since"], since);
    load.wait_for(300);
    load.stop().assert_none_failed();
}

#[test]
fn a_refused_reset_keeps_the_runtime_changes() {
    require!(namespaces, agent);
    let mut scene = Scene::with(Topology::two_arm(2), |mut config| {
        config.extra = "\n[dataplane.limits]\nbackends = 8\n".into();
        config
    });
    scene.agent.ok(&["backend", "weight", "web", "web1", "7"]);
    let mut large = scene.config.clone();
    large.extra = "\n[dataplane.limits]\nbackends = 100\n".into();
    let more = (0..20).map(|index| Backend {
        name: format!("other{index}"),
        address: (backend_v4(50 + index), HTTP_PORT).into(),
        weight: 100,
    });
    large.pool_mut("echo").backends.extend(more);
    scene.agent.write_config(&large);
    let output = scene.agent.cli(&["config", "apply", "--reset-edits"]);
    assert_eq!(output.code, 4, "{output:?}");
    scene.agent.write_config(&scene.config);
    scene.agent.kill9();
    scene.agent.restart();
    assert_eq!(scene.agent.backend("web", "web1")["weight"]["override"], 7);
}

#[test]
fn a_backend_can_be_drained_although_a_ca_file_is_gone() {
    require!(namespaces, agent);
    let topology = Topology::two_arm(2);
    let ca = topology.directory().join("ca.pem");
    fs::write(&ca, CERTIFICATE).unwrap();
    let monitor = format!("\n[monitor.tls]\ntype = \"https\"\nca_file = {ca:?}\n");
    let scene = Scene::with(topology, |mut config| {
        config.extra = monitor;
        config
    });
    fs::remove_file(&ca).unwrap();
    scene.agent.ok(&["backend", "drain", "web", "web1"]);
    scene.agent.wait_for_available("web", 1);
    // The file as a whole can not be taken, and says why.
    let output = scene.agent.cli(&["config", "apply"]);
    assert_eq!(output.code, 3, "{output:?}");
    assert!(output.stderr.contains("ca.pem"), "{output:?}");
    assert_eq!(scene.agent.available("web"), 1);
}

#[test]
fn the_shown_configuration_is_what_runs_and_can_be_applied() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(2));
    scene.agent.ok(&["backend", "weight", "web", "web1", "7"]);
    let shown = scene.agent.json(&["config", "show"]);
    let text = shown["text"].as_str().unwrap();
    assert!(text.contains("weight = 7"), "{text}");
    let copy = scene.topology.directory().join("copy.toml");
    fs::write(&copy, text).unwrap();
    let copy = copy.display().to_string();
    let planned = scene.agent.json(&["config", "apply", &copy, "--dry-run"]);
    assert_eq!(planned["plan"]["lines"], serde_json::json!([]), "{planned}");
}

#[test]
fn what_is_read_at_the_start_does_not_change_before_the_next_one() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(1));
    let mut other = scene.config.clone();
    other.interfaces.reverse();
    scene.agent.write_config(&other);
    let applied = scene.agent.json(&["config", "apply"]);
    assert!(
        applied["notes"].to_string().contains("restart"),
        "{applied}"
    );
    // The first interface is the one with the VIPs: still the old one.
    let vip = IpAddr::V4(VIP_V4);
    assert!(scene.topology.interfaces[0].addresses().contains(&vip));
    assert!(!scene.topology.interfaces[1].addresses().contains(&vip));
    assert!(scene.agent.stop().success());
    for interface in &scene.topology.interfaces {
        assert!(!interface.addresses().contains(&vip), "{}", interface.name);
    }
}

#[test]
fn totals_of_a_service_do_not_fall_when_a_backend_goes() {
    require!(namespaces, agent);
    let mut scene = Scene::with(Topology::two_arm(2), |mut config| {
        for (_, service) in &mut config.services {
            service.extra = "timeouts = { handshake = \"1s\", closed = \"1s\", reset = \"1s\", half_closed = \"1s\" }".into();
        }
        config
    });
    let load = Load::start(&scene.topology.client, &[WWW], 4, Duration::ZERO);
    load.wait_for(400);
    load.stop().assert_none_failed();
    let total = || {
        let service = scene.agent.json(&["service", "show", "www"]);
        service["traffic"]["flows_scheduled"].as_u64().unwrap()
    };
    let before = total();
    assert!(before >= 400);
    assert!(scene.agent.traffic("web", "web1", "flows_scheduled") > 100);
    scene.agent.ok(&["backend", "remove", "web", "web1"]);
    // As long as its slot is kept, nothing has to be written to have it back but the ring.
    let address = format!("{}:{HTTP_PORT}", backend_v4(0));
    let steps = || {
        let again = [
            "backend",
            "add",
            "web",
            &address,
            "--name",
            "web1",
            "--dry-run",
        ];
        let plan = scene.agent.json(&again);
        plan["plan"]["lines"].as_array().unwrap().len()
    };
    let kept = steps();
    eventually(
        PATIENCE,
        "its last flow is over and its slot cleared",
        || {
            assert!(total() >= before, "{} of {before}", total());
            steps() > kept
        },
    );
    assert!(total() >= before, "{} of {before}", total());
    drop(scene.http.pop());
}

#[test]
fn a_stop_amid_changes_leaves_nothing_behind() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(2));
    let barrier = Barrier::new(5);
    let status = thread::scope(|scope| {
        let (agent, barrier) = (&scene.agent, &barrier);
        let binary = agent.binary().to_owned();
        let socket = agent.socket().to_owned();
        for worker in 0..4 {
            let (binary, socket) = (binary.clone(), socket.clone());
            scope.spawn(move || {
                barrier.wait();
                // Until the agent is gone (6), or says that it is stopping (6).
                for round in 0.. {
                    let vip = format!("10.1.0.{}", 150 + worker);
                    let verb = if round % 2 == 0 { "add" } else { "remove" };
                    let name = format!("extra{worker}");
                    let mut command = std::process::Command::new(&binary);
                    command
                        .arg("--socket")
                        .arg(&socket)
                        .args(["service", verb, &name]);
                    if verb == "add" {
                        command.args(["--vip", &vip, "--port", "80", "--pool", "web"]);
                    }
                    let output = command.output().unwrap();
                    if output.status.code() != Some(0) {
                        break;
                    }
                }
            });
        }
        barrier.wait();
        eventually(PATIENCE, "changes are under way", || {
            scene.agent.generation() > 5
        });
        scene.agent.stop()
    });
    assert_eq!(status.code(), Some(0), "{}", scene.agent.process().log());
    let left = scene.topology.interfaces[0].addresses();
    let vips: Vec<_> = left
        .iter()
        .filter(|address| matches!(address, IpAddr::V4(v4) if v4.octets()[3] >= 100))
        .collect();
    assert_eq!(vips, Vec::<&IpAddr>::new());
    for interface in &scene.topology.interfaces {
        assert!(!interface.has_xdp_program(), "{}", interface.name);
    }
}
