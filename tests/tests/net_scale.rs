//! Many services.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use adc_tests::{
    agent::{Agent, Backend, Config},
    drive::get_in,
    require, serve,
    topology::Topology,
};

const SERVICES: usize = 1_000;
const BACKENDS: usize = 20;
/// Services that have servers.
const SERVED: [usize; 3] = [0, 499, SERVICES - 1];

#[test]
fn a_thousand_services_with_twenty_backends_apply_and_work() {
    require!(namespaces, agent);
    let topology = Topology::two_arm(2);
    let servers: Vec<_> = SERVED
        .iter()
        .flat_map(|service| (0..BACKENDS).map(move |backend| (*service, backend)))
        .map(|(service, backend)| {
            let host = &topology.backends[backend % 2];
            serve::http(host, address(&topology, service, backend).port())
        })
        .collect();
    let mut config = Config::new(&topology);
    for service in 0..SERVICES {
        let name = format!("s{service}");
        let backends = (0..BACKENDS).map(|backend| Backend {
            name: format!("b{backend}"),
            address: address(&topology, service, backend),
            weight: 100,
        });
        config =
            config
                .pool(&name, &[], backends.collect())
                .service(&name, vip(service), "tcp", &name);
    }
    let started = Instant::now();
    let mut agent = Agent::start(&topology, &config);
    report(
        "start and apply of 1 000 services x 20 backends",
        started,
        &mut agent,
    );

    let answers = |service: usize| -> usize {
        let get = || get_in(&topology.client, vip(service), "/", Duration::from_secs(3));
        (0..40).filter(|_| get().is_ok()).count()
    };
    for service in SERVED {
        agent.wait_for_available(&format!("s{service}"), BACKENDS);
    }
    report("all backends reachable", started, &mut agent);
    for service in SERVED {
        assert_eq!(answers(service), 40, "service s{service}");
    }

    // One backend of a thousand pools changes: everything else stays as it is.
    for (_, pool) in &mut config.pools {
        pool.backends[0].weight = 50;
    }
    let started = Instant::now();
    agent.reload(&config);
    report("reload that changes all 1 000 rings", started, &mut agent);
    assert_eq!(agent.backend("s499", "b0")["weight"]["effective"], 50);
    for service in SERVED {
        assert_eq!(answers(service), 40, "service s{service}");
    }

    config.services.truncate(1);
    config.pools.truncate(1);
    let started = Instant::now();
    agent.reload(&config);
    report("removal of 999 services", started, &mut agent);
    assert_eq!(answers(0), 40);
    let gone = get_in(&topology.client, vip(499), "/", Duration::from_millis(300));
    assert!(gone.is_err(), "{gone:?}");
    drop(servers);
}

/// 100 VIPs with 10 ports each, reached through the client's default route.
fn vip(service: usize) -> SocketAddr {
    let host = u8::try_from(service / 10).unwrap() + 1;
    let port = u16::try_from(service % 10).unwrap() + 80;
    (Ipv4Addr::new(10, 3, 0, host), port).into()
}

/// Every service has ports of its own on the two hosts.
fn address(topology: &Topology, service: usize, backend: usize) -> SocketAddr {
    let port = 10_000 + service * BACKENDS / 2 + backend / 2;
    topology.backends[backend % 2].v4(u16::try_from(port).unwrap())
}

fn report(what: &str, started: Instant, agent: &mut Agent) {
    let taken = started.elapsed();
    let resident = agent.resident_kib() / 1024;
    eprintln!("{what}: {taken:.2?} (agent: {resident} MiB resident)");
}
