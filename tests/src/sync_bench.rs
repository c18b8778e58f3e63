//! What flow replication costs: CPU time of its threads per new flow, on two agents with a cable between them.
//!
//! A client opens UDP flows as fast as it can; the backends answer each. CPU time of a thread is what the scheduler
//! counted (`/proc/PID/task/TID/schedstat`), so what else the machine does takes time and not figures.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    agent::Config,
    lan::LONG,
    net::Namespace,
    serve::UdpEcho,
    sync_pair::{Node, SyncPair},
    topology::VIP_V4,
    wait::eventually,
};

const PORT: u16 = 53;
const SERVER_PORT: u16 = 5353;
/// Clients, each with a flow of every port from [`FIRST_PORT`] on.
const CLIENTS: u8 = 4;
const FIRST_PORT: u16 = 5000;

/// CPU time that a node's replication took, by its threads.
struct Cost {
    tell: Duration,
    fetch: Duration,
}

/// Measures once and prints it.
///
/// # Panics
/// If the pair does not come up, or does not replicate.
pub fn run() {
    let mut pair = SyncPair::with(|_, config| add_service(config));
    let backends = pair.topology.backends.iter();
    let _servers: Vec<_> = backends
        .map(|host| UdpEcho::start(host, SERVER_PORT))
        .collect();
    for n in 0..CLIENTS {
        let address = format!("{}/24", client(n));
        pair.topology
            .client
            .ip(&["address", "add", &address, "dev", "eth0"]);
    }
    let before = (cost(&mut pair.first), cost(&mut pair.second));
    let sent_before = pair.first.sync_count("sent");
    let began = Instant::now();
    for n in 0..CLIENTS {
        open(&pair.topology.client, client(n));
    }
    let opened = began.elapsed();
    eventually(LONG, "the other node has taken all", || {
        pair.first.sync_count("waiting") == 0
    });
    let after = (cost(&mut pair.first), cost(&mut pair.second));
    let status = pair.first.sync();
    let flows = pair.first.sync_count("sent") - sent_before;
    let inserted = pair.second.sync_count("inserted");
    println!("{flows} flows told in {opened:.1?}, {inserted} new at the other node");
    println!(
        "told late: {}, walks because of that: {}, lag {} ms",
        status["untold"], status["resyncs"], status["lag_ms"]
    );
    report(
        "active node, telling",
        after.0.tell.saturating_sub(before.0.tell),
        flows,
    );
    report(
        "other node, fetching",
        after.1.fetch.saturating_sub(before.1.fetch),
        flows,
    );
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^52 flows")]
fn report(what: &str, took: Duration, flows: u64) {
    let each = took.as_secs_f64() / flows.max(1) as f64;
    println!(
        "{what}: {:.0} ns of CPU per flow, {:.1} % of a core at 100 000 a second",
        each * 1e9,
        each * 1e5 * 100.0
    );
}

fn add_service(config: &mut Config) {
    config.self_check = 0;
    let (_, mut pool) = config.pools[0].clone();
    for backend in &mut pool.backends {
        backend.address.set_port(SERVER_PORT);
    }
    config.pools.push(("dns".to_owned(), pool));
    let vip = SocketAddr::new(VIP_V4.into(), PORT);
    *config = config.clone().service("dns", vip, "udp", "dns");
}

fn client(number: u8) -> IpAddr {
    [10, 1, 0, 20 + number].into()
}

/// One datagram of every port.
fn open(namespace: &Namespace, from: IpAddr) {
    namespace.enter(|| {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).expect("a socket");
        socket
            .bind(&SocketAddr::new(from, 0).into())
            .expect("the client's address");
        let to = SocketAddr::new(VIP_V4.into(), 0).into();
        for port in FIRST_PORT..=u16::MAX {
            let [a, b] = port.to_be_bytes();
            let [c, d] = PORT.to_be_bytes();
            // Without a checksum, as IPv4 allows (RFC 768).
            let datagram = [a, b, c, d, 0, 12, 0, 0, b'f', b'l', b'o', b'w'];
            // A full queue drops it: there are others.
            drop(socket.send_to(&datagram, &to));
        }
    });
}

fn cost(node: &mut Node) -> Cost {
    let process = node.agent.process().pid();
    let of = |thread: &str| -> Duration {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("the agent's threads");
        let tasks = tasks.filter_map(|task| {
            let path = task.ok()?.path();
            let name = fs::read_to_string(path.join("comm")).ok()?;
            (name.trim() == thread).then_some(path)
        });
        let nanos = tasks.filter_map(|path| {
            let stat = fs::read_to_string(path.join("schedstat")).ok()?;
            stat.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    };
    Cost {
        tell: of("adc-sync-tell"),
        fetch: of("adc-sync-fetch"),
    }
}
