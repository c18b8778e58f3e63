//! Changing the configuration of a balancer that is in use.

use adc_tests::{
    agent::Backend,
    drive::{HeldConnections, get_in},
    require,
    scene::{ECHO, ECHO_PORT, HTTP_PORT, Scene},
    topology::{SPARE_VIP_V4, Topology},
};
use nix::sys::signal::Signal;
use std::{net::SocketAddr, time::Duration};

#[test]
fn a_reload_under_load_fails_no_request_and_breaks_no_connection() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(3));
    let held = HeldConnections::open(&scene.topology.client, ECHO, 50);
    let load = scene.load();
    load.wait_for(200);
    let spare = SocketAddr::from((SPARE_VIP_V4, 80));
    for round in 0..6_u16 {
        let weight = 50 + 50 * (round % 3);
        scene.config.pool_mut("web").backends[0].weight = weight;
        scene.config.services.retain(|(name, _)| name != "spare");
        if round % 2 == 0 {
            scene.config = scene.config.clone().service("spare", spare, "tcp", "web");
        }
        scene.agent.reload(&scene.config);
        let shown = scene.agent.backend("web", "web1");
        assert_eq!(shown["weight"]["configured"], weight);
        let answer = get_in(
            &scene.topology.client,
            spare,
            "/",
            Duration::from_millis(700),
        );
        assert_eq!(answer.is_ok(), round % 2 == 0, "round {round}: {answer:?}");
        load.wait_for(200);
    }
    let report = load.stop();
    report.assert_none_failed();
    held.assert_all_alive();
}

#[test]
fn a_backend_removed_from_the_file_gets_no_new_flow_and_keeps_its_connections() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(2));
    let held = HeldConnections::open(&scene.topology.client, ECHO, 40);
    assert!(scene.echo[0].open() > 0, "no held connection is on web1");
    let open_on_removed = scene.echo[0].open();
    scene.config.pool_mut("echo").backends.remove(0);
    scene.agent.reload(&scene.config);
    let more = HeldConnections::open(&scene.topology.client, ECHO, 40);
    assert_eq!(scene.echo[0].open(), open_on_removed);
    held.assert_all_alive();
    more.assert_all_alive();
}

#[test]
fn cli_apply_does_what_a_reload_does_and_dry_run_does_nothing() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(2));
    let generation = scene.agent.generation();
    scene.config.pool_mut("web").backends[1].weight = 10;
    scene.agent.write_config(&scene.config);
    let path = scene.agent.config_path().display().to_string();

    let planned = scene.agent.json(&["config", "apply", &path, "--dry-run"]);
    assert_eq!(planned["applied"], false, "{planned}");
    assert_ne!(planned["plan"]["lines"], serde_json::json!([]), "{planned}");
    assert_eq!(scene.agent.generation(), generation);
    assert_eq!(
        scene.agent.backend("web", "web2")["weight"]["configured"],
        100
    );

    let applied = scene.agent.json(&["config", "apply", &path]);
    assert_eq!(applied["applied"], true, "{applied}");
    assert_eq!(
        scene.agent.backend("web", "web2")["weight"]["configured"],
        10
    );

    let again = scene.agent.json(&["config", "apply", &path]);
    assert_eq!(again["plan"]["lines"], serde_json::json!([]), "{again}");
}

#[test]
fn a_bad_file_is_refused_with_every_error_and_what_runs_goes_on() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(2));
    let load = scene.load();
    let generation = scene.agent.generation();
    let bad = scene
        .config
        .text()
        .replacen("weight = 100", "wieght = 100", 1)
        .replacen("weight = 100", "weight = 100000", 1)
        .replacen("port = 80\n", "port = 0\n", 1);
    scene.agent.write_config_text(&bad);
    let path = scene.agent.config_path().display().to_string();
    for arguments in [["config", "check", &path], ["config", "apply", &path]] {
        let output = scene.agent.cli(&arguments);
        assert_eq!(output.code, 3, "{output:?}");
        for fragment in [
            path.as_str(),
            "pool.web.backends[0].wieght",
            "weight",
            "pool.web.backends[1].weight",
            "100000",
            "service.www.port",
        ] {
            assert!(
                output.stderr.contains(fragment),
                "no `{fragment}` in {output:?}"
            );
        }
    }
    scene.agent.process().signal(Signal::SIGHUP);
    adc_tests::wait::eventually(Duration::from_secs(10), "the refusal is shown", || {
        scene.agent.json(&["status"])["config"]["last_reload_error"].is_string()
    });
    assert_eq!(scene.agent.generation(), generation);
    load.wait_for(200);
    load.stop().assert_none_failed();

    // A good file afterwards is taken, and the complaint goes away.
    let host = scene.topology.add_backend().clone();
    let _echo = adc_tests::serve::echo(&host, ECHO_PORT);
    scene
        .config
        .pool_mut("echo")
        .backends
        .push(Backend::v4(&host, ECHO_PORT));
    assert_ne!(HTTP_PORT, ECHO_PORT);
    scene.agent.reload(&scene.config);
    assert!(scene.agent.json(&["status"])["config"]["last_reload_error"].is_null());
    scene.agent.wait_for_available("echo", 3);
}
