//! A monitor of type `bfd` follows the session with the backend's address.

use tokio::sync::watch;

use super::*;
use crate::{
    api::{proto::BfdView, testing},
    bfd::Verdict,
    model::BfdCheck,
};

fn following() -> Monitor {
    Monitor {
        kind: MonitorKind::Bfd(BfdCheck { multiplier: 3 }),
        rise: 1,
        fall: 1,
        ..tcp()
    }
}

/// One session, with this peer.
fn view(peer: &str, verdict: Verdict) -> BfdView {
    let mut view = testing::bfd_view();
    view.sessions.truncate(1);
    let session = &mut view.sessions[0];
    session.peer = peer.parse().unwrap();
    session.verdict = verdict;
    session.why = format!("it is {}", verdict.name());
    view
}

#[tokio::test]
async fn a_session_that_goes_down_takes_its_backend_out_at_once_and_one_withdrawn_only_drains_it() {
    let (sender, mut events) = mpsc::channel(64);
    let (say, sessions) = watch::channel(BfdView::default());
    let checker = Checker::following(sender, 4, sessions);
    let backend = BackendAddress("10.0.0.1:80".parse().unwrap());
    let key = key("web", backend);
    let monitor = named("path", following());
    checker.reconcile(one(&key, target(&[&monitor])));
    assert_eq!(health(&checker, &key), Health::Unknown, "no session yet");

    say.send_replace(view("10.0.0.1", Verdict::Up));
    assert_eq!(next(&mut events).await.health, Health::Up);
    say.send_replace(view("10.0.0.1", Verdict::Down));
    let down = next(&mut events).await;
    assert_eq!(down.health, Health::Down);
    assert!(down.detail.contains("it is down"), "{}", down.detail);
    say.send_replace(view("10.0.0.1", Verdict::Up));
    assert_eq!(next(&mut events).await.health, Health::Up);
    say.send_replace(view("10.0.0.1", Verdict::Withdrawn));
    assert_eq!(next(&mut events).await.health, Health::Unknown);
    say.send_replace(view("10.0.0.1", Verdict::Up));
    assert_eq!(next(&mut events).await.health, Health::Up);

    // Neither a session that begins anew nor one with somebody else says anything of it.
    say.send_replace(view("10.0.0.1", Verdict::Unknown));
    say.send_replace(view("10.0.0.2", Verdict::Down));
    eventually("the silence is seen", || {
        status(&checker, &key, "path").detail.contains("no session")
    })
    .await;
    assert_eq!(health(&checker, &key), Health::Up);
}
