//! Random valid BFD sessions and monitors, for property tests.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use crate::model::{
    BfdCheck, BfdName, BfdSession, BfdTiming, Dataplane, Ha, InitialState, Monitor, MonitorKind,
    Track, Tracked,
};

/// Some configurations have sessions, which their groups track.
pub(super) fn sessions(dataplane: &Dataplane, ha: &mut Ha) -> BTreeMap<BfdName, BfdSession> {
    let number = dataplane.limits.services;
    let session = |index: u32| {
        let peer = if index == 0 {
            "192.0.2.250"
        } else {
            "fe80::250"
        };
        let session = BfdSession {
            peer: peer.parse().unwrap(),
            interface: (index > 0).then(|| "eth0".to_owned()),
            local: (index == 0).then(|| "192.0.2.251".parse().unwrap()),
            timing: BfdTiming {
                interval: Duration::from_millis(u64::from(10 + number % 9_990)),
                multiplier: u8::try_from(1 + number % 255).unwrap(),
            },
            passive: number.is_multiple_of(5),
        };
        (format!("router{index}").parse().unwrap(), session)
    };
    let sessions: BTreeMap<BfdName, _> = (0..number % 3).map(session).collect();
    for group in ha.groups.values_mut() {
        let track = |name: &BfdName| Track {
            what: Tracked::Bfd(name.clone()),
            weight: Some(-30),
        };
        group.track.extend(sessions.keys().map(track));
    }
    sessions
}

/// A monitor of type `bfd`.
pub(super) fn monitor() -> impl Strategy<Value = Monitor> {
    (10..=10_000u64, 1..=u8::MAX).prop_map(|(interval, multiplier)| Monitor {
        kind: MonitorKind::Bfd(BfdCheck { multiplier }),
        interval: Duration::from_millis(interval),
        timeout: Duration::from_millis(interval),
        rise: 1,
        fall: 1,
        jitter_percent: 0,
        initial: InitialState::Down,
        port: None,
        send_proxy: false,
    })
}
