//! What flow replication costs: CPU time of its threads per new flow, on two agents with a cable between them.
//!
//! A client opens UDP flows at a rate that is asked for; the backends answer each. CPU time of a thread is what the scheduler
//! counted (`/proc/PID/task/TID/schedstat`), so what else the machine does takes time and not figures.

mod load;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use self::load::{Mirror, Openers};
use crate::{
    agent::Config,
    lan::LONG,
    net::Link,
    sync_pair::{Node, SyncPair},
    topology::VIP_V4,
    wait::eventually,
};

const PORT: u16 = 53;
const SERVER_PORT: u16 = 5353;
/// Clients, each with a flow of every port from [`FIRST_PORT`] on. No machine has these addresses: the answers come to the
/// client's machine nonetheless, because a flow remembers by which MAC it came, and cost it nothing there.
const CLIENTS: [Ipv4Addr; 4] = [
    Ipv4Addr::new(10, 1, 0, 20),
    Ipv4Addr::new(10, 1, 0, 21),
    Ipv4Addr::new(10, 1, 0, 22),
    Ipv4Addr::new(10, 1, 0, 23),
];
const FIRST_PORT: u16 = 5000;

/// CPU time that a node's replication took, by its threads.
struct Cost {
    tell: Duration,
    fetch: Duration,
}

/// Measures once and prints it: new flows at `rate` a second, or as many as the machine can.
///
/// # Panics
/// If the pair does not come up, or does not replicate.
pub fn run(rate: u32) {
    let mut pair = SyncPair::with(|_, config| add_service(config));
    let backends = pair.topology.backends.iter();
    let _servers: Vec<_> = backends
        .map(|host| Mirror::start(host, SERVER_PORT))
        .collect();
    let client = Link {
        namespace: pair.topology.client.clone(),
        name: "eth0".to_owned(),
    };
    let service = SocketAddr::new(VIP_V4.into(), PORT);
    let openers = Openers::new(
        &client,
        pair.first.link.mac(),
        &CLIENTS,
        FIRST_PORT,
        service,
    );
    let before = (cost(&mut pair.first), cost(&mut pair.second));
    let sent_before = pair.first.sync_count("sent");
    let (opened, refused) = openers.send(&client, rate);
    let waiting = pair.first.sync_count("waiting");
    eventually(LONG, "the other node has taken all", || {
        pair.first.sync_count("waiting") == 0
    });
    let after = (cost(&mut pair.first), cost(&mut pair.second));
    let status = pair.first.sync();
    let flows = pair.first.sync_count("sent") - sent_before;
    let inserted = pair.second.sync_count("inserted");
    println!(
        "{flows} flows told, opened in {opened:.2?} ({refused} not sent): {:.0} a second; {inserted} new at the other node",
        per_second(flows, opened)
    );
    println!(
        "told late: {}, walks because of that: {}, lag {} ms, {waiting} waiting when the last was opened",
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
fn per_second(flows: u64, time: Duration) -> f64 {
    flows as f64 / time.as_secs_f64()
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
