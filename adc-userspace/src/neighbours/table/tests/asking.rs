//! When the kernel is asked for a neighbour, and how long a MAC outlives its doubts.

use std::time::{Duration, Instant};

use super::{
    super::Ask, Fact, MAC, Nud, OTHER_MAC, key, mac, neighbour, obstacle, on_eth0, resolution,
};

#[test]
fn a_mac_outlives_one_failure_and_no_second() {
    let now = Instant::now();
    let mut table = on_eth0();
    table.apply(neighbour(key(2), Nud::Reachable, Some(MAC)));
    table.questions(now, 9);
    table.apply(neighbour(key(2), Nud::Failed, None));
    assert_eq!(mac(&mut table), Some(MAC), "held after the first failure");
    let asked = table.questions(now, 9);
    assert_eq!(asked.len(), 1, "asked again at once");
    assert_eq!(asked[0].ask, Ask::Resolve);
    table.apply(neighbour(key(2), Nud::Failed, None));
    assert!(
        obstacle(&mut table).contains("FAILED"),
        "given up after the second"
    );
}

#[test]
fn a_moved_mac_is_taken_over_without_a_gap() {
    let now = Instant::now();
    let mut table = on_eth0();
    table.apply(neighbour(key(2), Nud::Reachable, Some(MAC)));
    resolution(&mut table);
    table.apply(neighbour(key(2), Nud::Failed, None));
    table.questions(now, 9);
    assert!(
        table.take_changes().hops.is_empty(),
        "no event for a held MAC"
    );
    table.apply(neighbour(key(2), Nud::Reachable, Some(OTHER_MAC)));
    assert_eq!(mac(&mut table), Some(OTHER_MAC));
}

#[test]
fn an_entry_that_the_kernel_collects_is_held_and_asked_for() {
    let mut table = on_eth0();
    table.apply(neighbour(key(2), Nud::Reachable, Some(MAC)));
    table.apply(Fact::NeighbourGone(key(2)));
    assert_eq!(mac(&mut table), Some(MAC));
    assert_eq!(table.questions(Instant::now(), 9).len(), 1);
}

#[test]
fn an_operators_permanent_entry_goes_when_he_removes_it() {
    let mut table = on_eth0();
    table.apply(neighbour(key(2), Nud::Permanent, Some(MAC)));
    assert!(
        table.questions(Instant::now(), 9).is_empty(),
        "never asked for"
    );
    table.apply(Fact::NeighbourGone(key(2)));
    assert!(obstacle(&mut table).contains("no answer yet"));
}

#[test]
fn a_dead_neighbour_stays_one_event_however_often_it_is_asked_for() {
    let now = Instant::now();
    let mut table = on_eth0();
    table.apply(neighbour(key(2), Nud::Failed, None));
    assert!(obstacle(&mut table).contains("FAILED"));
    for round in 1..5 {
        assert_eq!(
            table
                .questions(now + Duration::from_secs(round * 5), 9)
                .len(),
            1
        );
        table.apply(neighbour(key(2), Nud::Incomplete, None));
        table.apply(neighbour(key(2), Nud::Failed, None));
        table.apply(Fact::NeighbourGone(key(2)));
        assert!(table.take_changes().hops.is_empty(), "round {round}");
    }
}

#[test]
fn stale_is_confirmed_and_nobody_is_asked_too_often() {
    let now = Instant::now();
    let second = Duration::from_secs(1);
    let mut table = on_eth0();
    assert_eq!(table.questions(now, 9)[0].ask, Ask::Resolve, "unknown");
    assert!(table.questions(now, 9).is_empty(), "just asked");
    table.apply(neighbour(key(2), Nud::Stale, Some(MAC)));
    assert!(
        table.questions(now, 9).is_empty(),
        "asked less than a second ago"
    );
    assert_eq!(
        table.questions(now + second, 9)[0].ask,
        Ask::Confirm,
        "stale"
    );
    table.apply(neighbour(key(2), Nud::Probe, Some(MAC)));
    assert!(
        table.questions(now + 2 * second, 9).is_empty(),
        "the kernel is at it"
    );
    table.apply(neighbour(key(2), Nud::Reachable, Some(MAC)));
    assert!(table.questions(now + 9 * second, 9).is_empty(), "confirmed");
    assert!(!table.has_attention());
    table.apply(neighbour(key(2), Nud::Failed, None));
    table.apply(neighbour(key(2), Nud::Failed, None));
    assert_eq!(
        table.questions(now + 10 * second, 0).len(),
        0,
        "the limit holds"
    );
    assert_eq!(table.questions(now + 10 * second, 9).len(), 1);
    assert!(
        table.questions(now + 14 * second, 9).is_empty(),
        "a failed one is left alone for 5 s"
    );
    assert_eq!(table.questions(now + 15 * second, 9).len(), 1);
}
