//! What the heartbeat's events and counters come to, for people.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    api::proto::{HeartbeatPathView, HeartbeatView, Timestamp},
    ha::heartbeat::{counters::Counts, refusal::Refusal, runner::Event},
    model::{HeartbeatPath, HeartbeatSettings},
};

/// Between two complaints about the same kind of datagram.
const COMPLAINT: Duration = Duration::from_mins(1);

pub(super) struct Follower {
    view: HeartbeatView,
    /// Datagrams ignored when they were last complained of, and when that was.
    complaints: BTreeMap<Refusal, (u64, Instant)>,
}

impl Follower {
    /// Before anything was heard.
    pub(super) fn new(settings: &HeartbeatSettings) -> Self {
        let path = |path: &HeartbeatPath| HeartbeatPathView {
            interface: path.interface.clone(),
            address: path.peer,
            heard: false,
            sent: 0,
            not_sent: 0,
            received: 0,
            longest_gap_micros: 0,
        };
        Self {
            view: HeartbeatView {
                peer: settings.peer.clone(),
                profile: settings.profile,
                heard: false,
                since: None,
                agent_ok: None,
                config_differs: false,
                paths: settings.paths.iter().map(path).collect(),
                refused: BTreeMap::new(),
            },
            complaints: BTreeMap::new(),
        }
    }

    pub(super) fn view(&self) -> HeartbeatView {
        self.view.clone()
    }

    /// Logs an event, and keeps what it says for whoever asks.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Path { path, heard } => {
                let Some(path) = self.view.paths.get_mut(*path) else {
                    return;
                };
                path.heard = *heard;
                let interface = &path.interface;
                if *heard {
                    tracing::info!(interface, "heartbeat: the peer is heard by this path");
                } else {
                    tracing::warn!(interface, "heartbeat: the peer is not heard by this path");
                }
            }
            Event::Peer { heard } => {
                self.view.heard = *heard;
                if !heard {
                    self.view.agent_ok = None;
                }
                self.view.since = Some(Timestamp(SystemTime::now()));
                if *heard {
                    tracing::info!("heartbeat: the peer is there");
                } else {
                    tracing::error!("heartbeat: the peer is silent on all paths");
                }
            }
            Event::ConfigDiffers(differs) => {
                self.view.config_differs = *differs;
                if *differs {
                    tracing::error!(
                        "heartbeat: the peer is configured with other services, pools, monitors or profile; compare the files"
                    );
                } else {
                    tracing::info!("heartbeat: the peer is configured alike");
                }
            }
            Event::Trouble(what) => tracing::warn!("heartbeat: {what}"),
        }
    }

    /// Keeps the counters for whoever asks, and tells of datagrams that were ignored since it was last told.
    pub(super) fn count(&mut self, counts: &Counts) {
        for (view, counts) in self.view.paths.iter_mut().zip(&counts.paths) {
            view.sent = counts.sent;
            view.not_sent = counts.not_sent;
            view.received = counts.received;
            let gap = u64::try_from(counts.longest_gap.as_micros()).unwrap_or(u64::MAX);
            view.longest_gap_micros = view.longest_gap_micros.max(gap);
        }
        self.view.agent_ok = self.view.heard.then_some(counts.peer_agent_ok);
        let of = |refusal: &Refusal| counts.refused.get(refusal).copied().unwrap_or(0);
        let every = Refusal::ALL.iter();
        self.view.refused = every.map(|r| (r.name().to_owned(), of(r))).collect();
        let now = Instant::now();
        for (refusal, count) in &counts.refused {
            let told = self.complaints.get(refusal);
            if told.is_some_and(|(before, at)| before == count || now - *at < COMPLAINT) {
                continue;
            }
            self.complaints.insert(*refusal, (*count, now));
            tracing::warn!(reason = %refusal, count, "heartbeat: datagrams were ignored");
        }
    }
}
