//! One fault, once.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    bed::{Bed, ECHO, STREAM},
    injection::Prepared,
    instruments::{Bulk, Connections, Sign, Stamp, Stream, StreamReport, Tap, longest_overlap},
    plan::{Expected, Fault},
};
use crate::{
    serve,
    topology::VIP_V4,
    wait::{eventually, is_cancelled},
};

/// Replies that must have come before a fault, and from the other node after one.
const STEADY: usize = 200;
/// Longer than any takeover.
const LATEST: Duration = Duration::from_secs(10);
/// To open connections and to start a stream.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// What one trial showed.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    /// From the fault to the first reply that the other node sent to the client.
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

/// Lets `fault` happen to the pair, and mends it.
pub(super) fn run(bed: &mut Bed, fault: Fault, connections: usize) -> Observed {
    let (active, backup) = bed.recover();
    let mut other = backup;
    if fault == Fault::Rejoin {
        // The one that serves is the one that took over.
        other = active;
        bed.nodes[active].crash();
        eventually(LATEST, "the other node took over", || {
            bed.nodes[backup].is_active()
        });
    }
    let hosts = &bed.topology.backends;
    let _echo: Vec<_> = hosts
        .iter()
        .map(|host| serve::echo(host, ECHO.port()))
        .collect();
    let client = &bed.topology.client;
    let mut held = Connections::open(client, ECHO, connections);
    let directory = bed.topology.directory();
    let bulk = Bulk::start(client, &VIP_V4.to_string(), &hosts[0], directory);
    bed.runs += 1;
    let stream = Stream::start(client, STREAM, hosts, STREAM.port(), bed.runs);
    eventually(START_TIMEOUT, "the stream flows", || {
        stream.returned() >= STEADY
    });
    let prepared = Prepared::new(bed, fault, active);
    for tap in &bed.taps {
        tap.forget();
    }

    let began = prepared.inject(bed);
    watch(bed, fault, &bed.taps[other], began, &stream);
    let patience = bed.profile.detection() * 2 + Duration::from_secs(3);
    let survived = held.survivors(patience);
    let bulk = bulk.goes_on(patience);
    let stream = stream.finish();
    let takeover = first(&bed.taps[other], Sign::Replied).map(|first| first.since(began));
    let signs = bed.taps.each_ref().map(signs);
    prepared.mend(bed);
    Observed {
        takeover,
        stream,
        survived,
        bulk,
        both_active: longest_overlap(&signs[0], &signs[1]),
    }
}

/// Until the other node serves, or for long enough to know that it does not.
fn watch(bed: &Bed, fault: Fault, other: &Tap, began: Stamp, stream: &Stream) {
    let started = Instant::now();
    let (before, returned) = (stream.sent(), stream.returned());
    // Milliseconds are packets.
    let quiet = usize::try_from(bed.profile.detection().as_millis()).unwrap_or(usize::MAX);
    let quiet = quiet.saturating_mul(3).max(1000);
    let done = || match fault.expected() {
        Expected::Failover => other.count(Sign::Replied, began) >= STEADY,
        Expected::None => stream.sent() - before >= quiet && stream.returned() > returned,
    };
    while !done() && started.elapsed() < LATEST + bed.profile.detection() && !is_cancelled() {
        thread::sleep(POLL_INTERVAL);
    }
}

fn first(tap: &Tap, sign: Sign) -> Option<Stamp> {
    let seen = tap.seen();
    let mut fitting = seen.iter().filter(|(_, what)| *what == sign);
    fitting.next().map(|(at, _)| *at)
}

fn signs(tap: &Tap) -> Vec<Stamp> {
    tap.seen().into_iter().map(|(at, _)| at).collect()
}
