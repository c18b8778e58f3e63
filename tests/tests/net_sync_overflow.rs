//! More flows than the ring of news holds are told all the same.

use std::{
    net::{Ipv6Addr, SocketAddr, SocketAddrV6},
    time::{Duration, Instant},
};

use adc_common::abi::{Addr6, FLOW_NEWS_BYTES, FlowNews};
use adc_tests::{
    agent::Config,
    announce,
    lan::LONG,
    require,
    sync_pair::{SyncPair, TALK},
    topology::{CLIENT_V6, VIP_V6},
    wait::{eventually, soon},
};
use etherparse::{IpNumber, Ipv6Header, UdpHeader};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use socket2::{Domain, Protocol, Socket, Type};

/// For so long the telling agent is stopped: the other node gives the connection up after 3 s, and would fetch everything.
const STOPPED: Duration = Duration::from_millis(2_200);
/// Stops of that length in which the ring must overflow.
const TRIES: u16 = 12;
const FIRST_PORT: u16 = 5_000;
/// What the ring holds of IPv6 flows, each with 8 bytes of its own.
const FITS: u64 = FLOW_NEWS_BYTES as u64 / (size_of::<FlowNews<Addr6>>() as u64 + 8);

/// An agent that does not run, until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn new(process: u32) -> Self {
        let pid = Pid::from_raw(process.cast_signed());
        kill(pid, Signal::SIGSTOP).expect("the agent stops");
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        kill(self.0, Signal::SIGCONT).ok();
    }
}

/// Room for all of them, and no packet is looked at twice.
fn roomy(_number: usize, config: &mut Config) {
    config.self_check = 0;
    config.extra += "\n[dataplane.limits]\nflows_v6 = 600000\n";
}

fn another_client(number: u16) -> Ipv6Addr {
    let mut segments = CLIENT_V6.segments();
    segments[7] = 0x2000 + number;
    segments.into()
}

/// Sends a datagram from one port after the other, until then.
fn open_flows(pair: &SyncPair, from: Ipv6Addr, until: Instant) {
    let to = TALK[1];
    let sending = pair.topology.client.enter(|| {
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::UDP)).expect("a socket");
        let from = SocketAddrV6::new(from, 0, 0, 0).into();
        socket.bind(&from).expect("the client's address");
        socket
    });
    let mut ip = Ipv6Header {
        source: from.octets(),
        destination: VIP_V6.octets(),
        next_header: IpNumber::UDP,
        ..Ipv6Header::default()
    };
    ip.payload_length = 12;
    let peer = SocketAddr::new(to.ip(), 0).into();
    for port in (FIRST_PORT..=u16::MAX).take_while(|_| Instant::now() < until) {
        let payload = *b"flow";
        let header = UdpHeader::with_ipv6_checksum(port, to.port(), &ip, &payload);
        let mut datagram = header.expect("a short datagram").to_bytes().to_vec();
        datagram.extend_from_slice(&payload);
        // A full queue drops it: there are others.
        drop(sending.send_to(&datagram, &peer));
    }
}

#[test]
fn news_that_the_ring_does_not_hold_is_told_by_a_walk() {
    require!(namespaces, agent);
    let mut pair = SyncPair::with(roomy);
    let process = pair.first.agent.process().pid();
    let mut tries = 0..TRIES;
    eventually(LONG * 3, "the ring overflows", || {
        let number = tries.next().expect("the ring overflows in a few tries");
        let walks = pair.first.sync_count("resyncs");
        let pulls = pair.second.sync_count("pulls");
        let from = another_client(number);
        let address = format!("{from}/64");
        let client = &pair.topology.client;
        client.ip(&["address", "add", &address, "dev", "eth0", "nodad"]);
        let until = Instant::now() + STOPPED;
        let stopped = Stopped::new(process);
        open_flows(&pair, from, until);
        drop(stopped);
        // It looks once a second whether something was lost.
        let overflowed = soon(Duration::from_secs(3), || {
            pair.first.sync_count("resyncs") > walks
        });
        let flows = pair.first.established();
        pair.second.wait_for_flows(flows);
        // If the other node gave the connection up meanwhile, and fetched everything, nothing was shown.
        overflowed && pair.second.sync_count("pulls") == pulls
    });
    assert!(pair.first.sync_count("untold") > 0);
    let metrics = pair.first.agent.metrics();
    assert!(metrics.sum("adc_sync_untold_total", &[]) > 0);
    assert!(metrics.sum("adc_sync_resyncs_total", &[]) > 0);

    let flows = pair.first.established();
    let untold = pair.first.sync_count("untold");
    announce(format_args!(
        "{flows} flows, {untold} of them not in the ring, which holds {FITS}, in try {}",
        tries.start
    ));
    assert!(flows > FITS, "{flows} flows fit into the ring");
}
