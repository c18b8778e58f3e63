//! Replication of flows, as far as the agent has a part in it: it starts it, says what ids stand for, and keeps groups from
//! preempting before this node has the other's flows.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use super::state::Agent;
use crate::{
    api::proto::SyncView,
    ha::{
        heartbeat::{key::Key, packet::SyncState},
        sync::{
            FlowSync,
            counts::Counts,
            names::{BackendFacts, BackendName, Directory, ServiceFacts},
        },
    },
    model::Ha,
};

/// Replication that runs.
pub(super) struct Replication {
    sync: FlowSync,
    /// Whether groups may preempt: this node has the other's flows, or has waited for them for long enough.
    ready: bool,
}

/// Follows replication for as long as the agent runs, if there is any.
pub(super) async fn follow(
    agent: &Arc<Mutex<Agent>>,
    stopped: watch::Receiver<bool>,
) -> Option<JoinHandle<()>> {
    let locked = agent.lock().await;
    let state = locked.replication.as_ref()?.sync.state();
    let patience = locked.config.ha.sync.as_ref()?.wait_at_most;
    drop(locked);
    let task = follow_state(Arc::clone(agent), state, patience, stopped);
    Some(tokio::spawn(task))
}

async fn follow_state(
    agent: Arc<Mutex<Agent>>,
    mut state: watch::Receiver<SyncState>,
    patience: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    let stop = async move { drop(stopped.wait_for(|stop| *stop).await) };
    tokio::pin!(stop);
    let mut behind_since = Some(Instant::now());
    loop {
        let in_sync = *state.borrow_and_update() == SyncState::InSync;
        behind_since = (!in_sync).then(|| behind_since.unwrap_or_else(Instant::now));
        let until = behind_since.map(|since| since + patience);
        let ready = until.is_none_or(|until| Instant::now() >= until);
        agent.lock().await.set_ready(ready, in_sync).await;
        let changed = async {
            match until.filter(|_| !ready) {
                // Late or changed: looked at again either way.
                Some(until) => drop(timeout_at(until, state.changed()).await),
                None => drop(state.changed().await),
            }
        };
        tokio::select! {
            () = &mut stop => return,
            () = changed => {}
        }
    }
}

impl Agent {
    /// Starts replication, if the configuration has it. Before the groups, which must not preempt without it.
    pub(super) fn start_sync(&mut self) -> Result<()> {
        let Some(settings) = &self.config.ha.sync else {
            return Ok(());
        };
        let key = Key::load(&settings.key_file).context("flow replication ([ha.sync])")?;
        let sync = FlowSync::start(settings, key, &self.dataplane.pins, self.directory())?;
        let ready = settings.wait_at_most.is_zero();
        self.replication = Some(Replication { sync, ready });
        Ok(())
    }

    /// Says what ids stand for now.
    pub(super) fn publish_names(&self) {
        if let Some(replication) = &self.replication {
            replication.sync.set_directory(self.directory());
        }
    }

    fn directory(&self) -> Directory {
        let observed = self.dataplane.tables.observed();
        let services = observed.services.iter().map(|(id, entry)| {
            let group = self.config.ha.group_of(entry.key.vip.into());
            let count = usize::from(entry.snat_v4) + usize::from(entry.snat_v6);
            let facts = ServiceFacts {
                mode: entry.mode,
                snat: entry.snat.iter().take(count).copied().collect(),
                timeouts: entry.timeouts,
                carried: group.is_none_or(|group| self.has_role(group)),
            };
            (*id, (entry.key, Arc::new(facts)))
        });
        let services: BTreeMap<_, _> = services.collect();
        let backends = observed.backends.iter().filter_map(|(id, entry)| {
            let (key, facts) = services.get(&entry.service)?;
            let name = BackendName {
                service: *key,
                address: entry.address,
                port: entry.port,
            };
            let service = Arc::clone(facts);
            Some((*id, BackendFacts { name, service }))
        });
        let interfaces = self.interfaces.iter();
        let interfaces = interfaces.map(|(name, interface)| (interface.id, name.clone()));
        Directory::new(backends.collect(), interfaces.collect())
    }

    /// Notes whether groups may preempt, and tells them.
    async fn set_ready(&mut self, ready: bool, in_sync: bool) {
        let Some(replication) = &mut self.replication else {
            return;
        };
        if self.stopping {
            return;
        }
        if std::mem::replace(&mut replication.ready, ready) == ready {
            self.state_node();
            return;
        }
        if ready && !in_sync {
            tracing::warn!(
                "sync: the other node's flows did not come in time: this node takes its groups back without them"
            );
        }
        // A failure is among the troubles.
        drop(self.configure_ha().await);
    }

    /// The groups, as they are to act now: none preempts before this node has the other's flows.
    pub(super) fn groups_now(&self) -> Ha {
        let mut ha = self.config.ha.clone();
        if self.replication.as_ref().is_some_and(|r| !r.ready) {
            for group in ha.groups.values_mut() {
                group.preempt = false;
            }
        }
        ha
    }

    /// How far this node has the other's flows.
    pub(super) fn sync_state(&self) -> SyncState {
        let replication = self.replication.as_ref();
        replication.map_or(SyncState::Off, |replication| {
            *replication.sync.state().borrow()
        })
    }

    /// What people see.
    pub(super) fn sync_view(&self) -> Option<SyncView> {
        let settings = self.config.ha.sync.as_ref()?;
        let replication = self.replication.as_ref()?;
        let state = *replication.sync.state().borrow();
        Some(view(
            settings.interface.clone(),
            settings.peer,
            state,
            &replication.sync.counts(),
        ))
    }
}

fn view(interface: String, peer: std::net::IpAddr, state: SyncState, counts: &Counts) -> SyncView {
    let skipped = counts.skipped.iter();
    let refused = counts.refused.iter();
    SyncView {
        interface,
        peer,
        in_sync: state == SyncState::InSync,
        following: counts.following,
        serving: counts.serving,
        sent: counts.sent,
        unnamed: counts.unnamed,
        waiting: counts.waiting,
        lag_ms: counts.lag_millis,
        untold: counts.untold,
        resyncs: counts.resyncs,
        received: counts.received,
        inserted: counts.inserted,
        pulls: counts.pulls,
        pulled_flows: counts.pulled_flows,
        pulled_ms: counts.pulled_millis,
        skipped: skipped.map(|(why, n)| (why.name().into(), *n)).collect(),
        refused: refused.map(|(why, n)| (why.name().into(), *n)).collect(),
    }
}
