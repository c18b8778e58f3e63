//! Distributions as they were seen, and what is said of them.

use super::*;

fn gaps(profile: Profile, outliers: &[u64]) -> Vec<Duration> {
    let interval = profile.timing().interval;
    // A microsecond of jitter here and there.
    let usual = (0..10_000).map(|n| interval + Duration::from_micros(n % 7));
    let mut gaps: Vec<Duration> = usual.collect();
    gaps.extend(outliers.iter().map(|us| Duration::from_micros(*us)));
    gaps
}

#[test]
fn an_even_sender_is_fit_for_every_profile() {
    for profile in Profile::ALL {
        let report = judge(profile, gaps(profile, &[]));
        assert_eq!(report.refused, None, "{report:?}");
        assert_eq!(report.trips, 0);
        assert!(report.trips_per_day < 1e-9, "{report:?}");
    }
}

#[test]
fn a_stall_as_long_as_the_peer_waits_is_a_trip() {
    let report = judge(Profile::Ultra, gaps(Profile::Ultra, &[8_000, 28_000]));
    assert_eq!(report.trips, 2);
    // 2 of 10 002, 43 200 000 a day.
    assert!(
        (8_600.0..8_700.0).contains(&report.trips_per_day),
        "{report:?}"
    );
    let refused = report.refused.unwrap();
    assert!(
        refused.contains("28000 µs") && refused.contains("2 times"),
        "{refused}"
    );
}

#[test]
fn a_stall_that_leaves_no_room_for_the_network_is_refused_too() {
    let report = judge(Profile::Ultra, gaps(Profile::Ultra, &[4_100]));
    assert_eq!(report.trips, 0);
    assert!(report.refused.unwrap().contains("half"));
}

#[test]
fn a_long_tail_is_extrapolated() {
    // Ever rarer, ever longer: 2.1, 2.2, ... 3.9 ms.
    let tail: Vec<u64> = (1..20)
        .flat_map(|n| vec![2_000 + n * 100; usize::try_from(200 / n).unwrap()])
        .collect();
    let report = judge(Profile::Ultra, gaps(Profile::Ultra, &tail));
    assert_eq!(report.trips, 0);
    assert!(report.trips_per_day > 1.0, "{report:?}");
    assert!(report.refused.unwrap().contains("a day"));
    // The same stalls are nothing to a peer that waits for 100 ms.
    let fast: Vec<u64> = tail.iter().map(|us| us + 18_000).collect();
    assert_eq!(
        judge(Profile::Fast, gaps(Profile::Fast, &fast)).refused,
        None
    );
}

#[test]
fn the_distribution_is_read_off_the_sorted_gaps() {
    let hundred = (1..=100).map(Duration::from_micros).collect();
    let report = judge(Profile::Standard, hundred);
    let points: Vec<(f64, u64)> = report
        .distribution
        .iter()
        .map(|point| (point.percent, point.gap_us))
        .collect();
    assert_eq!(points[0], (50.0, 50));
    assert_eq!(points[1], (99.0, 99));
    assert_eq!(points[4], (100.0, 100));
    assert_eq!(judge(Profile::Standard, Vec::new()).gaps, 0);
}

#[test]
fn a_run_measures_as_many_gaps_as_there_was_time_for() {
    let report = test(Profile::Fast, 1).unwrap();
    // How even they are is the machine's business, not the test's.
    assert!((1..=51).contains(&report.gaps), "{report:?}");
}
