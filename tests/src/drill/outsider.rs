//! Somebody on the switch who should not be there.

use std::{
    net::{Ipv4Addr, UdpSocket},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use adc_userspace::ha::{
    Role,
    heartbeat::{key::Key, packet::Heartbeat},
};
use etherparse::{SlicedPacket, TransportSlice};

use super::instruments::Recorder;
use crate::{
    keepalived::{Keepalived, Router},
    net::Link,
    until_dropped::UntilDropped,
    wait::eventually,
};

/// The VIP of a router that has nothing to do with ours.
const OTHER_VIP: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 77);
/// Priorities of routers below and above both nodes.
pub(super) const LOW: u8 = 50;
pub(super) const HIGH: u8 = 254;
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Between two packets of those that repeat themselves.
const INTERVAL: Duration = Duration::from_millis(2);
/// Packets that are recorded.
const RECORDED: usize = 3;

/// What it does, until it is dropped.
pub(super) enum Outsider {
    /// It is a router of its own.
    Router { _keepalived: Keepalived },
    /// It sends the same again and again.
    Repeater { _thread: UntilDropped },
}

impl Outsider {
    /// Another router with our VRID; it has found out which it is of active and backup.
    pub(super) fn router(link: &Link, vrid: u8, priority: u8, directory: &Path) -> Self {
        let mut router = Router::new(vrid, &[OTHER_VIP.into()]);
        router.priority = priority;
        // It starts as backup, and may become more.
        let state = ["BACKUP", "MASTER"][usize::from(priority > LOW)];
        let settled = format!("Entering {state} STATE");
        // What an earlier one left, which was killed.
        for file in ["keepalived.log", "keepalived.pid", "keepalived-vrrp.pid"] {
            std::fs::remove_file(directory.join(file)).ok();
        }
        let keepalived = Keepalived::start(link, &router, directory);
        eventually(START_TIMEOUT, "the stranger has settled", || {
            keepalived.log().contains(&settled)
        });
        Self::Router {
            _keepalived: keepalived,
        }
    }

    /// Sends the frames in turn.
    pub(super) fn repeat(link: &Link, frames: Vec<Vec<u8>>) -> Self {
        let sender = Recorder::open(link);
        Self::repeating(move |number| {
            let frame = &frames[number % frames.len()];
            sender.send(frame).ok();
        })
    }

    /// Sends datagrams to the heartbeat's port.
    pub(super) fn forge(link: &Link, to: Ipv4Addr, datagram: Vec<u8>) -> Self {
        let socket = link.namespace.enter(|| UdpSocket::bind("0.0.0.0:0"));
        let socket = socket.unwrap_or_else(|error| panic!("cannot bind a UDP socket: {error}"));
        Self::repeating(move |_number| {
            socket.send_to(&datagram, (to, HEARTBEAT_PORT)).ok();
        })
    }

    fn repeating(send: impl Fn(usize) + Send + 'static) -> Self {
        let (mut due, mut number) = (Instant::now(), 0);
        let thread = UntilDropped::start(move || {
            send(number);
            number += 1;
            due += INTERVAL;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        });
        Self::Repeater { _thread: thread }
    }
}

/// The default of `[ha.heartbeat] port`.
pub(super) const HEARTBEAT_PORT: u16 = 9553;

/// Some of the frames by which a node says that it lives.
pub(super) fn record(port: &Link) -> Vec<Vec<u8>> {
    Recorder::open(port).record(RECORDED)
}

/// What the node with these frames would say if it were active and had another key.
///
/// # Panics
/// If none of the frames is a heartbeat.
#[track_caller]
pub(super) fn forged(frames: &[Vec<u8>], key: &Key) -> Vec<u8> {
    let heartbeat = frames.iter().find_map(|frame| {
        let packet = SlicedPacket::from_ethernet(frame).ok()?;
        let Some(TransportSlice::Udp(udp)) = packet.transport else {
            return None;
        };
        Heartbeat::decode(udp.payload(), key).ok()
    });
    let mut heartbeat = heartbeat.unwrap_or_else(|| panic!("no heartbeat was recorded"));
    heartbeat.seq += 1_000_000;
    for claim in &mut heartbeat.groups {
        claim.role = Role::Active;
        claim.priority = 255;
        claim.term += 1_000;
    }
    heartbeat.encode(&Key::new(&[43; 32]))
}
