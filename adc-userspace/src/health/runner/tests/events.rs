//! Which changes become events.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use crate::model::{Health, InitialState};

use super::{
    Checker, backend::Backend, checker, eventually, health, http, key, named, next, one, status,
    target, tcp,
};

#[tokio::test]
async fn a_backend_that_dies_and_returns_gives_one_down_and_one_up() {
    let mut backend = Backend::start("127.67.0.1").await;
    let key = key("web", backend.address());
    let (checker, mut events) = checker();
    checker.reconcile(one(&key, target(&[&named("port", tcp())])));
    assert_eq!(next(&mut events).await.health, Health::Up);

    backend.die().await;
    let down = next(&mut events).await;
    assert_eq!((&down.key, down.health), (&key, Health::Down));
    assert_eq!(down.detail, "port: tcp connect: connection refused");

    backend.come_back().await;
    let up = next(&mut events).await;
    assert_eq!((&up.key, up.health), (&key, Health::Up));
    assert!(up.at >= down.at);

    let goes_on = || status(&checker, &key, "port").successes > 5;
    eventually("more good probes", goes_on).await;
    assert!(events.try_recv().is_err(), "no further event");
}

#[tokio::test]
async fn fewer_failures_than_fall_are_no_event() {
    let backend = Backend::start("127.0.0.1").await;
    let key = key("web", backend.address());
    let mut patient = http();
    patient.fall = u32::MAX;
    let (checker, mut events) = checker();
    checker.reconcile(one(&key, target(&[&named("page", patient)])));
    assert_eq!(next(&mut events).await.health, Health::Up);

    backend.set_status(503);
    let fails = || status(&checker, &key, "page").failures > 5;
    eventually("failures", fails).await;
    assert_eq!(health(&checker, &key), Health::Up);
    assert!(events.try_recv().is_err());
    let page = status(&checker, &key, "page");
    assert_eq!(page.detail, "http: status 503, expected 200");
    assert!(page.last_success.is_some() && page.last_probe.is_some());
}

#[tokio::test]
async fn a_backend_is_up_only_while_all_its_monitors_are_up() {
    let backend = Backend::start("127.0.0.1").await;
    backend.set_status(503);
    let key = key("web", backend.address());
    let (port, page) = (named("port", tcp()), named("page", http()));
    let (checker, mut events) = checker();
    checker.reconcile(one(&key, target(&[&port, &page])));

    let down = next(&mut events).await;
    assert_eq!(down.health, Health::Down);
    assert_eq!(down.detail, "page: http: status 503, expected 200");
    eventually("the port monitor is up", || {
        status(&checker, &key, "port").health == Health::Up
    })
    .await;
    assert_eq!(health(&checker, &key), Health::Down);

    backend.set_status(200);
    assert_eq!(next(&mut events).await.detail, "all 2 monitors pass");
}

#[tokio::test]
async fn initial_up_is_an_event_before_any_probe() {
    let mut backend = Backend::start("127.67.0.2").await;
    backend.die().await;
    let key = key("web", backend.address());
    let mut eager = tcp();
    eager.initial = InitialState::Up;
    let (checker, mut events) = checker();
    checker.reconcile(one(&key, target(&[&named("port", eager)])));
    assert_eq!(health(&checker, &key), Health::Up);
    assert_eq!(next(&mut events).await.health, Health::Up);
    assert_eq!(next(&mut events).await.health, Health::Down);
}

#[tokio::test]
async fn a_reader_that_sleeps_holds_nothing_up_and_gets_the_last_word() {
    let mut backend = Backend::start("127.67.0.3").await;
    let keys: Vec<_> = (0..50)
        .map(|index| key(&format!("p{index}"), backend.address()))
        .collect();
    let port = named("port", tcp());
    let targets = keys.iter().map(|key| (key.clone(), target(&[&port])));
    let (sender, mut events) = mpsc::channel(1);
    let checker = Checker::new(sender);
    checker.reconcile(targets.collect());

    let all = |wanted: Health| {
        let targets = checker.snapshot().targets;
        targets.values().all(|status| status.health == wanted)
    };
    eventually("all up though nobody reads", || all(Health::Up)).await;
    backend.die().await;
    eventually("all down though nobody reads", || all(Health::Down)).await;

    let mut told = BTreeMap::new();
    let mut count = 0;
    while told.len() < keys.len() || told.values().any(|health| *health != Health::Down) {
        let event = next(&mut events).await;
        told.insert(event.key, event.health);
        count += 1;
    }
    assert!(
        count <= keys.len() + 2,
        "{count} events: the steps nobody saw are left out"
    );
}

#[tokio::test]
async fn probes_go_on_without_a_reader() {
    let mut backend = Backend::start("127.67.0.4").await;
    let key = key("web", backend.address());
    let (checker, events) = checker();
    drop(events);
    checker.reconcile(one(&key, target(&[&named("port", tcp())])));
    eventually("up", || health(&checker, &key) == Health::Up).await;
    backend.die().await;
    eventually("down", || health(&checker, &key) == Health::Down).await;
}
