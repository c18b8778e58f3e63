//! A lease that nobody renews: the data plane stops by itself, whatever agent and keeper do.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use adc_common::abi::ABI_VERSION;
use adc_tests::{
    direct_return::wake_port,
    drive::get_in,
    lan::{LONG, Lan},
    require,
    scene::WWW,
    topology::VIP_V4,
    wait::eventually,
};
use adc_userspace::dataplane::{LeaseState, LeaseTable};
use nix::sys::signal::Signal;

/// A lease that does not run out while the test looks elsewhere.
const AMPLE: Duration = Duration::from_mins(5);
/// One that does.
const SHORT: Duration = Duration::from_secs(1);
/// How long a client waits where no answer is to be expected.
const BRIEF: Duration = Duration::from_millis(500);

fn is_served(lan: &Lan) -> bool {
    get_in(&lan.topology.client, WWW, "/", BRIEF).is_ok()
}

#[test]
fn a_stopped_node_serves_until_its_lease_runs_out_and_again_when_it_is_granted_anew() {
    require!(namespaces, agent);
    let mut lan = Lan::new(&[VIP_V4.into()], "");
    eventually(LONG, "the node has the VIP", || {
        lan.adc.addresses().contains(&VIP_V4.into())
    });
    let _port = wake_port(&lan.topology.switch_port, lan.topology.directory());
    let directory = lan.config.pin_path().join(format!("v{ABI_VERSION}"));
    let mut leases = LeaseTable::open(&directory).expect("the pinned map");
    let name = "front".parse().expect("a name");
    let slot = leases.find(&name).expect("LEASES").expect("a slot");
    assert!(matches!(leases.read(slot), Ok(LeaseState::Held(_))));
    eventually(LONG, "the client is served", || is_served(&lan));
    let mut held = lan
        .topology
        .client
        .enter(|| TcpStream::connect(WWW))
        .expect("a connection");
    held.write_all(b"GET / HTTP/1.1\r\nHost: www\r\n")
        .expect("half a request");

    lan.agent.process().signal(Signal::SIGSTOP);
    lan.agent.signal_keeper(Signal::SIGSTOP);
    leases.grant(slot, Instant::now() + AMPLE).expect("LEASES");
    assert!(matches!(leases.read(slot), Ok(LeaseState::Held(_))));
    eventually(LONG, "the client is served on a lease", || is_served(&lan));
    leases.grant(slot, Instant::now() + SHORT).expect("LEASES");
    eventually(LONG, "the lease runs out", || {
        leases
            .read(slot)
            .is_ok_and(|state| state == LeaseState::Lapsed)
    });
    assert!(!is_served(&lan), "served without a lease");

    held.write_all(b"Connection: close\r\n\r\n")
        .expect("the other half");
    held.set_read_timeout(Some(BRIEF)).expect("a timeout");
    let mut answer = [0; 12];
    let silence = held
        .read(&mut answer)
        .expect_err("an answer without a lease");
    assert!(matches!(
        silence.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut
    ));

    // The kernel still has the address, and is not asked.
    assert!(lan.adc.addresses().contains(&VIP_V4.into()));
    let vip = VIP_V4.to_string();
    lan.router.namespace.ip(&["neigh", "flush", "all"]);
    let unreached = get_in(&lan.router.namespace, WWW, "/", LONG);
    assert!(
        unreached.is_err(),
        "the router reached the VIP: {unreached:?}"
    );
    let entry = lan.router.namespace.ip(&["neigh", "show", "to", &vip]);
    assert!(!entry.contains("lladdr"), "somebody answered ARP: {entry}");

    leases.grant(slot, Instant::now() + AMPLE).expect("LEASES");
    held.set_read_timeout(Some(LONG)).expect("a timeout");
    held.read_exact(&mut answer)
        .expect("the answer, on a lease");
    assert_eq!(&answer, b"HTTP/1.1 200");
    eventually(LONG, "new clients are served again", || is_served(&lan));
    lan.agent.signal_keeper(Signal::SIGCONT);
    lan.agent.process().signal(Signal::SIGCONT);
    eventually(LONG, "the agent runs again", || lan.agent.is_ready());
    let lapsed = [("reason", "lease_lapsed")];
    let counted = lan.agent.metrics().total("adc_packets_total", &lapsed);
    assert!(counted > 0.0, "drops without a lease are not counted");
}
