//! Backends that die and come back.

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use adc_tests::{
    agent::Monitor,
    drive::{Window, get_from_port, get_in},
    net::Link,
    require,
    scene::{Scene, WWW, WWW6},
    topology::Topology,
    wait::eventually,
};

/// Added to the time the checks need: scheduling of a loaded machine, and telling the data plane.
const REACTION: Duration = Duration::from_millis(400);

#[test]
fn a_refusing_backend_is_taken_out_in_time_and_comes_back() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(3));
    let load = scene.load();
    load.wait_for(300);

    let bound = Monitor::http().detection_bound() + REACTION;
    let from = Instant::now();
    scene.kill_http(1);
    let taken = scene.agent.wait_for_available("web", 2);
    scene.agent.wait_for_available("web6", 2);
    assert!(
        taken <= bound,
        "detected after {taken:?}, not within {bound:?}"
    );
    let window = Window {
        from,
        to: from + bound,
    };
    let backend = scene.agent.backend("web", "web2");
    assert_eq!(backend["health"]["state"], "down", "{backend}");
    assert!(
        backend["weight"]["reason"]
            .as_str()
            .unwrap()
            .starts_with("down"),
        "{backend}"
    );
    assert_eq!(
        scene.agent.cli(&["status"]).code,
        7,
        "a node with a dead backend is degraded"
    );
    let moved = Instant::now();
    load.wait_for(500);

    scene.start_http(1);
    scene.agent.wait_for_available("web", 3);
    scene.agent.wait_for_available("web6", 3);
    let returned = Instant::now();
    load.wait_for(500);
    let report = load.stop();
    report.assert_none_failed_outside(&[window]);
    let since_return = report.per_backend_since(Some(returned));
    assert!(since_return.contains_key("web2"), "{since_return:?}");
    let mut meanwhile = report.per_backend_since(Some(moved));
    for (name, count) in since_return {
        *meanwhile.get_mut(&name).unwrap() -= count;
    }
    assert!(
        meanwhile["web1"] > 0 && meanwhile["web3"] > 0,
        "{meanwhile:?}"
    );
    assert_eq!(scene.agent.cli(&["status"]).code, 0);
}

/// A client that was refused may try again from the same port; the new attempt is a new flow.
#[test]
fn a_port_used_again_after_a_refusal_is_not_bound_to_the_dead_backend() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(2));
    for dead in 0..2 {
        scene.kill_http(dead);
    }
    let ports = 40_000..40_040;
    let get = |scene: &Scene, port| {
        let client = &scene.topology.client;
        [WWW, WWW6].map(|vip| get_from_port(client, port, vip, Duration::from_secs(2)))
    };
    for port in ports.clone() {
        for answer in get(&scene, port) {
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        }
    }
    // Now one is back and the other known to be dead.
    scene.start_http(0);
    for pool in ["web", "web6"] {
        let what = format!("only web1 of pool {pool} is up");
        eventually(Duration::from_secs(10), &what, || {
            let health = |name| scene.agent.backend(pool, name)["health"]["state"].clone();
            health("web1") == "up" && health("web2") == "down"
        });
    }
    for port in ports {
        for answer in get(&scene, port) {
            assert_eq!(answer.unwrap().body, "web1", "from port {port}");
        }
    }
}

#[test]
fn a_backend_that_vanishes_without_a_word_is_taken_out_too() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(2));
    let load = scene.load();
    load.wait_for(200);
    let victim = Link {
        namespace: scene.topology.backends[0].namespace.clone(),
        name: "eth0".into(),
    };
    let bound = Monitor::http().detection_bound() + REACTION;
    let from = Instant::now();
    victim.namespace.ip(&["link", "set", "eth0", "down"]);
    let taken = scene.agent.wait_for_available("web", 1);
    scene.agent.wait_for_available("web6", 1);
    assert!(
        taken <= bound,
        "detected after {taken:?}, not within {bound:?}"
    );
    load.wait_for(300);
    let report = load.stop();
    report.assert_none_failed_outside(&[Window {
        from,
        to: from + bound,
    }]);
}

/// Such a client has nothing to lose: its repeated SYN goes where the ring points by then, and it
/// does not wait for its own, much longer, timeout.
#[test]
fn a_handshake_that_a_dead_backend_never_answered_is_completed_by_another() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(2));
    let dead = &scene.topology.backends[0].namespace;
    dead.ip(&["link", "set", "eth0", "down"]);
    // SYNs are repeated after 1, 3 and 7 s.
    let patience = Duration::from_secs(12);
    let answers = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..20_u16)
            .map(|number| {
                let client = &scene.topology.client;
                let vip = if number % 2 == 0 { WWW } else { WWW6 };
                scope.spawn(move || get_in(client, vip, "/", patience))
            })
            .collect();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .collect::<Vec<_>>()
    });
    for answer in answers {
        assert_eq!(answer.unwrap().body, "web2");
    }
}

#[test]
fn a_server_that_answers_with_an_error_is_down() {
    require!(namespaces, agent);
    let scene = Scene::with(Topology::two_arm(1), |mut config| {
        // Our server answers 200 to everything: expect something else of the second monitor.
        config.extra = "\n[monitor.strict]\ntype = \"http\"\ninterval = \"200ms\"\ntimeout = \"150ms\"\nstatus = [404]\n".into();
        config
    });
    assert_eq!(scene.agent.available("web"), 1);
    let mut config = scene.config.clone();
    config.pool_mut("web").monitors = vec!["http".into(), "strict".into()];
    let mut scene = scene;
    scene.agent.reload(&config);
    scene.agent.wait_for_available("web", 0);
    let backend = scene.agent.backend("web", "web1");
    assert!(
        backend.to_string().contains("200"),
        "the reason names the status: {backend}"
    );
    let status = scene.agent.cli(&["status"]);
    assert_eq!(status.code, 7, "{status:?}");
}

#[test]
fn a_service_without_backends_drops_with_a_reason() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(1));
    scene.kill_http(0);
    scene.agent.wait_for_available("web", 0);
    let before = dropped(&scene, "no_backend");
    let answer = get_in(&scene.topology.client, WWW, "/", Duration::from_millis(500));
    assert!(answer.is_err(), "{answer:?}");
    eventually(Duration::from_secs(5), "the drop is counted", || {
        dropped(&scene, "no_backend") > before
    });
}

fn dropped(scene: &Scene, reason: &str) -> u64 {
    let rows = scene.agent.json(&["drops"]);
    let rows = rows.as_array().unwrap();
    let row = rows.iter().find(|row| row["reason"] == reason);
    row.map_or(0, |row| row["packets"].as_u64().unwrap())
}
