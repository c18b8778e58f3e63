//! `adc explain` on a live node: it says what then happens, and changes nothing.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    time::Duration,
};

use adc_tests::{
    drive::HeldConnections,
    packets::{Envelope, MacAddress, Segment},
    require,
    scene::{ECHO, ECHO_PORT, Scene, WWW, WWW6},
    topology::{CLIENT_V4, CLIENT_V6, Topology, VIP_V4},
    wait::eventually,
};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

fn explain(scene: &Scene, words: &[&str]) -> Value {
    let mut all = vec!["explain"];
    all.extend_from_slice(words);
    scene.agent.json(&all)
}

fn explain_tcp(scene: &Scene, from: SocketAddr, to: SocketAddr, flags: &str) -> Value {
    let (from, to) = (from.to_string(), to.to_string());
    explain(scene, &["tcp", &from, &to, "--flags", flags])
}

/// Connects from a port of our choice and returns the name that the server answers with.
fn name_of_server(scene: &Scene, from: SocketAddr, to: SocketAddr) -> String {
    scene.topology.client.enter(|| {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&from.into()).unwrap();
        let patience = Duration::from_secs(5);
        socket.connect_timeout(&to.into(), patience).unwrap();
        let mut stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(patience)).unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: www\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.trim_end().lines().last().unwrap().to_owned()
    })
}

/// Everything that a look must not move.
fn state(scene: &Scene) -> (u64, Value) {
    let mut flows = scene.agent.json(&["flow", "list"]);
    let all = flows["flows"].as_array_mut().unwrap();
    // Health checks of the node itself go around the program, so these are ours alone.
    for flow in all.iter_mut() {
        flow["idle_seconds"] = 0.into();
    }
    all.sort_by_key(ToString::to_string);
    (scene.agent.flow_count(), flows)
}

#[test]
fn the_backend_that_is_named_is_the_one_that_answers_and_nothing_changes_before() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(3));
    let mut before = state(&scene);
    let mut named = std::collections::BTreeSet::new();
    let clients: [(SocketAddr, SocketAddr); 2] =
        [((CLIENT_V4, 0).into(), WWW), ((CLIENT_V6, 0).into(), WWW6)];
    for (mut from, to) in clients {
        for port in 20_000..20_006 {
            from.set_port(port);
            let told = explain_tcp(&scene, from, to, "syn");
            assert_eq!(told["verdict"], "redirect", "{told}");
            assert_eq!(told["reason"], "scheduled_new_flow", "{told}");
            assert_eq!(told["leaves_by"], "eth1", "{told}");
            assert_eq!(told["backend"]["health"], "up", "{told}");
            assert_eq!(told["backend"]["admin"], "enabled", "{told}");
            assert!(told["ring_slot"].is_u64(), "{told}");
            let changed = told["changes"].as_array().unwrap();
            let is_rewritten = |field: &str| changed.iter().any(|c| c["field"] == field);
            assert!(is_rewritten("destination-port"), "{told}");
            assert_eq!(state(&scene), before, "explaining changed something");
            let backend = told["backend"]["name"].as_str().unwrap().to_owned();
            assert_eq!(name_of_server(&scene, from, to), backend, "{told}");
            named.insert(backend);
            // Its flow stays for a while after its end, and a look at it changes nothing either.
            before = state(&scene);
        }
    }
    assert!(named.len() > 1, "always {named:?}");
}

#[test]
fn an_established_flow_is_followed_in_both_directions() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(2));
    let held = HeldConnections::open(&scene.topology.client, ECHO, 3);
    let flows = scene.agent.json(&["flow", "list", "--service", "echo"]);
    for flow in flows["flows"].as_array().unwrap() {
        let end = |field: &str| -> SocketAddr { flow[field].as_str().unwrap().parse().unwrap() };
        let (client, backend) = (end("client"), end("backend"));
        let told = explain_tcp(&scene, client, ECHO, "ack");
        assert_eq!(told["reason"], "forwarded_to_backend", "{told}");
        assert_eq!(told["interface"], "eth0", "{told}");
        assert_eq!(told["backend"]["name"], flow["backend_name"], "{told}");
        assert_eq!(told["service"], "echo", "{told}");
        let reply = explain_tcp(&scene, backend, client, "ack");
        assert_eq!(reply["reason"], "forwarded_to_client", "{reply}");
        assert_eq!(
            (&reply["interface"], &reply["leaves_by"]),
            (&"eth1".into(), &"eth0".into())
        );
        assert_eq!(reply["backend"]["name"], flow["backend_name"], "{reply}");
    }
    held.assert_all_alive();
}

#[test]
fn what_is_not_forwarded_has_its_reason_and_a_hint() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(2));
    let client = SocketAddr::from((CLIENT_V4, 40_000));
    let other_port = explain_tcp(&scene, client, (VIP_V4, 81).into(), "syn");
    assert_eq!(other_port["verdict"], "pass", "{other_port}");
    assert_eq!(other_port["reason"], "vip_other_port");

    let (from, to) = (client.to_string(), WWW.to_string());
    let traceroute = explain(&scene, &["tcp", &from, &to, "--ttl", "1"]);
    assert_eq!(traceroute["reason"], "ttl_exceeded", "{traceroute}");
    let stray = explain_tcp(&scene, client, WWW, "syn|ack");
    assert_eq!(stray["reason"], "handshake_mismatch", "{stray}");

    scene.kill_http(0);
    scene.kill_http(1);
    scene.agent.wait_for_available("web", 0);
    let nobody = explain_tcp(&scene, client, WWW, "syn");
    assert_eq!(nobody["verdict"], "drop", "{nobody}");
    assert_eq!(nobody["reason"], "no_backend", "{nobody}");
    assert_eq!(nobody["service"], "www", "{nobody}");
    let notes = nobody["notes"].to_string();
    assert!(
        notes.contains("web/web1") && notes.contains("down"),
        "{notes}"
    );
    for told in [&traceroute, &stray, &nobody] {
        assert!(told["hint"].is_string(), "{told}");
    }
    for told in [&stray, &nobody] {
        assert!(told.get("after").is_none(), "{told}");
    }
    // The sender would be told.
    assert_eq!(traceroute["after"][2]["header"], "icmp", "{traceroute}");
    let people = scene.agent.ok(&["explain", "tcp", &from, &to]);
    assert!(people.contains("adc backend list"), "{people}");
    let wrong = scene
        .agent
        .cli(&["explain", "tcp", &from, &to, "--in", "eth7"]);
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.stderr.contains("eth0, eth1"), "{wrong:?}");
}

#[test]
fn a_flow_whose_backend_has_no_next_hop_any_more_is_said_to_be_stuck() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(1));
    let held = HeldConnections::open(&scene.topology.client, ECHO, 1);
    let flows = scene.agent.json(&["flow", "list", "--service", "echo"]);
    let client: SocketAddr = flows["flows"][0]["client"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let host = &scene.topology.backends[0];
    host.namespace.ip(&["link", "set", "eth0", "down"]);
    eventually(Duration::from_mins(1), "the next hop is lost", || {
        explain_tcp(&scene, client, ECHO, "ack")["reason"] == "next_hop_unresolved"
    });
    let told = explain_tcp(&scene, client, ECHO, "ack");
    assert_eq!(told["backend"]["address"], host.v4(ECHO_PORT).to_string());
    assert!(
        told["hint"].as_str().unwrap().contains("ip neigh"),
        "{told}"
    );
    drop(held);
}

/// A classic pcap of one frame that was `length` bytes long.
fn pcap(scene: &Scene, name: &str, frame: &[u8], length: usize) -> PathBuf {
    let path = scene.topology.directory().join(name);
    let word = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    file.extend([2, 0, 4, 0]);
    file.extend([word(0), word(0), word(65_535), word(1)].concat());
    file.extend([word(0), word(0), word(frame.len()), word(length)].concat());
    file.extend(frame);
    std::fs::write(&path, file).unwrap();
    path
}

#[test]
fn a_recorded_packet_is_judged_byte_by_byte() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(1));
    let envelope = Envelope {
        to_mac: scene.topology.interfaces[0].mac(),
        from_mac: MacAddress::local(9, 2),
        tags: vec![],
        from: (CLIENT_V4, 41_000).into(),
        to: WWW,
    };
    let frame = envelope.frame(&Segment::tcp("PA", 1, 2).data(&[7; 600]));
    let tell =
        |file: &PathBuf| explain(&scene, &["--pcap", file.to_str().unwrap(), "--in", "eth0"]);

    let whole = tell(&pcap(&scene, "whole.pcap", &frame, frame.len()));
    assert_eq!(whole["reason"], "picked_up_flow", "{whole}");
    assert_eq!(whole["notes"], Value::Array(vec![]), "{whole}");

    let mut damaged = frame.clone();
    damaged[60] ^= 1;
    let wrong = tell(&pcap(&scene, "damaged.pcap", &damaged, damaged.len()));
    assert_eq!(wrong["reason"], "picked_up_flow", "{wrong}");
    assert!(
        wrong["notes"].to_string().contains("TCP checksum"),
        "{wrong}"
    );

    let cut = tell(&pcap(&scene, "cut.pcap", &frame[..96], frame.len()));
    assert_eq!(cut["reason"], "picked_up_flow", "{cut}");
    assert!(cut["notes"].to_string().contains("96 of"), "{cut}");

    // On the wire it was not longer: the program would see the same.
    let short = tell(&pcap(&scene, "short.pcap", &frame[..40], 40));
    assert_eq!(short["reason"], "bad_ip_header", "{short}");
    assert_eq!(short["verdict"], "drop", "{short}");

    let file = pcap(&scene, "one.pcap", &frame, frame.len());
    let beyond = scene
        .agent
        .cli(&["explain", "--pcap", file.to_str().unwrap(), "--packet", "2"]);
    assert_eq!(beyond.code, 1, "{beyond:?}");
    assert!(beyond.stderr.contains("1 packets"), "{beyond:?}");
    let text = scene.agent.config_path().to_str().unwrap().to_owned();
    let no_recording = scene.agent.cli(&["explain", "--pcap", &text]);
    assert!(no_recording.stderr.contains("pcapng"), "{no_recording:?}");
}
