//! What people change at run time: drains, weights, backends that come and go.

use std::time::{Duration, Instant};

use adc_tests::{
    drive::HeldConnections,
    require,
    scene::{ECHO, HTTP_PORT, Scene, WWW},
    serve,
    topology::Topology,
    wait::eventually,
};

#[test]
fn a_drained_backend_keeps_its_connections_gets_no_new_ones_and_empties() {
    require!(namespaces, agent);
    let scene = Scene::with(Topology::two_arm(2), |mut config| {
        let (_, echo) = config
            .services
            .iter_mut()
            .find(|(name, _)| name == "echo")
            .unwrap();
        echo.extra = "timeouts = { closed = \"1s\" }".into();
        config
    });
    let held = HeldConnections::open(&scene.topology.client, ECHO, 60);
    let bound = scene.echo[0].open();
    assert!(bound > 0, "no held connection is on web1");
    assert_eq!(scene.agent.flows("echo", "web1"), bound as u64);

    scene.agent.ok(&["backend", "drain", "echo", "web1"]);
    scene.agent.wait_for_available("echo", 1);
    let backend = scene.agent.backend("echo", "web1");
    assert_eq!(backend["admin"], "draining", "{backend}");
    let more = HeldConnections::open(&scene.topology.client, ECHO, 60);
    assert_eq!(
        scene.echo[0].open(),
        bound,
        "a draining backend got new flows"
    );
    held.assert_all_alive();
    assert_eq!(scene.agent.flows("echo", "web1"), bound as u64);

    held.close();
    eventually(
        Duration::from_secs(30),
        "the drained backend is empty",
        || scene.agent.flows("echo", "web1") == 0,
    );
    more.assert_all_alive();

    scene.agent.ok(&["backend", "enable", "echo", "web1"]);
    scene.agent.wait_for_available("echo", 2);
    let again = HeldConnections::open(&scene.topology.client, ECHO, 40);
    assert!(scene.echo[0].open() > 0, "an enabled backend gets no flows");
    again.assert_all_alive();
}

#[test]
fn draining_under_load_fails_no_request() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(3));
    let load = scene.load();
    for name in ["web1", "web2", "web3"] {
        for pool in ["web", "web6"] {
            scene.agent.ok(&["backend", "drain", pool, name]);
        }
        scene.agent.wait_for_available("web", 2);
        scene.agent.wait_for_available("web6", 2);
        load.wait_for(200);
        for pool in ["web", "web6"] {
            scene.agent.ok(&["backend", "enable", pool, name]);
        }
        scene.agent.wait_for_available("web", 3);
        scene.agent.wait_for_available("web6", 3);
    }
    load.stop().assert_none_failed();
}

#[test]
fn a_weight_set_at_run_time_moves_new_flows() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(2));
    scene.agent.ok(&["backend", "weight", "web", "web1", "0"]);
    scene.agent.wait_for_available("web", 1);
    let load = adc_tests::drive::Load::start(&scene.topology.client, &[WWW], 2, Duration::ZERO);
    load.wait_for(200);
    scene.agent.ok(&["backend", "weight", "web", "web1", "900"]);
    scene.agent.wait_for_available("web", 2);
    let heavy = Instant::now();
    load.wait_for(500);
    let report = load.stop();
    report.assert_none_failed();
    let after = report.per_backend_since(Some(heavy));
    // 9 : 1; far from even, far from all.
    assert!(after["web1"] > 5 * after["web2"], "{after:?}");
    let backend = scene.agent.backend("web", "web1");
    assert_eq!(backend["weight"]["configured"], 100, "{backend}");
    assert_eq!(backend["weight"]["override"], 900, "{backend}");
}

#[test]
fn run_time_changes_survive_a_restart_and_differ_from_the_file() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(2));
    let host = scene.topology.add_backend().clone();
    let _web3 = serve::http(&host, HTTP_PORT);
    let address = host.v4(HTTP_PORT).to_string();
    scene
        .agent
        .ok(&["backend", "add", "web", &address, "--name", "web3"]);
    scene.agent.wait_for_available("web", 3);
    scene.agent.ok(&["backend", "remove", "web", "web1"]);
    scene.agent.wait_for_available("web", 2);
    let new_share = |scene: &Scene| {
        let load = scene.load();
        load.wait_for(300);
        let report = load.stop();
        report.assert_none_failed();
        let v4 = report
            .requests
            .iter()
            .filter(|request| request.target == WWW);
        let mut names: Vec<String> = v4.filter_map(|r| r.outcome.clone().ok()).collect();
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(new_share(&scene), ["web2", "web3"]);
    let assert_shown = |scene: &Scene| {
        let diff = scene.agent.json(&["config", "diff"]);
        assert_eq!(diff["edits"].as_array().map(Vec::len), Some(2), "{diff}");
        assert_eq!(scene.agent.backend("web", "web3")["origin"], "runtime");
        assert_eq!(scene.agent.backend("web", "web2")["origin"], "file");
    };
    assert_shown(&scene);

    assert!(scene.agent.stop().success());
    scene.agent.restart();
    scene.agent.wait_for_available("web", 2);
    assert_shown(&scene);
    assert_eq!(new_share(&scene), ["web2", "web3"]);

    scene.agent.kill9();
    scene.agent.restart();
    scene.agent.wait_for_available("web", 2);
    assert_shown(&scene);

    // Adding what is there is a conflict, removing what is not an error, and neither changes anything.
    let twice = scene
        .agent
        .cli(&["backend", "add", "web", &address, "--name", "web3"]);
    assert_eq!(twice.code, 4, "{twice:?}");
    let unknown = scene.agent.cli(&["backend", "remove", "web", "web9"]);
    assert_ne!(unknown.code, 0, "{unknown:?}");
    assert_shown(&scene);
}

#[test]
fn a_service_added_at_run_time_works_and_goes_away_with_its_vip() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(1));
    let vip = adc_tests::topology::SPARE_VIP_V4;
    let text = vip.to_string();
    scene.agent.ok(&[
        "service", "add", "late", "--vip", &text, "--port", "81", "--pool", "web",
    ]);
    let get = || {
        let address = (vip, 81).into();
        adc_tests::drive::get_in(
            &scene.topology.client,
            address,
            "/",
            Duration::from_millis(500),
        )
    };
    eventually(Duration::from_secs(5), "the new service answers", || {
        get().is_ok()
    });
    assert!(
        scene.topology.interfaces[0]
            .addresses()
            .contains(&vip.into())
    );
    scene.agent.ok(&["service", "remove", "late"]);
    eventually(Duration::from_secs(5), "the VIP is gone", || {
        !scene.topology.interfaces[0]
            .addresses()
            .contains(&vip.into())
    });
    assert!(get().is_err());
}
