//! The checker against backends on loopback.

mod backend;
mod bfd;
mod events;
mod lifecycle;
mod load;
mod reload;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::mpsc;

use crate::{
    health::{CompiledMonitor, Target, TargetKey},
    model::{
        BackendAddress, Health, HttpCheck, InitialState, Monitor, MonitorKind, PoolName,
        StatusRange,
    },
};

use super::{Checker, HealthEvent, MonitorStatus};

const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds; fails the test when it does not within [`PATIENCE`].
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(
        tokio::time::timeout(PATIENCE, poll).await.is_ok(),
        "never came true: {what}"
    );
}

/// A TCP monitor that probes every 20 ms.
fn tcp() -> Monitor {
    Monitor {
        kind: MonitorKind::Tcp,
        interval: Duration::from_millis(20),
        timeout: PATIENCE,
        rise: 2,
        fall: 3,
        jitter_percent: 10,
        initial: InitialState::Down,
        port: None,
        send_proxy: false,
    }
}

/// As [`tcp`] with an HTTP request for a page that must have status 200.
fn http() -> Monitor {
    Monitor {
        kind: MonitorKind::Http(HttpCheck {
            method: "GET".into(),
            path: "/".into(),
            host: None,
            status: vec![StatusRange {
                first: 200,
                last: 200,
            }],
            body: None,
            tls: None,
        }),
        ..tcp()
    }
}

fn named(name: &str, monitor: Monitor) -> Arc<CompiledMonitor> {
    Arc::new(CompiledMonitor::new(name.parse().unwrap(), monitor).unwrap())
}

fn pool(name: &str) -> PoolName {
    name.parse().unwrap()
}

fn key(pool_name: &str, backend: BackendAddress) -> TargetKey {
    TargetKey {
        pool: pool(pool_name),
        backend,
    }
}

fn target(monitors: &[&Arc<CompiledMonitor>]) -> Target {
    Target {
        monitors: monitors.iter().copied().cloned().collect(),
        seed: None,
    }
}

fn one(key: &TargetKey, target: Target) -> BTreeMap<TargetKey, Target> {
    BTreeMap::from([(key.clone(), target)])
}

/// A checker whose events are read through the receiver.
fn checker() -> (Checker, mpsc::Receiver<HealthEvent>) {
    let (sender, receiver) = mpsc::channel(64);
    (Checker::new(sender), receiver)
}

async fn next(events: &mut mpsc::Receiver<HealthEvent>) -> HealthEvent {
    let event = tokio::time::timeout(PATIENCE, events.recv()).await;
    event.expect("an event in time").expect("a living checker")
}

fn health(checker: &Checker, key: &TargetKey) -> Health {
    checker.health(key).expect("a target under watch").0
}

fn status(checker: &Checker, key: &TargetKey, monitor: &str) -> MonitorStatus {
    let target = checker.snapshot().targets.remove(key).unwrap();
    let mut monitors = target.monitors.into_iter();
    monitors
        .find(|status| status.name.as_str() == monitor)
        .unwrap()
}
