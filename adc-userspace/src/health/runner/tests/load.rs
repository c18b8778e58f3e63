//! Many targets, few places.

use std::{collections::BTreeMap, time::Duration};

use tokio::sync::mpsc;

use crate::model::Health;

use super::{
    Checker, backend::Backend, checker, eventually, http, key, named, next, one, status, target,
    tcp,
};

#[tokio::test]
async fn five_hundred_backends_all_come_up() {
    let backend = Backend::start("127.0.0.1").await;
    let port = named("port", tcp());
    let targets: BTreeMap<_, _> = (0..500)
        .map(|index| {
            let key = key(&format!("p{index}"), backend.address());
            (key, target(&[&port]))
        })
        .collect();
    let (checker, mut events) = checker();
    checker.reconcile(targets.clone());
    let mut up = BTreeMap::new();
    while up.len() < targets.len() {
        let event = next(&mut events).await;
        assert_eq!(event.health, Health::Up);
        assert!(up.insert(event.key, event.at).is_none(), "told once");
    }
    let snapshot = checker.snapshot();
    assert!(
        snapshot
            .targets
            .values()
            .all(|status| status.health == Health::Up)
    );
    let totals = snapshot.monitors[&"port".parse().unwrap()];
    assert!(totals.passed >= 500, "{totals:?}");
    assert_eq!((totals.failed, totals.not_run), (0, 0));
    assert!(snapshot.load.started >= totals.passed);
}

#[tokio::test]
async fn no_more_probes_are_in_flight_than_allowed_and_the_wait_is_counted() {
    let backend = Backend::start("127.0.0.1").await;
    backend.set_status(0);
    let mut hopeless = http();
    hopeless.timeout = Duration::from_millis(20);
    let page = named("page", hopeless);
    let targets: BTreeMap<_, _> = (0..8)
        .map(|index| {
            let key = key(&format!("p{index}"), backend.address());
            (key, target(&[&page]))
        })
        .collect();
    let (sender, _events) = mpsc::channel(64);
    let checker = Checker::with_probes_in_flight(sender, 2);
    checker.reconcile(targets);
    let mut busiest = 0;
    eventually("probes queue", || {
        let load = checker.snapshot().load;
        assert_eq!(load.bound, 2);
        assert!(load.in_flight <= 2, "{load:?}");
        busiest = busiest.max(load.in_flight);
        load.started > 16 && load.waiting > 0 && load.queue_delay_max > Duration::ZERO
    })
    .await;
    assert_eq!(busiest, 2);
    let load = checker.snapshot().load;
    assert!(load.queue_delay_total >= load.queue_delay_max);
}

#[tokio::test]
async fn a_probe_never_starts_before_the_former_one_of_its_pair_has_ended() {
    let backend = Backend::start("127.0.0.1").await;
    backend.set_status(0);
    let key = key("web", backend.address());
    let mut slow = http();
    // Three intervals: more than a valid configuration allows.
    slow.timeout = slow.interval * 3;
    let (checker, _events) = checker();
    checker.reconcile(one(&key, target(&[&named("page", slow)])));
    eventually("some probes have timed out", || {
        status(&checker, &key, "page").failures >= 4
    })
    .await;
    assert!(backend.accepted() >= 4);
    assert_eq!(backend.most_open(), 1);
}
