//! SCTP associations through a live node, between endpoints in user space.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::Command,
    time::Duration,
};

use adc_tests::{
    agent::{Agent, Backend, Config},
    drive::SctpEnd,
    net::run,
    packets::Chunk,
    process::Process,
    require,
    topology::{BackendHost, Topology, VIP_V4, VIP_V6},
    wait::eventually,
};

/// Port of the service.
const PORT: u16 = 2905;
/// Port of the backends.
const BACKEND_PORT: u16 = 29_050;
/// The balancer's own addresses towards the backends.
const LOCAL: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 2, 0, 100)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 0x100)),
];

const SOON: Duration = Duration::from_secs(30);

fn config(topology: &Topology) -> Config {
    let host = &topology.backends[0];
    Config::new(topology)
        .pool("signals", &[], vec![Backend::v4(host, BACKEND_PORT)])
        .pool("signals6", &[], vec![Backend::v6(host, BACKEND_PORT)])
        .service("sigtran", (VIP_V4, PORT), "sctp", "signals")
        .service("sigtran6", (VIP_V6, PORT), "sctp", "signals6")
}

/// The client's own address of a family.
fn client_address(topology: &Topology, v4: bool) -> IpAddr {
    let family = if v4 { "-4" } else { "-6" };
    let words = ["-o", family, "address", "show", "scope", "global"];
    let text = topology.client.ip(&words);
    let address = text.split_whitespace().nth(3).expect("an address");
    let (address, _length) = address.split_once('/').expect("a prefix length");
    address.parse().expect("an address")
}

/// From INIT to SHUTDOWN COMPLETE; returns whom the backend saw.
fn associate(topology: &Topology, host: &BackendHost, vip: IpAddr, client_port: u16) -> SocketAddr {
    let backend = if vip.is_ipv4() {
        host.v4(BACKEND_PORT)
    } else {
        host.v6(BACKEND_PORT)
    };
    let own = SocketAddr::new(client_address(topology, vip.is_ipv4()), client_port);
    let service = SocketAddr::new(vip, PORT);
    let mut client = SctpEnd::open(&topology.client, own, 0xc11e_0001);
    let mut server = SctpEnd::open(&host.namespace, backend, 0xbacc_0002);

    client.init(service);
    let seen = server.receive().from;
    server.send(&[Chunk::initiate(
        Chunk::INIT_ACK,
        0xbacc_0002,
        b"\0\x07\0\x08cook",
    )]);
    assert_eq!(client.receive().from, service, "whom the client hears");
    client.send(&[
        Chunk::new(Chunk::COOKIE_ECHO, b"cook"),
        Chunk::data(b"first"),
    ]);
    assert_eq!(server.receive().from, seen);
    server.send(&[Chunk::new(Chunk::COOKIE_ACK, b"")]);
    client.receive();
    for length in [1, 2, 3, 4, 100, 1000, 1400] {
        let message = Chunk::data(&vec![0x5a; length]);
        client.send(std::slice::from_ref(&message));
        assert_eq!(server.receive().chunks, message.bytes());
        server.send(std::slice::from_ref(&message));
        assert_eq!(client.receive().chunks, message.bytes());
    }
    client.send(&[Chunk::new(Chunk::SHUTDOWN, &[0; 4])]);
    server.receive();
    server.send(&[Chunk::new(Chunk::SHUTDOWN_ACK, b"")]);
    client.receive();
    client.send(&[Chunk::new(Chunk::SHUTDOWN_COMPLETE, b"")]);
    server.receive();
    seen
}

#[test]
fn associations_live_and_end_over_both_families_and_tshark_finds_no_wrong_crc() {
    require!(namespaces, agent, "tshark");
    let topology = Topology::two_arm(1);
    let agent = Agent::start(&topology, &config(&topology));
    for pool in ["signals", "signals6"] {
        agent.wait_for_available(pool, 1);
    }
    let normal = topology.interfaces[0].details()["xdp"]["prog"]["id"].clone();
    let file = topology.directory().join("sctp.pcapng");
    let mut command = Command::new(agent.binary());
    command.arg("--socket").arg(agent.socket());
    command
        .args(["capture", "proto", "sctp", "--after", "-w"])
        .arg(&file);
    let logs = topology.directory();
    let mut capture = Process::spawn(&topology.adc, "capture", &mut command, logs);
    eventually(SOON, "the program that captures is attached", || {
        topology
            .interfaces
            .iter()
            .all(|link| link.details()["xdp"]["prog"]["id"] != normal)
    });
    let host = &topology.backends[0];
    for (vip, port) in [(VIP_V4.into(), 40_001), (IpAddr::from(VIP_V6), 40_002)] {
        let seen = associate(&topology, host, vip, port);
        let client = client_address(&topology, vip.is_ipv4());
        assert_eq!(seen, SocketAddr::new(client, port), "whom the backend sees");
    }
    let flows = agent.json(&["flow", "list", "--protocol", "sctp"]);
    let phases: Vec<_> = flows["flows"].as_array().expect("flows").iter().collect();
    assert_eq!(phases.len(), 2, "{flows}");
    for flow in phases {
        assert_eq!(flow["phase"], "closed", "{flows}");
        assert_eq!(flow["protocol"], "sctp", "{flows}");
    }
    capture.signal(nix::sys::signal::Signal::SIGINT);
    assert!(capture.wait(SOON).success(), "{}", capture.log());
    let file = file.to_str().expect("a path");
    let judge = [
        "-r",
        file,
        "-o",
        "sctp.checksum:CRC 32c",
        "-T",
        "fields",
        "-e",
    ];
    let status = run("tshark", &[&judge[..], &["sctp.checksum.status"]].concat());
    // Two associations of 21 packets, as they came and as they left; 1 is "good".
    let verdicts: Vec<_> = status.lines().collect();
    assert_eq!(verdicts, ["1"; 2 * 21 * 2], "{}", capture.log());
}

#[test]
fn associations_cross_full_nat() {
    require!(namespaces, agent);
    let topology = Topology::two_arm(1);
    let agent = Agent::start(&topology, &config(&topology).full_nat(&LOCAL));
    for pool in ["signals", "signals6"] {
        agent.wait_for_available(pool, 1);
    }
    let host = &topology.backends[0];
    for (vip, local) in [IpAddr::from(VIP_V4), VIP_V6.into()].into_iter().zip(LOCAL) {
        let seen = associate(&topology, host, vip, 40_003);
        assert_eq!(seen.ip(), local, "whom the backend sees");
    }
}
