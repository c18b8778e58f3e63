//! The audit trail.

use std::{
    io,
    sync::{Mutex, MutexGuard},
};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::{api::testing::Gate, model::Weight};

/// Log records of this thread, on which the server of a test runs too.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn capture() -> (Self, DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(log.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn audits(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let audits = text.lines().filter(|line| line.contains(" audit: "));
        audits.map(str::to_owned).collect()
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Locked<'a>;

    fn make_writer(&'a self) -> Locked<'a> {
        Locked(self.0.lock().unwrap())
    }
}

struct Locked<'a>(MutexGuard<'a, Vec<u8>>);

impl io::Write for Locked<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::Write::write(&mut *self.0, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn every_change_is_recorded_with_who_what_before_and_after() {
    let (log, _guard) = Log::capture();
    let agent = Agent::start();
    let (pool, name) = ("web".parse().unwrap(), "web1".parse().unwrap());
    let weight = BackendPatch::Weight(Weight(50));
    for dry in [true, false] {
        let done = agent.client.change_backend(&pool, &name, weight, dry).await;
        done.unwrap();
    }
    let taken = "taken".parse().unwrap();
    agent
        .client
        .remove_service(&taken, false)
        .await
        .unwrap_err();
    let audits = log.audits();
    assert_eq!(audits.len(), 2, "a dry run changes nothing: {audits:?}");
    let who = format!("uid={} pid={}", Uid::effective(), std::process::id());
    for said in [
        "set weight of pool web backend web1 to 50",
        &who,
        r#"before={"weight":100}"#,
        r#"after={"weight":50}"#,
    ] {
        assert!(audits[0].contains(said), "{said}: {}", audits[0]);
    }
    assert!(
        audits[1].contains("refused: remove service taken"),
        "{}",
        audits[1]
    );
}

#[tokio::test]
async fn a_change_is_finished_and_recorded_though_its_caller_hangs_up() {
    let (log, _guard) = Log::capture();
    let agent = Agent::of(FakeControl {
        gate: Some(Gate::default()),
        ..FakeControl::default()
    });
    let gate = agent.control.gate.as_ref().unwrap();
    let mut caller = agent.connect().await;
    let words = request("PUT /api/v1/config", "{}");
    caller.write_all(&words).await.unwrap();
    timeout(PATIENCE, gate.begun.notified()).await.unwrap();
    drop(caller);
    // By the time another caller is served, the server has seen the first one go.
    assert!(agent.is_alive().await);
    gate.open.notify_one();
    let recorded = async {
        while log.audits().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, recorded)
        .await
        .expect("no record of the change");
    assert_eq!(agent.control.applied.lock().unwrap().len(), 1);
}
