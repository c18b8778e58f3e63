//! A backend's BFD session in place of probes: its verdict counts at once.

use std::net::IpAddr;

use tokio::sync::watch;

use super::Finding;
use crate::{
    api::proto::{BfdSessionView, BfdView},
    bfd::{Verdict, packet::State},
};

/// What a session says of a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It is up, or down.
    Verdict(Finding),
    /// The peer took it down on purpose: no new flows, and nobody is cut off.
    Withdrawn(String),
    /// There is nothing to go by; what was known stays.
    Silence(String),
}

/// Sessions as the keeper shows them.
pub(super) type Sessions = watch::Receiver<BfdView>;

/// For those who follow none.
pub(super) fn nothing() -> Sessions {
    // Its sender is gone, so it says nothing more.
    watch::channel(BfdView::default()).1
}

/// What is said of an address now.
pub(super) fn word_on(view: &BfdView, backend: IpAddr) -> Word {
    let backend = backend.to_canonical();
    // One that this node takes back says goodbye for a while; another one may have its place already.
    let stays = |session: &&BfdSessionView| session.state != State::AdminDown;
    let mut sessions = view.sessions.iter().filter(stays);
    let Some(session) = sessions.find(|session| session.peer == backend) else {
        return Word::Silence("no session yet".into());
    };
    let BfdSessionView { verdict, why, .. } = session;
    match verdict {
        Verdict::Up => Word::Verdict(Finding::Passed("session up".into())),
        Verdict::Down => Word::Verdict(Finding::Failed(format!("session down: {why}"))),
        Verdict::Withdrawn => Word::Withdrawn(format!("session down: {why}")),
        Verdict::Unknown => Word::Silence("the session is not up yet".into()),
    }
}
