//! What a reload keeps.

use std::{collections::BTreeMap, time::Duration};

use crate::model::{Health, InitialState, Monitor};

use super::{
    backend::Backend, checker, eventually, health, http, key, named, next, one, status, target, tcp,
};

#[tokio::test]
async fn a_reload_without_changes_keeps_state_and_goes_on() {
    let backend = Backend::start("127.0.0.1").await;
    let key = key("web", backend.address());
    let reload = || one(&key, target(&[&named("port", tcp())]));
    let (checker, mut events) = checker();
    checker.reconcile(reload());
    assert_eq!(next(&mut events).await.health, Health::Up);
    eventually("some probes", || {
        status(&checker, &key, "port").successes > 3
    })
    .await;

    let before = checker.snapshot();
    checker.reconcile(reload());
    let after = checker.snapshot();
    let (before_target, after_target) = (&before.targets[&key], &after.targets[&key]);
    assert_eq!(after_target.since, before_target.since);
    assert_eq!(
        after_target.monitors[0].since,
        before_target.monitors[0].since
    );
    let successes = after_target.monitors[0].successes;
    assert!(successes >= before_target.monitors[0].successes);
    assert!(after.monitors.values().next().unwrap().passed >= u64::from(successes));

    eventually("probes go on", || {
        status(&checker, &key, "port").successes > successes + 2
    })
    .await;
    assert!(events.try_recv().is_err(), "no event from a reload");
}

#[tokio::test]
async fn a_reload_keeps_the_schedule() {
    // An hour between probes: a pair that started anew would have no result at first, and one probe more
    // within a second.
    let backend = Backend::start("127.0.0.1").await;
    let (old, new) = (key("old", backend.address()), key("new", backend.address()));
    let hourly = Monitor {
        interval: Duration::from_hours(1),
        ..tcp()
    };
    let hourly = named("port", hourly);
    let only_old = || one(&old, target(&[&hourly]));
    let both = || BTreeMap::from([old.clone(), new.clone()].map(|key| (key, target(&[&hourly]))));
    let (checker, mut events) = checker();
    checker.reconcile(only_old());
    assert_eq!(next(&mut events).await.key, old);
    for round in 1..=3 {
        checker.reconcile(only_old());
        checker.reconcile(both());
        assert_eq!(status(&checker, &old, "port").successes, 1, "round {round}");
        // The other target was removed and added, so it does probe anew.
        assert_eq!(next(&mut events).await.key, new);
        assert_eq!(checker.snapshot().load.started, 1 + round);
    }
}

#[tokio::test]
async fn only_the_changed_monitor_starts_anew_and_the_backend_stays_in_use() {
    let backend = Backend::start("127.0.0.1").await;
    let key = key("web", backend.address());
    let port = named("port", tcp());
    let (checker, mut events) = checker();
    checker.reconcile(one(&key, target(&[&port, &named("page", http())])));
    assert_eq!(next(&mut events).await.health, Health::Up);
    let counts = |name| status(&checker, &key, name).successes;
    eventually("both have history", || {
        counts("port") > 3 && counts("page") > 3
    })
    .await;

    let mut changed = http();
    changed.rise = 9;
    checker.reconcile(one(&key, target(&[&port, &named("page", changed)])));
    assert!(counts("port") > 3, "kept");
    assert!(counts("page") <= 1, "started anew");
    assert_eq!(health(&checker, &key), Health::Up);
    eventually("the changed one probes", || counts("page") > 3).await;
    assert!(events.try_recv().is_err());
}

#[tokio::test]
async fn a_new_monitor_takes_an_up_backend_down_only_after_fall_failures() {
    let backend = Backend::start("127.0.0.1").await;
    backend.set_status(503);
    let key = key("web", backend.address());
    let port = named("port", tcp());
    let (checker, mut events) = checker();
    checker.reconcile(one(&key, target(&[&port])));
    assert_eq!(next(&mut events).await.health, Health::Up);

    checker.reconcile(one(&key, target(&[&port, &named("page", http())])));
    assert_eq!(health(&checker, &key), Health::Up);
    assert_eq!(next(&mut events).await.health, Health::Down);
    assert!(status(&checker, &key, "page").failures >= 3);
}

#[tokio::test]
async fn a_mended_monitor_decides_with_its_first_probe() {
    let backend = Backend::start("127.0.0.1").await;
    backend.set_status(404);
    let key = key("web", backend.address());
    let mut slow_to_rise = http();
    slow_to_rise.rise = u32::MAX;
    // `initial = up` is for new backends; this one is known to be down.
    slow_to_rise.initial = InitialState::Up;
    let (checker, mut events) = checker();
    checker.reconcile(one(&key, target(&[&named("page", slow_to_rise.clone())])));
    assert_eq!(next(&mut events).await.health, Health::Up);
    assert_eq!(next(&mut events).await.health, Health::Down);

    backend.set_status(200);
    slow_to_rise.fall = 7;
    checker.reconcile(one(&key, target(&[&named("page", slow_to_rise)])));
    assert_ne!(health(&checker, &key), Health::Up, "not before a probe");
    eventually("up", || health(&checker, &key) == Health::Up).await;
}

#[tokio::test]
async fn removing_the_failing_monitor_brings_the_backend_back() {
    let backend = Backend::start("127.0.0.1").await;
    backend.set_status(503);
    let key = key("web", backend.address());
    let port = named("port", tcp());
    let (checker, mut events) = checker();
    checker.reconcile(one(&key, target(&[&port, &named("page", http())])));
    assert_eq!(next(&mut events).await.health, Health::Down);
    eventually("the port is up", || {
        status(&checker, &key, "port").health == Health::Up
    })
    .await;

    checker.reconcile(one(&key, target(&[&port])));
    assert_eq!(next(&mut events).await.health, Health::Up);
    let totals = checker.snapshot().monitors;
    assert_eq!(totals.len(), 1, "counters of an unused monitor are dropped");
}
