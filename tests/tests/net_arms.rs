//! More than two arms: clients on two interfaces, backends on two others; and whose frames are forwarded.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use adc_tests::{
    agent::{Agent, Backend},
    drive::get_in,
    net::{Namespace, VethPair},
    require,
    scene::{HTTP_PORT, Scene, WWW, WWW6},
    serve::{self, TcpServer},
    topology::{BackendHost, Topology},
    wait::eventually,
};

const PATIENCE: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_secs(2);
/// Of no interface here.
const STRANGER: &str = "02:00:00:00:77:99";
/// The adc node's second client interface, after its MAC changed.
const CHANGED: &str = "02:00:00:00:77:01";

/// A host behind an interface of its own of the adc node, in subnet 10.`net`.0.0/24 and fd00:`net`::/64.
fn plug(topology: &Topology, name: &str, net: u8) -> Namespace {
    let host = Namespace::new(&format!("arm{net}"));
    let pair = VethPair::connect((&host, "eth0"), (&topology.adc, name));
    pair.a.enable_gro();
    for (link, n) in [(&pair.b, "1"), (&pair.a, "11")] {
        for address in [format!("10.{net}.0.{n}/24"), format!("fd00:{net}::{n}/64")] {
            link.add_address(address.parse().unwrap());
        }
    }
    host.ip(&["route", "add", "default", "via", &format!("10.{net}.0.1")]);
    host.ip(&[
        "-6",
        "route",
        "add",
        "default",
        "via",
        &format!("fd00:{net}::1"),
    ]);
    host
}

struct Arms {
    agent: Agent,
    servers: Vec<TcpServer>,
    clients: [Namespace; 2],
    topology: Topology,
}

/// `eth0` and `eth2` towards clients, `eth1` and `eth3` towards backends.
fn arms() -> Arms {
    let topology = Topology::two_arm(1);
    let client = plug(&topology, "eth2", 3);
    let host = BackendHost {
        name: "web2".into(),
        namespace: plug(&topology, "eth3", 4),
        v4: "10.4.0.11".parse().unwrap(),
        v6: "fd00:4::11".parse().unwrap(),
    };
    let hosts = [&topology.backends[0], &host];
    let servers = hosts.map(|host| serve::http(host, HTTP_PORT)).into();
    let mut config = Scene::config(&topology);
    for name in ["eth2", "eth3"] {
        config.interfaces.push(name.into());
    }
    let (v4, v6) = (Backend::v4(&host, HTTP_PORT), Backend::v6(&host, HTTP_PORT));
    config.pool_mut("web").backends.push(v4);
    config.pool_mut("web6").backends.push(v6);
    let agent = Agent::start(&topology, &config);
    for pool in ["web", "web6"] {
        agent.wait_for_available(pool, 2);
    }
    Arms {
        agent,
        servers,
        clients: [topology.client.clone(), client],
        topology,
    }
}

fn answers(client: &Namespace, vip: SocketAddr) -> BTreeSet<String> {
    let ask = |_| get_in(client, vip, "/", TIMEOUT).expect("an answer").body;
    (0..40).map(ask).collect()
}

fn other_hosts(agent: &Agent) -> u64 {
    agent
        .metrics()
        .sum("adc_packets_total", &[("reason", "other_host")])
}

#[test]
fn clients_of_two_interfaces_reach_backends_of_two_others() {
    require!(namespaces, agent);
    let arms = arms();
    let both = BTreeSet::from(["web1".to_owned(), "web2".to_owned()]);
    for client in &arms.clients {
        for vip in [WWW, WWW6] {
            assert_eq!(answers(client, vip), both, "{vip} from {}", client.name());
        }
    }
    assert!(arms.servers.iter().all(|server| server.accepted() > 0));
    assert_eq!(other_hosts(&arms.agent), 0);
}

#[test]
fn only_frames_to_the_interface_are_forwarded_whatever_its_mac_is_now() {
    require!(namespaces, agent);
    let arms = arms();
    let client = &arms.clients[1];
    let name_gateway = |mac: &str| {
        let neighbour = ["neigh", "replace", "10.3.0.1", "lladdr", mac];
        client.ip(&[&neighbour[..], &["dev", "eth0", "nud", "permanent"]].concat());
    };
    let ask = || get_in(client, WWW, "/", TIMEOUT).is_ok();
    assert!(ask());
    assert_eq!(other_hosts(&arms.agent), 0);

    // What the switch would flood to us.
    name_gateway(STRANGER);
    assert!(!ask(), "a frame to another host was forwarded");
    assert!(other_hosts(&arms.agent) > 0);

    arms.topology
        .adc
        .ip(&["link", "set", "eth2", "address", CHANGED]);
    name_gateway(CHANGED);
    eventually(PATIENCE, "the agent follows the MAC", ask);
}
