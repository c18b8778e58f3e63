//! BFD sessions with FRR's bfdd and with BIRD: up, down, down on purpose, hostile packets, and what outlives what.

use std::{
    io,
    net::{IpAddr, UdpSocket},
};

use adc_tests::{
    agent::{Agent, Config},
    announce,
    bfd::{CALM, FAST, is_up, own, refused, session, status},
    lan::LONG,
    net::Link,
    require,
    routing::{BirdBfd, FrrBfd},
    topology::{ROUTER_V4, ROUTER_V6, Topology},
    wait::eventually,
};

/// The second router's addresses.
const OTHER_V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 0, 7));
const OTHER_V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 7));

#[test]
fn sessions_with_both_daemons_over_both_families_come_up_go_down_when_cut_and_come_back() {
    require!(namespaces, agent, "bird", "birdc", "vtysh", frr);
    let topology = Topology::one_arm(1);
    let [v4, v6] = [ROUTER_V4.into(), ROUTER_V6.into()];
    let one = topology.add_machine("router", &[v4, v6]);
    let other = topology.add_machine("other", &[OTHER_V4, OTHER_V6]);
    let names = [
        ("bird4", v4),
        ("bird6", v6),
        ("frr4", OTHER_V4),
        ("frr6", OTHER_V6),
    ];
    let mut config = Config::new(&topology);
    config.extra = names.map(|(name, peer)| session(name, peer, FAST)).concat();
    let directory = topology.directory();
    let mut bird = BirdBfd::start(&one, &[own(v4), own(v6)], FAST, directory);
    let of_frr = [OTHER_V4, OTHER_V6].map(|peer| (peer, own(peer)));
    let frr = FrrBfd::start(&other, &of_frr, FAST, directory);
    let mut agent = Agent::start(&topology, &config);
    let all_up = || {
        let here = names.iter().all(|(name, _)| is_up(&agent, name));
        let there = [v4, v6].map(|peer| bird.is_up(own(peer)));
        let other = [OTHER_V4, OTHER_V6].map(|peer| frr.is_up(own(peer)));
        here && there == [true; 2] && other == [true; 2]
    };
    eventually(LONG, "all sessions are up, on both sides", all_up);
    for (name, _) in names {
        eventually(LONG, "what was agreed on is quick", || {
            let status = status(&agent, name);
            status["transmit_micros"] == 50_000 && status["detection_micros"] == 150_000
        });
    }

    // Cut: neither daemon and no end of ours keeps a session up.
    topology.switch_port.block();
    let took = eventually(LONG, "all sessions are down here", || {
        names.iter().all(|(name, _)| !is_up(&agent, name))
    });
    announce(format_args!(
        "50 ms x 3: cut to down, as asked by the command line: {} ms",
        took.as_millis()
    ));
    for (name, _) in names {
        assert_eq!(
            status(&agent, name)["diagnostic"],
            "control detection time expired"
        );
    }
    eventually(LONG, "all sessions are down there", || {
        let there = [v4, v6].map(|peer| bird.is_up(own(peer)));
        let other = [OTHER_V4, OTHER_V6].map(|peer| frr.is_up(own(peer)));
        there == [false; 2] && other == [false; 2]
    });
    topology.switch_port.unblock();
    eventually(LONG, "all sessions are up again", all_up);

    // Down on purpose is told apart from dead.
    frr.shut(OTHER_V4, own(OTHER_V4), "eth0", true);
    eventually(LONG, "the session is down on purpose", || {
        let status = status(&agent, "frr4");
        status["state"] == "down" && status["verdict"] == "withdrawn"
    });
    frr.shut(OTHER_V4, own(OTHER_V4), "eth0", false);
    eventually(LONG, "the session is up again", || is_up(&agent, "frr4"));
    let metrics = agent.metrics();
    assert_eq!(metrics.sum("adc_bfd_session_up", &[("session", "frr4")]), 1);

    // What is no packet of the peer's BFD is counted by reason, and ignored.
    bird.kill9();
    for (reason, ttl, data) in hostile() {
        for (name, peer) in [("bird4", v4), ("bird6", v6)] {
            let before = refused(&agent, name, reason);
            send(&one, own(peer), ttl, &data);
            eventually(LONG, reason, || refused(&agent, name, reason) > before);
        }
    }
    assert!(agent.stop().success());
}

/// Reasons, and what is refused for them.
fn hostile() -> Vec<(&'static str, u32, Vec<u8>)> {
    // Down, multiplier 3, discriminator 0x11, a second both ways.
    let valid = [
        0x20, 0x40, 3, 24, 0, 0, 0, 0x11, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40, 0, 0x0f, 0x42, 0x40, 0,
        0, 0, 0,
    ];
    let with = |at: usize, byte: u8| {
        let mut data = valid.to_vec();
        data[at] = byte;
        data
    };
    vec![
        ("hop_limit", 254, valid.to_vec()),
        ("version", 255, with(0, 0x40)),
        ("length", 255, with(3, 60)),
        ("detect_multiplier", 255, with(2, 0)),
        ("multipoint", 255, with(1, 0x41)),
        ("my_discriminator", 255, with(7, 0)),
        ("your_discriminator", 255, with(1, 0xc0)),
        ("no_session", 255, with(11, 0x22)),
        ("truncated", 255, b"garbage".to_vec()),
    ]
}

/// Sends a datagram to the port of BFD.
fn send(from: &Link, to: IpAddr, ttl: u32, data: &[u8]) {
    let sent = from.namespace.enter(|| {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        let socket = socket2::Socket::from(socket);
        if to.is_ipv4() {
            socket.set_ttl_v4(ttl)?;
        } else {
            socket.set_unicast_hops_v6(ttl)?;
        }
        let to = std::net::SocketAddr::new(to, 3784);
        socket.send_to(data, &to.into())?;
        io::Result::Ok(())
    });
    sent.expect("sending a datagram");
}

#[test]
fn a_session_outlives_the_agent_and_the_keepers_program_and_its_peer_notices_nothing() {
    require!(namespaces, agent, "bird", "birdc");
    let topology = Topology::one_arm(1);
    let router = topology.add_machine("router", &[ROUTER_V4.into()]);
    let peer = IpAddr::from(ROUTER_V4);
    let mut config = Config::new(&topology);
    config.extra = session("router", peer, CALM);
    let bird = BirdBfd::start(&router, &[own(peer)], CALM, topology.directory());
    let mut agent = Agent::start(&topology, &config);
    eventually(LONG, "the session is up", || {
        is_up(&agent, "router") && bird.is_up(own(peer))
    });
    let since = bird.session(own(peer)).unwrap()[3].clone();
    let standing = |agent: &Agent| {
        let status = status(agent, "router");
        ["local_discriminator", "since", "state"].map(|field| status[field].clone())
    };
    let before = standing(&agent);
    let keeper = agent.keeper();
    assert!(keeper.is_some(), "sessions alone want a keeper");

    assert!(agent.leave().success());
    agent.restart();
    assert_eq!(standing(&agent), before, "after SIGTERM");
    agent.kill9();
    agent.restart();
    assert_eq!(standing(&agent), before, "after kill -9");
    let newer = topology.directory().join("adc");
    std::fs::copy(agent.binary(), &newer).unwrap();
    agent.use_binary(newer);
    assert!(agent.leave().success());
    agent.restart();
    assert_eq!(agent.keeper(), keeper, "the same process, another program");
    assert_eq!(standing(&agent), before, "after an upgrade");
    // Packets are still heard by both: longer than any silence may last.
    let received = |agent: &Agent| {
        let status = status(agent, "router");
        status["counters"]["received"].as_u64().unwrap_or(0)
    };
    let heard = received(&agent);
    eventually(LONG, "ten more packets are heard", || {
        received(&agent) > heard + 10
    });
    assert_eq!(standing(&agent), before);
    let now = bird.session(own(peer)).unwrap();
    assert_eq!((now[2].as_str(), &now[3]), ("Up", &since), "for the peer");

    // A keeper that dies is another matter: the next one knows nothing of the session.
    agent.kill9_keeper();
    let took = eventually(LONG, "another keeper has the session up again", || {
        let status = status(&agent, "router");
        let other = status["local_discriminator"] != before[0];
        other && status["state"] == "up" && bird.is_up(own(peer))
    });
    announce(format_args!(
        "keeper killed to the session up again: {} ms",
        took.as_millis()
    ));

    // A reload without the session takes it down on purpose, and the keeper with it.
    config.extra.clear();
    agent.reload(&config);
    eventually(LONG, "it is down at the peer", || !bird.is_up(own(peer)));
    assert_eq!(agent.keeper(), None);
}

#[test]
fn a_bfd_daemon_on_the_same_node_keeps_its_own_sessions() {
    require!(namespaces, agent, "bird", "birdc", "vtysh", frr);
    let topology = Topology::one_arm(1);
    let directory = topology.directory();
    let peer = IpAddr::from(ROUTER_V4);
    let router = topology.add_machine("router", &[peer]);
    let other = topology.add_machine("other", &[OTHER_V4]);
    let near = BirdBfd::start(&router, &[own(peer)], CALM, directory);
    let far = BirdBfd::start(&other, &[own(peer)], CALM, directory);
    let node = &topology.interfaces[0];
    let mut config = Config::new(&topology);
    config.extra = session("router", peer, CALM);
    let mut agent = Agent::start(&topology, &config);
    let ours = |agent: &Agent| is_up(agent, "router") && near.is_up(own(peer));

    let bird = BirdBfd::start(node, &[OTHER_V4], CALM, directory);
    eventually(LONG, "the session is up, and BIRD's beside it", || {
        ours(&agent) && bird.is_up(OTHER_V4) && far.is_up(own(peer))
    });
    drop(bird);
    let frr = FrrBfd::start(node, &[(own(peer), OTHER_V4)], CALM, directory);
    let both = |agent: &Agent| ours(agent) && frr.is_up(OTHER_V4) && far.is_up(own(peer));
    eventually(LONG, "the session is up, and FRR's beside it", || {
        both(&agent)
    });
    // The other way round: the daemon was there first.
    assert!(agent.stop().success());
    agent.restart();
    eventually(LONG, "both are up again", || both(&agent));
}
