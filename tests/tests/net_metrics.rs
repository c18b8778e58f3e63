//! Counters that can be trusted.

use std::time::Duration;

use adc_tests::{
    drive::{HeldConnections, Load},
    require,
    scene::{ECHO, Scene, WWW, WWW6},
    topology::Topology,
    wait::eventually,
};

#[test]
fn counters_match_the_traffic_exactly() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(3));
    let before = scene
        .agent
        .metrics()
        .sum("adc_packets_total", &[("reason", "scheduled_new_flow")]);
    assert_eq!(before, 0, "health checks are not flows");
    let load = Load::start(&scene.topology.client, &[WWW, WWW6], 4, Duration::ZERO);
    load.wait_for(1_000);
    let report = load.stop();
    report.assert_none_failed();
    let held = HeldConnections::open(&scene.topology.client, ECHO, 25);
    let flows = report.requests.len() as u64 + 25;

    let metrics = scene.agent.metrics();
    let reason = |name| metrics.sum("adc_packets_total", &[("reason", name)]);
    assert_eq!(reason("scheduled_new_flow"), flows);
    assert_eq!(metrics.sum("adc_backend_flows_scheduled_total", &[]), flows);
    assert_eq!(
        metrics.sum("adc_backend_flows_established_total", &[]),
        flows
    );
    for (name, answers) in report.per_backend() {
        let scheduled: u64 = ["web", "web6"]
            .iter()
            .map(|pool| scene.agent.traffic(pool, &name, "flows_scheduled"))
            .sum();
        assert_eq!(scheduled, answers, "{name}");
    }
    for dropped in [
        "no_backend",
        "tuple_conflict",
        "flow_table_error",
        "handshake_mismatch",
    ] {
        assert_eq!(reason(dropped), 0, "{dropped}");
    }
    // Every packet to a backend was counted once as forwarded and once for its backend.
    held.close();
    eventually(Duration::from_secs(10), "packet counters agree", || {
        let metrics = scene.agent.metrics();
        let reason = |name| metrics.sum("adc_packets_total", &[("reason", name)]);
        let sent =
            |direction| metrics.sum("adc_backend_packets_total", &[("direction", direction)]);
        sent("forward")
            == reason("forwarded_to_backend")
                + reason("scheduled_new_flow")
                + reason("picked_up_flow")
            && sent("reply") == reason("forwarded_to_client")
    });
}
