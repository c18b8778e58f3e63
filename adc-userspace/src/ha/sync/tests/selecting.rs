//! Which flows a walk tells.

use super::{
    super::selection::{Choice, Purpose, choose},
    *,
};

const WALK: u32 = 5;

fn key(port: u16) -> FlowKey<Addr4> {
    FlowKey::new(tuple(CLIENT, port, VIP, 80), Protocol::TCP)
}

fn entry(last_seen: Tick) -> FlowEntry<Addr4> {
    FlowEntry {
        last_seen,
        backend: BACKEND,
        phase: Phase::ESTABLISHED,
        ..FlowEntry::default()
    }
}

/// Seconds of [`NOW`] and after at which walks tell a flow that was seen at `seen(second)`.
fn told(port: u16, directory: &Directory, seen: impl Fn(u32) -> u32) -> Vec<u32> {
    let at = |second: u32| Tick::from_secs(10_000 + second);
    let seconds = (0..600).step_by(WALK as usize);
    let told = seconds.filter(|second| {
        let (before, now) = (at(*second - (*second).min(WALK)), at(*second));
        let entry = entry(at(seen(*second)));
        let choice = choose(Purpose::Refresh(before), &key(port), &entry, directory, now);
        choice == Choice::Tell
    });
    told.collect()
}

#[test]
fn a_flow_in_use_is_told_once_in_each_third_of_its_timeout() {
    let directory = directory(true);
    for port in 1..200 {
        let told = told(port, &directory, |second| second);
        assert!((5..=7).contains(&told.len()), "{told:?} of 600 s");
        let gaps = told.windows(2).map(|pair| pair[1] - pair[0]);
        for gap in gaps {
            assert!((95..=105).contains(&gap), "{told:?}");
        }
    }
}

#[test]
fn a_flow_that_rests_is_told_once_after_its_last_packet() {
    let directory = directory(true);
    for port in 1..200 {
        let told = told(port, &directory, |_| 0);
        assert!((1..=2).contains(&told.len()), "{told:?}");
        assert!(told[0] <= 105, "{told:?}: before the other node forgets it");
    }
}

#[test]
fn moments_of_flows_are_spread() {
    let directory = directory(true);
    let mut per_walk = [0_u32; 20];
    for port in 1..2001 {
        let first = told(port, &directory, |second| second)[0];
        per_walk[(first / WALK) as usize % 20] += 1;
    }
    assert!(
        per_walk.iter().all(|count| (50..200).contains(count)),
        "{per_walk:?}"
    );
}

#[test]
fn a_node_tells_of_what_it_answers_for_and_only_at_the_forward_entry() {
    let choice = |entry: &FlowEntry<Addr4>, carried| {
        choose(
            Purpose::Everything,
            &key(1),
            entry,
            &directory(carried),
            NOW,
        )
    };
    let fresh = entry(NOW);
    assert_eq!(choice(&fresh, true), Choice::Tell);
    assert_eq!(choice(&fresh, false), Choice::Leave);
    let reply = FlowEntry {
        flags: FlowFlags::REPLY,
        ..fresh
    };
    assert_eq!(choice(&reply, true), Choice::Leave);
    let unknown = FlowEntry {
        backend: BackendId(8),
        ..fresh
    };
    assert_eq!(choice(&unknown, true), Choice::Leave);
}

#[test]
fn the_other_direction_decides_where_this_one_has_been_silent_for_long() {
    let directory = directory(true);
    let silent = entry(Tick::from_secs(10_000 - 200));
    let choice = choose(Purpose::Everything, &key(1), &silent, &directory, NOW);
    assert_eq!(choice, Choice::IfOtherSince(Tick(NOW.0 - TIMEOUT.0)));
    let since = Tick::from_secs(9_990);
    let choice = choose(Purpose::Since(since), &key(1), &silent, &directory, NOW);
    assert_eq!(choice, Choice::IfOtherSince(since));
    let choice = choose(Purpose::Since(since), &key(1), &entry(NOW), &directory, NOW);
    assert_eq!(choice, Choice::Tell);
}
