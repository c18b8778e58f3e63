//! What BFD sessions are for: groups that lose their router, and backends that are out of reach or worked on.

use std::net::IpAddr;

use adc_tests::{
    agent::{Agent, Backend, Config},
    announce,
    bfd::{CALM, is_up, session},
    direct_return::wake_port,
    drive::HeldConnections,
    lan::LONG,
    net::Link,
    pair::{Node, Pair},
    require,
    routing::{BirdBfd, FrrBfd},
    scene::{ECHO, ECHO_PORT},
    serve,
    topology::{CLIENT_V4, GATEWAY_V4, Topology},
    wait::eventually,
};

/// A pair whose group is lost with the path to a router, which is the client's machine.
fn tracked(start: impl Fn(String) -> Pair) {
    let router = IpAddr::from(CLIENT_V4);
    let lines = format!(
        "track = [{{ bfd = \"router\" }}]\n{}",
        session("router", router, CALM)
    );
    let pair = start(lines);
    let device = Link {
        namespace: pair.topology.client.clone(),
        name: "eth0".into(),
    };
    let nodes = [&pair.first, &pair.second].map(|node| own_address(node, router));
    let bird = BirdBfd::start(&device, &nodes, CALM, pair.topology.directory());
    pair.wait_for_first();
    eventually(LONG, "both nodes reach the router", || {
        is_up(&pair.first.agent, "router") && is_up(&pair.second.agent, "router")
    });
    // The router's packets to the first node go astray; the nodes hear each other.
    let astray = nodes[0].to_string();
    let wrong = [
        "neigh",
        "replace",
        &astray,
        "lladdr",
        "02:00:00:00:00:99",
        "dev",
        "eth0",
    ];
    device.namespace.ip(&wrong);
    let took = pair.wait_for_second();
    announce(format_args!(
        "300 ms x 5: path of the active node cut to the VIP on the other: {} ms",
        took.as_millis()
    ));
    let groups = pair.first.agent.json(&["ha", "status"]);
    let tracked = &groups["groups"][0]["tracked"][0];
    assert_eq!(tracked["what"], "BFD session router", "{groups}");
    assert_eq!(
        (&tracked["well"], &tracked["fault"]),
        (&false.into(), &true.into())
    );
    device
        .namespace
        .ip(&["neigh", "del", &astray, "dev", "eth0"]);
    eventually(LONG, "the first node reaches the router again", || {
        is_up(&pair.first.agent, "router") && bird.is_up(nodes[0])
    });
    pair.wait_for_first();
}

/// The address that a node speaks to the router from.
fn own_address(node: &Node, router: IpAddr) -> IpAddr {
    let text = node
        .link
        .namespace
        .ip(&["route", "get", &router.to_string()]);
    let words: Vec<_> = text.split_whitespace().collect();
    let found = words.windows(2).find(|pair| pair[0] == "src");
    found.unwrap_or_else(|| panic!("no source: {text}"))[1]
        .parse()
        .unwrap()
}

#[test]
fn a_group_under_vrrp_moves_when_the_path_to_the_router_is_gone() {
    require!(namespaces, agent, "bird", "birdc");
    tracked(|lines| {
        let with = move |_: &[_], mut config: Config| {
            config.extra += &lines;
            config
        };
        Pair::unsettled(None, with)
    });
}

#[test]
fn a_group_under_the_heartbeat_moves_when_the_path_to_the_router_is_gone() {
    require!(namespaces, agent, "bird", "birdc");
    tracked(|lines| {
        let with = move |_: &[_], mut config: Config| {
            config.extra += &lines;
            config
        };
        Pair::unsettled(Some("fast"), with)
    });
}

#[test]
fn a_backend_without_a_path_leaves_at_once_and_one_that_is_worked_on_keeps_its_connections() {
    require!(namespaces, agent, "bird", "birdc", "vtysh", frr);
    let topology = Topology::one_arm(2);
    let directory = topology.directory();
    let _awake = wake_port(&topology.switch_port, directory);
    let servers = topology.backends.iter();
    let _servers: Vec<_> = servers.map(|host| serve::echo(host, ECHO_PORT)).collect();
    let link = |n: usize| Link {
        namespace: topology.backends[n].namespace.clone(),
        name: "eth0".into(),
    };
    let own = IpAddr::from(GATEWAY_V4.1);
    let first = IpAddr::from(topology.backends[0].v4);
    let frr = FrrBfd::start(&link(0), &[(first, own)], CALM, directory);
    let bird = BirdBfd::start(&link(1), &[own], CALM, directory);
    let hosts = topology.backends.iter();
    let backends = hosts.map(|host| Backend::v4(host, ECHO_PORT)).collect();
    let mut config = Config::new(&topology)
        .pool("echo", &["path"], backends)
        .service("echo", ECHO, "tcp", "echo");
    config.pool_mut("echo").on_down = Some("reset");
    config.extra += "\n[monitor.path]\ntype = \"bfd\"\ninterval = \"300ms\"\nmultiplier = 5\n";
    let agent = Agent::start(&topology, &config);
    agent.wait_for_available("echo", 2);
    assert!(frr.is_up(own) && bird.is_up(own));
    let held = HeldConnections::open(&topology.client, ECHO, 40);
    let flows = |name: &str| agent.flows("echo", name);
    let [at_first, at_second] = ["web1", "web2"].map(flows);
    assert!(at_first > 0 && at_second > 0, "{at_first} and {at_second}");

    // Worked on: no new flows, and those that are there stay.
    frr.shut(first, own, "eth0", true);
    agent.wait_for_available("echo", 1);
    let state = agent.backend("echo", "web1");
    assert_eq!(state["health"]["state"], "unknown", "{state}");
    held.wait_for_rounds(10);
    held.assert_all_alive();
    frr.shut(first, own, "eth0", false);
    agent.wait_for_available("echo", 2);

    // Dead: out, and the other's connections are not touched.
    topology.port("web2").block();
    let took = agent.wait_for_available("echo", 1);
    announce(format_args!(
        "300 ms x 5: backend cut to out of the ring, as asked by the command line: {} ms",
        took.as_millis()
    ));
    let state = agent.backend("echo", "web2");
    assert_eq!(state["health"]["state"], "down", "{state}");
    let broken = || held.broken().len() as u64;
    eventually(LONG, "connections to the dead backend end", || {
        broken() == at_second
    });
    held.wait_for_rounds(10);
    assert_eq!(broken(), at_second, "the others are not touched");
    topology.port("web2").unblock();
    agent.wait_for_available("echo", 2);
}
