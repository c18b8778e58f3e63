//! The agent's part in HA: what groups are told, and what follows from a role that changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::sync::mpsc;

use super::{ha_alarms, state::Agent};
use crate::{
    api::proto::{ApiError, Severity, Warning},
    bfd,
    ha::{
        HaControl, NodeFacts, Role, RoleChange,
        heartbeat::{alike::config_hash, runner::Statement},
        keeper::{Place, Settings},
    },
    model::{GroupName, PoolName, Tracked},
};

/// Changes of roles that wait; one that does not fit is noticed at the next sweep.
const CHANGES: usize = 64;

/// The hold on the keeper, and the changes that it will tell of.
pub(super) fn control() -> (HaControl, mpsc::Receiver<RoleChange>) {
    let (sender, changes) = mpsc::channel(CHANGES);
    let hook = move |change: &RoleChange| {
        if sender.try_send(change.clone()).is_err() {
            tracing::debug!("a change of role waits for the sweep");
        }
    };
    (HaControl::new(Arc::new(hook)), changes)
}

impl Agent {
    /// Makes the groups and the peer those of the running configuration.
    ///
    /// # Errors
    /// The heartbeat can not be started; it is logged, and shown until it can.
    pub(super) async fn configure_ha(&mut self) -> Result<(), ApiError> {
        // What is on their interfaces may be left by an earlier agent.
        let groups = self.config.ha.groups.values();
        let interfaces = groups.flat_map(|group| {
            let vips = group.vips.iter();
            vips.map(|vip| group.interface_of(vip).to_owned())
        });
        self.carried.look_at(interfaces);
        let place = Place {
            run_dir: self.config.node.run_dir.clone(),
            log_format: self.log_format,
        };
        // Addresses of groups may be left anywhere: what is there now, and what the agent looks after.
        let interfaces = self.carried.interfaces();
        // Pools and data plane first: what a new group tracks must not look unknown.
        self.report_pools();
        self.test_data_plane();
        let node = NodeFacts {
            name: self.config.node.name.clone(),
            state_dir: self.config.node.state_dir.clone(),
            pins: self.dataplane.pins.path().to_owned(),
        };
        let settings = Settings {
            ha: self.groups_now(),
            node,
            interfaces,
            bfd: bfd::wanted(&self.config).into_iter().collect(),
        };
        self.add_virtual_routers();
        let configured = self.ha.configure(&place, settings).await;
        match &configured {
            Ok(()) => {
                if self.config.ha.groups.is_empty() {
                    self.remove_kept_addresses().await;
                }
                self.remove_virtual_routers();
            }
            // The keeper may still have what it was told before.
            Err(error) => tracing::error!("HA: {}", error.what),
        }
        self.troubles.ha = configured.as_ref().err().map(|error| error.what.clone());
        self.test_data_plane();
        self.report_pools();
        configured
    }

    /// Says how this node is. An agent that does not get to it does not work.
    pub(super) fn state_node(&self) {
        let paired = self.config.ha.heartbeat.is_some();
        // Without a peer, it is no more than a sign of life to the keeper.
        self.ha.say(Statement {
            data_plane_ok: self.troubles.self_test.is_none(),
            sync: self.sync_state(),
            config_hash: if paired { config_hash(&self.config) } else { 0 },
        });
    }

    /// Whether this node is active for a group, as the keeper told last.
    pub(super) fn has_role(&self, group: &GroupName) -> bool {
        let mut groups = self.ha.known().groups.into_iter();
        groups.any(|view| view.name == *group && view.role == Role::Active)
    }

    /// The groups for which this node is active, as the keeper told last.
    pub(super) fn active_groups(&self) -> BTreeSet<GroupName> {
        let groups = self.ha.known().groups.into_iter();
        let active = groups.filter(|view| view.role == Role::Active);
        active.map(|view| view.name).collect()
    }

    /// A role is another; the addresses have moved already.
    pub(super) fn on_role(&self, change: &RoleChange) {
        let RoleChange {
            group, role, why, ..
        } = change;
        tracing::debug!(%group, %role, "the keeper says: {why}");
        self.publish_names();
        self.announcer.look();
    }

    /// Tells groups how many backends of the pools that they track take new flows.
    pub(super) fn report_pools(&self) {
        let groups = self.config.ha.groups.values();
        let tracked = groups.flat_map(|group| &group.track);
        let mut pools: BTreeMap<PoolName, u32> = BTreeMap::new();
        for track in tracked {
            match &track.what {
                Tracked::Pool { pool, .. } => {
                    pools.insert(pool.clone(), self.available(pool));
                }
                Tracked::Interface(_)
                | Tracked::Bfd(_)
                | Tracked::Script(_)
                | Tracked::SelfTest => {}
            }
        }
        if !pools.is_empty() {
            self.ha.pools(pools);
        }
    }

    /// Backends of a pool that take new flows.
    pub(super) fn available(&self, name: &PoolName) -> u32 {
        let Some(pool) = self.config.pools.get(name) else {
            return 0;
        };
        let backends = pool.backends.values();
        let available = backends.filter(|backend| self.effective(name, pool, backend).weight.0 > 0);
        u32::try_from(available.count()).unwrap_or(u32::MAX)
    }

    /// What people should know of groups.
    pub(super) fn ha_warnings(&self) -> Vec<Warning> {
        let groups = self.ha.known().groups.into_iter();
        let faulty = groups.filter(|group| group.role == Role::Fault);
        let warning = faulty.map(|group| Warning {
            severity: Severity::Warning,
            subject: format!("HA group {}", group.name),
            what: format!("this node can not have it: {}", group.why),
            remedy: "`adc ha status` shows what it depends on".into(),
        });
        let mut warnings: Vec<_> = warning.collect();
        warnings.extend(self.troubles.ha.as_ref().map(|what| Warning {
            severity: Severity::Critical,
            subject: "HA".into(),
            what: what.clone(),
            remedy: "correct what it names, and reload or restart the agent: until then groups that the heartbeat decides about are not active here".into(),
        }));
        warnings.extend(ha_alarms::of(&self.ha.known()));
        warnings
    }
}
