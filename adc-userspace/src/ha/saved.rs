//! What the task knows, as another program can go on with it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::{
    changes::History,
    keeper::{SavedTask, Settings},
    machine::Machine,
    pair::Docket,
    router::{Peer, Router, families, scripts, timing},
    task::Task,
    vrrp::{Dialect, Input, Instance, Moment, Refusal, SavedHeard, SavedInstance},
};
use crate::{
    api::proto::{HaChangeView, Timestamp},
    model::{GroupName, HaGroup},
};

/// A group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::ha) struct SavedRouter {
    name: GroupName,
    /// VRRP's; what the heartbeat decides is kept by the docket.
    #[serde(default)]
    instance: Option<SavedInstance>,
    why: String,
    since: Timestamp,
    #[serde(default)]
    changes: Vec<HaChangeView>,
    /// When the role last changed.
    #[serde(default)]
    turned: Option<Moment>,
    /// Verdict of each script that it tracks.
    #[serde(default)]
    verdicts: Vec<Option<bool>>,
    #[serde(default)]
    counts: SavedCounts,
    #[serde(default)]
    peers: Vec<SavedPeer>,
    #[serde(default)]
    dialect: Option<Dialect>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct SavedCounts {
    transitions: u64,
    sent: u64,
    failed: u64,
    received: u64,
    refused: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SavedPeer {
    heard: SavedHeard,
    at: Moment,
    same_vips: bool,
}

impl Task {
    /// Everything, as of now.
    pub(super) fn save(&self) -> SavedTask {
        let base = Instant::now();
        SavedTask {
            at: monotonic(),
            settings: self.settings.clone(),
            pools: self.known.pools.clone(),
            self_test: self.known.self_test.clone(),
            groups: self.routers.values().map(|r| r.save(base)).collect(),
            statement: self.statement,
            sessions: self.shared.bfd.save(base),
            cases: self
                .pair
                .as_ref()
                .map_or_else(Vec::new, |pair| pair.docket.save(base, monotonic())),
        }
    }

    /// Goes on with what another program knew. Nothing is done yet, and nothing begins anew.
    pub(super) async fn restore(&mut self, mut saved: SavedTask) {
        self.restore_sessions(&mut saved);
        self.leases.reopen(&saved.settings.node.pins);
        if let Err(error) = self.pair_with(&saved.settings).await {
            tracing::error!("{}; its groups are given up", error.what);
        }
        if let Some(pair) = &self.pair {
            pair.docket.restore(saved.cases);
        }
        if let Some(statement) = saved.statement {
            self.say(statement);
        }
        let since = monotonic().saturating_sub(saved.at);
        let now = Instant::now();
        let base = now.checked_sub(since).unwrap_or(now);
        self.known.pools = saved.pools;
        self.known.self_test = saved.self_test;
        for router in saved.groups {
            let Some(group) = saved.settings.ha.groups.get(&router.name) else {
                continue;
            };
            let Ok(docket) = self.docket_for(group) else {
                continue;
            };
            let restored = router.restored(base, group, docket.as_ref());
            let name = restored.name.clone();
            self.routers.insert(name.clone(), restored);
            self.start_scripts(&name);
            if matches!(self.routers.get(&name), Some(r) if matches!(r.machine, Machine::Ruled(_)))
            {
                self.step(&name, Input::Started { resume: true }).await;
            }
        }
        self.write_leases();
        self.take_settings(saved.settings);
    }

    /// Keeps what it was told. Interfaces once named are looked at from then on.
    pub(super) fn take_settings(&mut self, mut settings: Settings) {
        settings.interfaces.append(&mut self.settings.interfaces);
        let groups = settings.ha.groups.values();
        let carriers = groups.flat_map(|group| {
            let vips = group.vips.iter();
            vips.map(|vip| group.interface_of(vip).to_owned())
        });
        settings.interfaces.extend(carriers.collect::<Vec<_>>());
        self.settings = settings;
    }
}

impl Router {
    fn save(&self, base: Instant) -> SavedRouter {
        let peer = |peer: &Peer| SavedPeer {
            heard: SavedHeard::of(&peer.heard),
            at: Moment::of(base, peer.at),
            same_vips: peer.same_vips,
        };
        let refused = self.refused.iter();
        SavedRouter {
            name: self.name.clone(),
            instance: match &self.machine {
                Machine::Vrrp(instance) => Some(instance.save(base)),
                Machine::Ruled(_) => None,
            },
            why: self.why.clone(),
            since: self.since,
            changes: self.history.views(),
            turned: Some(Moment::of(base, self.history.turned())),
            verdicts: self.verdicts.clone(),
            counts: SavedCounts {
                transitions: self.transitions,
                sent: self.sent,
                failed: self.failed,
                received: self.received,
                refused: refused.map(|(r, n)| (r.name().to_owned(), *n)).collect(),
            },
            peers: self.peers.values().map(peer).collect(),
            dialect: self.dialect,
        }
    }
}

impl SavedRouter {
    fn restored(self, base: Instant, group: &HaGroup, docket: Option<&Arc<Docket>>) -> Router {
        let mut router = Router::new(base, self.name, group.clone(), docket);
        if let (Machine::Vrrp(instance), Some(saved)) = (&mut router.machine, &self.instance) {
            *instance = Instance::restored(base, timing(group), &families(group), saved);
            router.lease = instance.lease();
        }
        router.why = self.why;
        router.since = self.since;
        let turned = self.turned.map_or(base, |turned| turned.instant(base));
        router.history = History::restored(self.changes, turned);
        router.scripts = scripts(group);
        router.verdicts = self.verdicts;
        router.verdicts.resize(router.scripts.len(), None);
        router.transitions = self.counts.transitions;
        router.sent = self.counts.sent;
        router.failed = self.counts.failed;
        router.received = self.counts.received;
        for refusal in Refusal::ALL {
            if let Some(count) = self.counts.refused.get(refusal.name()) {
                router.refused.insert(*refusal, *count);
            }
        }
        for SavedPeer {
            heard,
            at,
            same_vips,
        } in self.peers
        {
            let (heard, at) = (heard.heard(), at.instant(base));
            let peer = Peer {
                heard,
                at,
                same_vips,
            };
            router.peers.insert(heard.source, peer);
        }
        router.dialect = self.dialect;
        router
    }
}

/// The clock that [`Instant`] reads, which goes on across `execve`.
pub(super) fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::proto::HaDurations,
        config,
        ha::{Role, changes::Turn},
    };

    const CONFIG: &str = r#"
dataplane.interfaces = ["eth0"]

[[ha.group]]
name = "front"
vrid = 1
interface = "eth0"
vips = ["192.0.2.1"]
"#;

    #[test]
    fn the_last_changes_and_when_the_role_turned_outlive_the_program() {
        let now = Instant::now();
        let config = config::parse(CONFIG, std::path::Path::new("adc.toml")).unwrap();
        let (name, group) = config.ha.groups.first_key_value().unwrap();
        let mut router = Router::new(now, name.clone(), group.clone(), None);
        let decided = now + Duration::from_secs(3);
        let turn = Turn {
            from: Role::Backup,
            decided,
            last_heard: Some(now + Duration::from_secs(2)),
            gave: None,
            leased: None,
        };
        let at = Timestamp(std::time::SystemTime::UNIX_EPOCH);
        let change = router.history.begin(&turn, Role::Active, "silent", at);
        router.history.end(change);
        let saved = serde_json::to_string(&router.save(now)).unwrap();
        let saved: SavedRouter = serde_json::from_str(&saved).unwrap();
        let router = saved.restored(now, group, None);
        assert_eq!(router.history.turned(), decided);
        let took = HaDurations {
            detection_micros: Some(1_000_000),
            ..HaDurations::default()
        };
        assert_eq!(router.history.views()[0].took, took);
    }
}
