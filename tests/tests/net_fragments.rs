//! Datagrams that do not fit into a packet, with real kernels at both ends.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

use adc_tests::{
    agent::{Agent, Backend, Config},
    drive::{RawSender, UdpClient},
    packets::{Envelope, MacAddress, Segment, split},
    require,
    scene::{Scene, WWW},
    serve::UdpEcho,
    topology::{CLIENT_V4, CLIENT_V6, Topology, VIP_V4, VIP_V6},
    wait::eventually,
};

const PORT: u16 = 53;

/// A topology with a UDP echo service of both families, and what runs in it.
struct Datagrams {
    agent: Agent,
    _servers: Vec<UdpEcho>,
    topology: Topology,
}

impl Datagrams {
    fn new(topology: Topology, attach: &'static str) -> Self {
        let hosts = &topology.backends;
        let servers = hosts
            .iter()
            .map(|host| UdpEcho::start(host, 5353))
            .collect();
        let v4 = hosts.iter().map(|host| Backend::v4(host, 5353)).collect();
        let v6 = hosts.iter().map(|host| Backend::v6(host, 5353)).collect();
        let mut config = Config::new(&topology)
            .pool("dns", &[], v4)
            .pool("dns6", &[], v6)
            .service("dns", (VIP_V4, PORT), "udp", "dns")
            .service("dns6", (VIP_V6, PORT), "udp", "dns6");
        config.attach = attach;
        let agent = Agent::start(&topology, &config);
        agent.wait_for_available("dns", hosts.len());
        agent.wait_for_available("dns6", hosts.len());
        Self {
            agent,
            _servers: servers,
            topology,
        }
    }

    fn counted(&self, reason: &str) -> u64 {
        let metrics = self.agent.metrics();
        metrics.sum("adc_packets_total", &[("reason", reason)])
    }
}

/// Client and VIP by family.
fn ends() -> [(IpAddr, IpAddr); 2] {
    [
        (CLIENT_V4.into(), VIP_V4.into()),
        (CLIENT_V6.into(), VIP_V6.into()),
    ]
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length)
        .map(|n| u8::try_from(n % 251).expect("below 251"))
        .collect()
}

#[test]
fn datagrams_of_any_size_cross_in_both_directions() {
    require!(namespaces, agent);
    let scene = Datagrams::new(Topology::two_arm(2), "native");
    for (_, vip) in ends() {
        let client = UdpClient::open(&scene.topology.client, SocketAddr::new(vip, PORT));
        for size in [1_473, 2_000, 8_000, 30_000, 60_000] {
            let answer = client.exchange(&bytes(size));
            answer.unwrap_or_else(|error| panic!("{size} bytes to {vip}: {error}"));
        }
    }
}

/// A datagram from a port of the client, in fragments.
fn pieces(from: SocketAddr, to: SocketAddr, payload: &[u8], id: u32) -> Vec<Vec<u8>> {
    let envelope = Envelope {
        to_mac: MacAddress::local(1, 1),
        from_mac: MacAddress::local(1, 2),
        tags: Vec::new(),
        from,
        to,
    };
    split(&envelope.frame(&Segment::udp(payload)), 1_000, id)
}

#[test]
fn fragments_may_come_in_any_order() {
    require!(namespaces, agent);
    for attach in ["native", "skb"] {
        let scene = Datagrams::new(Topology::two_arm(2), attach);
        let namespace = &scene.topology.client;
        for (client, vip) in ends() {
            let service = SocketAddr::new(vip, PORT);
            let socket = namespace.enter(|| UdpSocket::bind((client, 0)).expect("a socket"));
            socket
                .set_read_timeout(Some(Duration::from_secs(2)))
                .expect("a timeout");
            let own = socket.local_addr().expect("its address");
            let raw = RawSender::open(namespace, vip);
            let payload = bytes(7_500);
            for (id, order) in [
                (1, [7, 6, 5, 4, 3, 2, 1, 0]),
                (2, [1, 0, 2, 3, 4, 5, 6, 7]),
                (3, [3, 7, 1, 5, 0, 2, 6, 4]),
            ] {
                let pieces = pieces(own, service, &payload, id);
                for n in order {
                    raw.send(&pieces[n]).expect("sending a fragment");
                }
                let mut answer = vec![0; 65_536];
                let (length, from) = socket
                    .recv_from(&mut answer)
                    .unwrap_or_else(|error| panic!("{attach}, {vip}, order {order:?}: {error}"));
                assert_eq!(from, service);
                assert!(
                    answer[..length].ends_with(&payload),
                    "{vip}, order {order:?}"
                );
            }
        }
        assert!(scene.counted("fragment_held") >= 2 * (7 + 1 + 4));
        let resumed = scene
            .agent
            .metrics()
            .sum("adc_held_fragments_total", &[("outcome", "resumed")]);
        assert!(resumed >= 2 * (7 + 1 + 4), "{resumed} resumed");
    }
}

/// Fragments of datagrams that never become whole fill nothing, and do no harm to others.
#[test]
fn a_flood_of_fragments_is_bounded_and_hurts_nobody() {
    const FLOOD: u32 = 20_000;
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(1));
    let before = scene.agent.resident_kib();
    let load = scene.load();
    load.wait_for(100);
    let raw = RawSender::open(&scene.topology.client, VIP_V4.into());
    let from = SocketAddr::new(CLIENT_V4.into(), 4_000);
    let payload = bytes(2_400);
    for id in 0..FLOOD {
        let pieces = pieces(from, WWW, &payload, id);
        raw.send(&pieces[1]).expect("sending a fragment");
    }
    load.wait_for(300);
    load.stop().assert_none_failed();
    let counted = |reason| {
        let metrics = scene.agent.metrics();
        metrics.sum("adc_packets_total", &[("reason", reason)])
    };
    eventually(Duration::from_secs(10), "every fragment is counted", || {
        counted("fragment") + counted("fragment_held") == u64::from(FLOOD)
    });
    eventually(
        Duration::from_secs(10),
        "every held fragment has ended",
        || {
            let metrics = scene.agent.metrics();
            metrics.sum("adc_held_fragments_total", &[]) == counted("fragment_held")
        },
    );
    let grown = scene.agent.resident_kib().saturating_sub(before);
    assert!(grown < 32 << 10, "the agent grew by {grown} KiB");
}

/// What a backend sends for itself, fragmented, is routed as before.
#[test]
fn fragments_of_a_backend_that_are_no_answers_are_routed() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(1));
    scene.topology.enable_kernel_forwarding();
    let host = adc_tests::topology::BackendHost {
        name: "client".into(),
        namespace: scene.topology.client.clone(),
        v4: CLIENT_V4,
        v6: CLIENT_V6,
    };
    let _server = UdpEcho::start(&host, 161);
    for address in [host.v4(161), host.v6(161)] {
        let backend = UdpClient::open(&scene.topology.backends[0].namespace, address);
        assert_eq!(
            backend.exchange(&bytes(8_000)).expect("an answer"),
            "client"
        );
    }
}
