//! What is news and what is not.

use std::time::Duration;

use super::{super::packet::SyncState, *};

const OWN: NodeId = NodeId(1);
const PEER: NodeId = NodeId(2);

fn heartbeat(boot: u64, seq: u64, path: u8) -> Heartbeat {
    Heartbeat {
        node: PEER,
        boot: Boot(boot),
        seq,
        path,
        heard: 0,
        echo: Echo::default(),
        interval: Duration::from_millis(20),
        multiplier: 5,
        data_plane_ok: true,
        agent_ok: true,
        config_hash: 0,
        sync: SyncState::Off,
        groups: Vec::new(),
    }
}

#[test]
fn each_heartbeat_counts_once_on_each_path() {
    let mut admission = Admission::new(OWN, PEER, 2);
    assert_eq!(admission.admit(0, &heartbeat(5, 1, 0)), Ok(()));
    assert_eq!(admission.admit(1, &heartbeat(5, 1, 1)), Ok(()));
    assert_eq!(
        admission.admit(0, &heartbeat(5, 1, 0)),
        Err(Refusal::Replayed)
    );
    assert_eq!(admission.admit(0, &heartbeat(5, 3, 0)), Ok(()));
    // Overtaken by the one before.
    assert_eq!(
        admission.admit(0, &heartbeat(5, 2, 0)),
        Err(Refusal::Replayed)
    );
    let echo = Echo {
        boot: Boot(5),
        seq: 3,
    };
    assert_eq!(admission.echo(), echo);
}

#[test]
fn what_was_recorded_in_an_earlier_life_is_stale_and_a_later_life_starts_anew() {
    let mut admission = Admission::new(OWN, PEER, 1);
    assert_eq!(admission.admit(0, &heartbeat(5, 900, 0)), Ok(()));
    assert_eq!(admission.admit(0, &heartbeat(6, 1, 0)), Ok(()));
    assert_eq!(
        admission.admit(0, &heartbeat(5, 901, 0)),
        Err(Refusal::StaleBoot)
    );
    assert_eq!(
        admission.admit(0, &heartbeat(6, 1, 0)),
        Err(Refusal::Replayed)
    );
}

#[test]
fn the_wrong_sender_and_the_wrong_path_are_refused_and_leave_no_trace() {
    let mut admission = Admission::new(OWN, PEER, 2);
    let from = |node| Heartbeat {
        node,
        ..heartbeat(9, 9, 0)
    };
    assert_eq!(admission.admit(0, &from(OWN)), Err(Refusal::OwnNode));
    let stranger = admission.admit(0, &from(NodeId(3)));
    assert_eq!(stranger, Err(Refusal::UnknownNode));
    let crossed = admission.admit(1, &heartbeat(9, 9, 0));
    assert_eq!(crossed, Err(Refusal::OtherPath));
    let beyond = admission.admit(7, &heartbeat(9, 9, 7));
    assert_eq!(beyond, Err(Refusal::OtherPath));
    assert_eq!(admission.echo(), Echo::default());
    assert_eq!(admission.admit(0, &heartbeat(1, 1, 0)), Ok(()));
}

#[test]
fn a_life_has_a_higher_number_than_the_last_whatever_the_clock_says() {
    assert_eq!(next_boot(1_000, Boot(0)), Boot(1_000));
    assert_eq!(next_boot(1_000, Boot(5_000)), Boot(5_001));
    assert_eq!(next_boot(0, Boot(0)), Boot(1));
    assert_eq!(next_boot(0, Boot(u64::MAX)), Boot(u64::MAX));
}
