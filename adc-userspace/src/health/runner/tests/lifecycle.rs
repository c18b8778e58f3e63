//! Targets that come, change and go.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    health::Target,
    model::{Health, InitialState, Monitor},
};

use super::{backend::Backend, checker, eventually, health, key, named, next, one, target, tcp};

/// A monitor that does not probe while the test lasts.
fn dormant(initial: InitialState) -> Monitor {
    Monitor {
        interval: Duration::from_hours(1),
        initial,
        ..tcp()
    }
}

#[tokio::test]
async fn a_seed_replaces_the_initial_state() {
    let address = crate::model::BackendAddress("127.0.0.1:1".parse().unwrap());
    for (seed, initial, expected) in [
        (Some(Health::Up), InitialState::Down, Health::Up),
        (Some(Health::Down), InitialState::Up, Health::Down),
        (Some(Health::Unknown), InitialState::Up, Health::Up),
        (Some(Health::Unknown), InitialState::Down, Health::Unknown),
        (None, InitialState::Up, Health::Up),
        (None, InitialState::Down, Health::Unknown),
    ] {
        let key = key("web", address);
        let (checker, _events) = checker();
        let monitors = vec![named("port", dormant(initial))];
        checker.reconcile(one(&key, Target { monitors, seed }));
        assert_eq!(health(&checker, &key), expected, "{seed:?} {initial:?}");
    }
}

#[tokio::test]
async fn a_backend_seeded_up_that_is_dead_goes_down_after_fall_failures() {
    let mut backend = Backend::start("127.68.0.1").await;
    backend.die().await;
    let key = key("web", backend.address());
    let (checker, mut events) = checker();
    let monitors = vec![named("port", tcp())];
    let seed = Some(Health::Up);
    checker.reconcile(one(&key, Target { monitors, seed }));
    assert_eq!(next(&mut events).await.health, Health::Up);
    assert_eq!(next(&mut events).await.health, Health::Down);
}

#[tokio::test]
async fn a_seed_does_not_touch_a_target_under_watch() {
    let backend = Backend::start("127.0.0.1").await;
    let key = key("web", backend.address());
    let port = named("port", tcp());
    let (checker, mut events) = checker();
    checker.reconcile(one(&key, target(&[&port])));
    assert_eq!(next(&mut events).await.health, Health::Up);
    let monitors = vec![port];
    let seed = Some(Health::Down);
    checker.reconcile(one(&key, Target { monitors, seed }));
    assert_eq!(health(&checker, &key), Health::Up);
}

#[tokio::test]
async fn a_removed_target_is_forgotten_and_its_task_ends() {
    let backend = Backend::start("127.0.0.1").await;
    let (kept, removed) = (key("a", backend.address()), key("b", backend.address()));
    let port = named("port", tcp());
    let (checker, _events) = checker();
    let idle = Arc::strong_count(&checker.board);
    checker.reconcile(BTreeMap::from([
        (kept.clone(), target(&[&port])),
        (removed.clone(), target(&[&port])),
    ]));
    assert_eq!(Arc::strong_count(&checker.board), idle + 2);
    checker.reconcile(one(&kept, target(&[&port])));
    assert_eq!(checker.health(&removed), None);
    eventually("its task has ended", || {
        Arc::strong_count(&checker.board) == idle + 1
    })
    .await;
}

#[tokio::test]
async fn dropping_the_checker_ends_all_tasks_and_the_event_stream() {
    let backend = Backend::start("127.0.0.1").await;
    // One that probes, one that waits for an answer.
    backend.set_status(0);
    let (port, page) = (named("port", tcp()), named("page", super::http()));
    let key = key("web", backend.address());
    let (checker, mut events) = checker();
    checker.reconcile(one(&key, target(&[&port, &page])));
    eventually("probes are under way", || {
        checker.snapshot().load.in_flight > 0
    })
    .await;

    let board = Arc::downgrade(&checker.board);
    drop(checker);
    eventually("no task is left", || board.strong_count() == 0).await;
    while let Some(event) = events.recv().await {
        assert_eq!(event.key, key);
    }
}
