//! Replication of flows, as far as the agent has a part in it: it starts it, says what ids stand for, and keeps groups from
//! preempting before this node has the other's flows.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
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

/// How long this node may be behind before its groups do not preempt any more, once they might: a moment of load is no reason
/// to configure them twice.
const TOLERATED: Duration = Duration::from_secs(1);

/// Between two tries to start replication.
const AGAIN: Duration = Duration::from_secs(5);

/// Replication that is configured.
#[derive(Default)]
pub(super) struct Replication {
    /// Absent while it can not be started.
    sync: Option<FlowSync>,
    /// Whether groups may preempt: this node has the other's flows, or has waited for them for long enough.
    ready: bool,
}

/// Follows replication for as long as the agent runs, if there is any.
pub(super) async fn follow(
    agent: &Arc<Mutex<Agent>>,
    stopped: watch::Receiver<bool>,
) -> Option<JoinHandle<()>> {
    let patience = agent.lock().await.config.ha.sync.as_ref()?.wait_at_most;
    let task = follow_state(Arc::clone(agent), patience, stopped);
    Some(tokio::spawn(task))
}

async fn follow_state(
    agent: Arc<Mutex<Agent>>,
    patience: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    let stop = async move { drop(stopped.wait_for(|stop| *stop).await) };
    tokio::pin!(stop);
    let mut behind_since = Some(Instant::now());
    let mut ready = false;
    loop {
        let mut state = agent.lock().await.replicating();
        let in_sync = state
            .as_mut()
            .is_some_and(|state| *state.borrow_and_update() == SyncState::InSync);
        let now = Instant::now();
        behind_since = (!in_sync).then(|| behind_since.unwrap_or(now));
        let waited = behind_since.map(|since| now.duration_since(since));
        ready = waited.is_none_or(|waited| waited >= patience || (ready && waited < TOLERATED));
        agent.lock().await.set_ready(ready, in_sync).await;
        // When there is something to decide although nothing changed.
        let ends = [TOLERATED, patience].map(|end| behind_since.map(|since| since + end));
        let next = ends.into_iter().flatten().filter(|end| *end > now).min();
        let changed = async {
            match state {
                Some(mut state) => drop(state.changed().await),
                None => sleep(AGAIN).await,
            }
        };
        let due = async {
            match next {
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = &mut stop => return,
            () = changed => {}
            () = due => {}
        }
    }
}

impl Agent {
    /// Starts replication, if the configuration has it. Before the groups, which must not preempt without it.
    pub(super) fn start_sync(&mut self) -> Result<()> {
        let Some(settings) = &self.config.ha.sync else {
            return Ok(());
        };
        self.replication = Some(Replication {
            sync: None,
            ready: settings.wait_at_most.is_zero(),
        });
        self.try_sync()
    }

    /// Starts what is configured. What keeps it from that is among the troubles.
    fn try_sync(&mut self) -> Result<()> {
        let (Some(replication), Some(settings)) = (&self.replication, &self.config.ha.sync) else {
            return Ok(());
        };
        if replication.sync.is_some() || self.stopping {
            return Ok(());
        }
        let started = Key::load(&settings.key_file)
            .context("flow replication ([ha.sync])")
            .and_then(|key| {
                let pins = &self.dataplane.pins;
                Ok(FlowSync::start(settings, key, pins, self.directory())?)
            });
        self.troubles.sync = started.as_ref().err().map(|error| format!("{error:#}"));
        let sync = started?;
        if let Some(replication) = &mut self.replication {
            replication.sync = Some(sync);
        }
        Ok(())
    }

    /// The state of replication; `None` if it can not be started, which is tried again here.
    fn replicating(&mut self) -> Option<watch::Receiver<SyncState>> {
        let before = self.troubles.sync.clone();
        if let Err(error) = self.try_sync()
            && self.troubles.sync != before
        {
            tracing::error!("{error:#}; trying again every {AGAIN:?}");
        }
        if before.is_some() && self.troubles.sync.is_none() {
            tracing::info!("flow replication was started");
            self.publish_names();
        }
        let sync = self.replication.as_ref()?.sync.as_ref()?;
        Some(sync.state())
    }

    /// Ends it: nobody is told of flows any more.
    pub(super) fn end_sync(&mut self) {
        let replication = self.replication.take();
        tokio::task::block_in_place(|| drop(replication));
    }

    /// Says what ids stand for now.
    pub(super) fn publish_names(&self) {
        if let Some(sync) = self.flow_sync() {
            sync.set_directory(self.directory());
        }
    }

    fn flow_sync(&self) -> Option<&FlowSync> {
        self.replication.as_ref()?.sync.as_ref()
    }

    fn directory(&self) -> Directory {
        let observed = self.dataplane.tables.observed();
        let active = self.active_groups();
        let services = observed.services.iter().map(|(id, entry)| {
            let group = self.config.ha.group_of(entry.key.vip.into());
            let count = usize::from(entry.snat_v4) + usize::from(entry.snat_v6);
            let facts = ServiceFacts {
                mode: entry.mode,
                snat: entry.snat.iter().take(count).copied().collect(),
                timeouts: entry.timeouts,
                carried: group.is_none_or(|group| active.contains(group)),
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

    /// How far this node has the other's flows, as the other node and this one's groups are to take it. One that has waited
    /// for as long as it was told to counts as one that replicates nothing.
    pub(super) fn sync_state(&self) -> SyncState {
        let Some(replication) = &self.replication else {
            return SyncState::Off;
        };
        let state = replication.sync.as_ref().map(|sync| *sync.state().borrow());
        match state {
            Some(SyncState::InSync) => SyncState::InSync,
            Some(SyncState::Pulling | SyncState::Off) | None if replication.ready => SyncState::Off,
            Some(SyncState::Pulling | SyncState::Off) | None => SyncState::Pulling,
        }
    }

    /// What people see.
    pub(super) fn sync_view(&self) -> Option<SyncView> {
        let settings = self.config.ha.sync.as_ref()?;
        let sync = self.flow_sync()?;
        let state = *sync.state().borrow();
        Some(view(
            settings.interface.clone(),
            settings.peer,
            state,
            &sync.counts(),
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
