//! BFD sessions for tests.

use super::{
    super::proto::{BfdCounters, BfdSessionView, BfdView},
    noon,
};
use crate::bfd::{Verdict, packet::State};

pub(crate) fn view() -> BfdView {
    let up = BfdSessionView {
        name: "router1".into(),
        peer: "192.0.2.1".parse().unwrap(),
        interface: Some("eth0".into()),
        local: Some("192.0.2.2".parse().unwrap()),
        state: State::Up,
        verdict: Verdict::Up,
        diagnostic: "none".into(),
        why: "both hear each other".into(),
        since: noon(),
        passive: false,
        local_discriminator: 4_711,
        remote_discriminator: Some(815),
        remote_state: Some(State::Up),
        remote_diagnostic: Some("none".into()),
        interval_micros: 50_000,
        multiplier: 3,
        transmit_micros: Some(50_000),
        detection_micros: Some(150_000),
        trouble: None,
        counters: BfdCounters {
            sent: 90,
            not_sent: 1,
            received: 80,
            transitions: 2,
            refused: [("hop_limit".to_owned(), 3), ("version".to_owned(), 0)].into(),
        },
    };
    let down = BfdSessionView {
        name: "backend 10.0.0.1".into(),
        peer: "10.0.0.1".parse().unwrap(),
        interface: None,
        state: State::Down,
        verdict: Verdict::Down,
        why: "the peer was not heard yet".into(),
        remote_discriminator: None,
        remote_state: None,
        remote_diagnostic: None,
        detection_micros: None,
        ..up.clone()
    };
    BfdView {
        sessions: vec![down, up],
    }
}
