//! One fault, once.

use std::time::Duration;

use super::{
    bed::{Bed, ECHO, STREAM},
    injection::Prepared,
    instruments::{Bulk, Connections, Sign, Stream, StreamReport, Tap, longest_overlap},
    plan::{Expected, Fault},
};
use crate::{
    drive::Stamp,
    serve::{self, TcpServer},
    topology::VIP_V4,
    wait::{eventually, soon},
};

/// Replies that must have come before a fault, and from the other node after one.
const STEADY: usize = 200;
/// Of a backend that gets new flows.
const WEIGHT: u16 = 100;
/// Longer than any takeover.
const LATEST: Duration = Duration::from_secs(10);
/// To open connections and to start a stream.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// What one trial showed.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    /// From the fault to the first reply that another node sent to the client.
    pub(super) takeover: Option<Duration>,
    pub(super) stream: StreamReport,
    /// Connections that echoed after the fault.
    pub(super) survived: usize,
    /// iperf3 went on.
    pub(super) bulk: bool,
    /// The longest time in which both nodes were active.
    pub(super) both_active: Duration,
}

impl Observed {
    /// Packets of the stream that did not come back.
    pub(super) fn lost(&self) -> usize {
        self.stream.lost_forward + self.stream.lost_reply
    }
}

/// Clients that were there before the fault.
struct Load {
    held: Connections,
    bulk: Bulk,
    _echo: Vec<TcpServer>,
}

impl Load {
    fn start(bed: &Bed, connections: usize) -> Self {
        let hosts = &bed.topology.backends;
        let echo = hosts.iter().map(|host| serve::echo(host, ECHO.port()));
        let echo = echo.collect();
        let client = &bed.topology.client;
        let directory = bed.topology.directory();
        Self {
            held: Connections::open(client, ECHO, connections),
            bulk: Bulk::start(client, &VIP_V4.to_string(), &hosts[0], directory),
            _echo: echo,
        }
    }
}

/// Lets `fault` happen to the pair, and mends it.
pub(super) fn run(bed: &mut Bed, fault: Fault, connections: usize) -> Observed {
    let promise = fault.promise(bed.profile);
    let (active, backup) = bed.recover();
    bed.weigh_first_echo_backend(WEIGHT);
    bed.forget_neighbours();
    let others = begin(bed, fault, active, backup);
    let wants_load = promise.keeps_connections;
    let mut load = wants_load.then(|| Load::start(bed, connections));
    if wants_load {
        bed.weigh_first_echo_backend(0);
    }
    bed.runs += 1;
    let (client, hosts) = (&bed.topology.client, &bed.topology.backends);
    let stream = Stream::start(client, STREAM, hosts, STREAM.port(), bed.runs);
    if fault != Fault::ColdStart {
        let flows = || stream.returned() >= STEADY;
        eventually(START_TIMEOUT, "the stream flows", flows);
    }
    if bed.sync && wants_load {
        bed.wait_for_flows(backup, connections);
    }
    let mut prepared = Prepared::new(bed, fault, active);
    let server = 1 - others[0];
    if fault != Fault::ColdStart {
        // A fault that happens to the wrong node measures nothing.
        assert!(
            serves(bed, server),
            "the role moved by itself before the fault"
        );
    }
    for tap in &bed.taps {
        tap.forget();
    }

    let began = prepared.inject(bed);
    let others: Vec<&Tap> = others.into_iter().map(|node| &bed.taps[node]).collect();
    watch(bed, promise.expected, &others, began, &stream);
    if prepared.go_on(bed) {
        watch(bed, promise.expected, &others, began, &stream);
    }
    // First: asking a thousand connections at once is more than a virtual interface has room for, and the stream does not ask again.
    let stream = stream.finish();
    let patience = bed.profile.detection() * 2 + Duration::from_secs(2);
    let survived = load.as_mut().map(|load| load.held.survivors(patience));
    let bulk = load
        .as_ref()
        .is_some_and(|load| load.bulk.goes_on(patience));
    let replies = others.iter().filter_map(|tap| first_reply(tap)).min();
    let takeover = replies.map(|first| first.since(began));
    prepared.mend(bed);
    // The way back included: a node that wakes up or comes back must not be a second one either.
    let signs = bed.taps.each_ref().map(signs);
    Observed {
        takeover,
        stream,
        survived: survived.unwrap_or_default(),
        bulk,
        both_active: longest_overlap(&signs[0], &signs[1]),
    }
}

/// What must have happened before the fault; returns the nodes that do not serve when it happens.
fn begin(bed: &mut Bed, fault: Fault, active: usize, backup: usize) -> Vec<usize> {
    if fault == Fault::Rejoin {
        bed.nodes[active].crash();
        let taken_over = || bed.nodes[backup].is_active();
        eventually(LATEST, "the other node took over", taken_over);
        // The one that serves is the one that took over.
        return vec![active];
    }
    if fault == Fault::ColdStart {
        for node in &mut bed.nodes {
            node.crash();
            node.forget();
        }
        return vec![active, backup];
    }
    vec![backup]
}

/// Until one of the others serves, or for long enough to know that none does.
fn watch(bed: &Bed, expected: Expected, others: &[&Tap], began: Stamp, stream: &Stream) {
    let (before, returned) = (stream.sent(), stream.returned());
    // Milliseconds are packets.
    let quiet = usize::try_from(bed.profile.detection().as_millis()).unwrap_or(usize::MAX);
    let quiet = quiet.saturating_mul(3).max(1000);
    let served = |tap: &&Tap| tap.count(Sign::Replied, began) >= STEADY;
    let done = || match expected {
        Expected::Failover | Expected::OneActive => others.iter().any(served),
        Expected::None => stream.sent() - before >= quiet && stream.returned() > returned,
        Expected::Open => stream.sent() - before >= quiet,
    };
    soon(LATEST + bed.profile.detection(), done);
}

/// Whether the last reply came from this node.
fn serves(bed: &Bed, node: usize) -> bool {
    let last = |tap: &Tap| {
        let seen = tap.seen();
        let replies = seen.iter().filter(|(_, what)| *what == Sign::Replied);
        replies.map(|(at, _)| *at).max()
    };
    last(&bed.taps[node]) > last(&bed.taps[1 - node])
}

fn first_reply(tap: &Tap) -> Option<Stamp> {
    let seen = tap.seen();
    let mut replies = seen.iter().filter(|(_, what)| *what == Sign::Replied);
    replies.next().map(|(at, _)| *at)
}

fn signs(tap: &Tap) -> Vec<Stamp> {
    tap.seen().into_iter().map(|(at, _)| at).collect()
}
