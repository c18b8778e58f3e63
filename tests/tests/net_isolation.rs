//! What is not a service is left alone.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use adc_tests::{
    drive::{HeldConnections, get_in, ping},
    require,
    scene::{Scene, WWW},
    serve::{TcpServer, UdpEcho},
    topology::{BackendHost, GATEWAY_V4, GATEWAY_V6, Topology, VIP_V4, VIP_V6},
};

/// A service on the box itself is reached at all of its addresses, VIPs included, and goes on
/// through start, stop and crash of the agent.
#[test]
fn a_shell_on_the_box_survives_everything_the_agent_does() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(1));
    let _shell = TcpServer::start(&scene.topology.adc, 22, |mut stream| {
        let mut reader = stream.try_clone().unwrap();
        std::io::copy(&mut reader, &mut stream).ok();
    });
    let client = &scene.topology.client;
    let sessions = [
        IpAddr::from(GATEWAY_V4.0),
        GATEWAY_V6.0.into(),
        VIP_V4.into(),
        VIP_V6.into(),
    ]
    .map(|address| HeldConnections::open(client, SocketAddr::new(address, 22), 3));
    let assert_alive = |sessions: &[HeldConnections]| {
        for session in sessions {
            session.assert_all_alive();
        }
    };
    scene.agent.reload(&scene.config);
    assert_alive(&sessions);
    scene.agent.kill9();
    assert_alive(&sessions);
    scene.agent.restart();
    assert_alive(&sessions);
    // A stop takes the VIPs away, and with them only what was connected to them.
    assert!(scene.agent.stop().success());
    assert_alive(&sessions[..2]);
}

#[test]
fn pings_to_the_box_and_to_the_vips_are_answered() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(1));
    let addresses: [IpAddr; 4] = [
        GATEWAY_V4.0.into(),
        GATEWAY_V6.0.into(),
        VIP_V4.into(),
        VIP_V6.into(),
    ];
    for address in addresses {
        for _ in 0..20 {
            ping(&scene.topology.client, address)
                .unwrap_or_else(|error| panic!("ping to {address}: {error}"));
        }
    }
}

#[test]
fn a_udp_server_on_the_box_and_neighbours_behind_it_are_untouched() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(1));
    let host = BackendHost {
        name: "box".into(),
        namespace: scene.topology.adc.clone(),
        v4: GATEWAY_V4.0,
        v6: GATEWAY_V6.0,
    };
    let _server = UdpEcho::start(&host, 161);
    for address in [host.v4(161), host.v6(161)] {
        let client = adc_tests::drive::UdpClient::open(&scene.topology.client, address);
        assert_eq!(client.exchange(b"get").unwrap(), "box");
    }
    // Routed traffic between two hosts that are both not adc's business.
    scene.topology.enable_kernel_forwarding();
    let direct = scene.topology.backends[0].v4(adc_tests::scene::HTTP_PORT);
    let answer = get_in(&scene.topology.client, direct, "/", Duration::from_secs(2));
    assert_eq!(answer.unwrap().body, "web1");
}

#[test]
fn a_port_of_a_vip_without_a_service_is_refused_by_the_box_not_swallowed() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(1));
    let closed = SocketAddr::new(WWW.ip(), 4444);
    let error = get_in(&scene.topology.client, closed, "/", Duration::from_secs(2)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
}
