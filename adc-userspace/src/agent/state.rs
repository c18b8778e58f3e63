//! The agent's state and the one way from facts to tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    net::IpAddr,
    path::PathBuf,
    time::Instant,
};

use adc_common::abi::Hop;
use anyhow::{Context as _, Result};
use nix::fcntl::Flock;

use super::{
    addresses::Carried, announce::Announcer, challenges::Challenger, interfaces::Interface,
    monitors::Monitors, snat::Refusals, sync::Replication,
};
use crate::{
    api::proto::{Timestamp, sentence},
    config::edit::{EditProblem, Edits},
    dataplane::{Dataplane, LoadReport, SweepReport},
    ha::HaControl,
    health::{self, Checker, HealthEvent, TargetKey},
    model::{AttachMode, Backend, Config, EffectiveState, Health, Pool, PoolName, Weight},
    neighbours::{NextHop, NextHopEvent, Obstacle, Resolution, Resolver},
    plan::{self, Down, DrainingOut, EffectiveWeights, Hops, Plan, PlanError},
    telemetry::LogFormat,
};

/// Addresses without a next hop that get a log line each; of more at once only these many are named.
const NAMED_IN_LOG: usize = 5;

/// Everything the agent knows.
pub(super) struct Agent {
    /// The file as last applied.
    pub(super) file: Config,
    pub(super) edits: Edits,
    /// File and edits together: what runs. What is only read at the start (node, dataplane, metrics) is as it was
    /// at the start, whatever file was applied since.
    pub(super) config: Config,
    /// The monitors of `config`, ready to run.
    pub(super) monitors: Monitors,
    pub(super) config_path: PathBuf,
    pub(super) edit_problems: Vec<EditProblem>,
    pub(super) generation: u64,
    pub(super) started: Timestamp,
    pub(super) applied_at: Timestamp,
    /// When a whole file was last taken.
    pub(super) reloaded_at: Timestamp,
    /// Why the agent's own file was refused when it was last read.
    pub(super) last_reload_error: Option<String>,
    pub(super) mode_override: Option<AttachMode>,
    pub(super) log_format: LogFormat,
    pub(super) dataplane: Dataplane,
    pub(super) load_report: LoadReport,
    pub(super) interfaces: BTreeMap<String, Interface>,
    pub(super) resolver: Resolver,
    pub(super) hops: Hops,
    /// Local addresses that the routes to backends prefer.
    pub(super) sources: BTreeMap<IpAddr, IpAddr>,
    /// The device that the route to a backend names.
    pub(super) devices: BTreeMap<IpAddr, String>,
    pub(super) carried: Carried,
    pub(super) refusals: Refusals,
    /// Why an address has no next hop.
    pub(super) obstacles: BTreeMap<IpAddr, String>,
    pub(super) checker: Checker,
    pub(super) health: BTreeMap<TargetKey, (Health, String)>,
    pub(super) sweep: SweepReport,
    pub(super) swept: Option<Instant>,
    pub(super) draining_out: Vec<DrainingOut>,
    pub(super) challenger: Challenger,
    pub(super) ha: HaControl,
    pub(super) announcer: Announcer,
    /// Replication of flows, if it is configured.
    pub(super) replication: Option<Replication>,
    pub(super) troubles: Troubles,
    /// Set once: from then on nothing may be changed any more.
    pub(super) stopping: bool,
    /// Held for as long as the agent lives: run directory and pin directory.
    pub(super) _locks: [Flock<File>; 2],
}

/// What is wrong on this node and is tried again at every sweep.
#[derive(Clone, Debug, Default)]
pub(super) struct Troubles {
    /// The last plan could not be made or applied.
    pub(super) plan: Option<String>,
    /// The last sweep failed.
    pub(super) sweep: Option<String>,
    /// Addresses could not be put on an interface.
    pub(super) vips: Option<String>,
    /// Flow replication could not be started.
    pub(super) sync: Option<String>,
    /// The heartbeat could not be started.
    pub(super) ha: Option<String>,
    /// The data plane does not work.
    pub(super) self_test: Option<String>,
}

impl Agent {
    /// New verdicts.
    pub(super) fn on_health(&mut self, events: Vec<HealthEvent>) {
        for HealthEvent { key, .. } in events {
            // The event may have waited while a reload took in newer verdicts: what holds now is what counts.
            match self.checker.health(&key) {
                Some(verdict) => drop(self.health.insert(key, verdict)),
                None => drop(self.health.remove(&key)),
            }
        }
        self.replan_or_report();
    }

    /// A next hop or an interface changed.
    pub(super) async fn on_next_hop(&mut self, event: NextHopEvent) {
        match event {
            NextHopEvent::Hops(resolutions) => {
                self.note_hops(resolutions);
                self.replan_or_report();
                if self.wanted_addresses() != self.carried.wanted {
                    self.reconcile_addresses().await;
                }
            }
            NextHopEvent::Interface { name, facts } => {
                self.interface_changed(&name, facts).await;
                self.announcer.look();
            }
        }
    }

    /// Takes in resolutions; says what has no next hop any more, briefly even if that is everything.
    pub(super) fn note_hops(&mut self, resolutions: BTreeMap<IpAddr, Resolution>) {
        let mut lost = Vec::new();
        for (address, resolution) in resolutions {
            let address = address.to_canonical();
            let obstacle = match resolution {
                Resolution::Resolved(next) => match self.hop(&next) {
                    Some(hop) => {
                        self.devices.insert(address, next.device);
                        self.obstacles.remove(&address);
                        self.hops.insert(address, hop);
                        self.sources
                            .extend(next.source.map(|source| (address, source)));
                        continue;
                    }
                    None => "its interface is not attached".to_owned(),
                },
                // Not looked up yet is no reason to drop what an earlier agent knew.
                Resolution::Unresolved(Obstacle::Pending(_)) => continue,
                Resolution::Unresolved(obstacle) => obstacle.to_string(),
            };
            self.hops.remove(&address);
            if self.obstacles.get(&address) != Some(&obstacle) {
                tracing::debug!(%address, "no next hop: {obstacle}");
                self.obstacles.insert(address, obstacle.clone());
                lost.push((address, obstacle));
            }
        }
        for (address, obstacle) in lost.iter().take(NAMED_IN_LOG) {
            tracing::warn!(%address, "no next hop: {obstacle}");
        }
        if lost.len() > NAMED_IN_LOG {
            let more = lost.len() - NAMED_IN_LOG;
            tracing::warn!("no next hop for {more} more addresses; `adc backend list` shows them");
        }
    }

    fn hop(&self, next: &NextHop) -> Option<Hop> {
        let interface = self.interfaces.values().find(|interface| {
            interface
                .facts
                .as_ref()
                .is_some_and(|facts| facts.ifindex == next.ifindex)
        })?;
        Some(Hop {
            mac: next.mac,
            vlan: next.vlan,
            inner_vlan: next.inner_vlan,
            interface: interface.id,
        })
    }

    /// Starts, keeps and stops checks as the configuration asks.
    pub(super) fn watch_health(&mut self, seeds: &BTreeMap<TargetKey, Health>) {
        self.checker
            .reconcile(health::targets(&self.config, &self.monitors, seeds));
        let snapshot = self.checker.snapshot();
        self.health = snapshot
            .targets
            .into_iter()
            .map(|(key, status)| (key, (status.health, status.detail)))
            .collect();
    }

    /// What the data plane is to use for a backend, and why.
    pub(super) fn effective(
        &self,
        pool_name: &PoolName,
        pool: &Pool,
        backend: &Backend,
    ) -> EffectiveState {
        let key = TargetKey {
            pool: pool_name.clone(),
            backend: backend.address,
        };
        let (health, detail) = match self.health.get(&key) {
            Some((health, detail)) => (*health, detail.as_str()),
            None => (Health::Unknown, ""),
        };
        let address = backend.address.ip().to_canonical();
        let reachable = self.hops.contains_key(&address);
        let mut state = EffectiveState::of(
            backend.weight,
            backend.admin,
            health,
            !pool.monitors.is_empty(),
            detail,
            reachable,
        );
        if let (false, Some(obstacle)) = (reachable, self.obstacles.get(&address))
            && state.reason.starts_with("unreachable")
        {
            state.reason = format!("unreachable: {obstacle}");
        }
        state
    }

    fn weights(&self, config: &Config) -> EffectiveWeights {
        let mut weights = EffectiveWeights::new();
        for (name, pool) in &config.pools {
            for backend in pool.backends.values() {
                let weight = self.effective(name, pool, backend).weight;
                if weight > Weight(0) {
                    weights.insert((name.clone(), backend.address), weight);
                }
            }
        }
        weights
    }

    /// Backends that monitors found down; in a pool without monitors none is.
    fn down(&self) -> Down {
        let down = |(key, (health, _)): (&TargetKey, &(Health, String))| {
            (*health == Health::Down).then(|| (key.pool.clone(), key.backend))
        };
        self.health.iter().filter_map(down).collect()
    }

    /// What would have to change for `config` to be what the maps hold; `counted` = flows were swept after the
    /// last plan, so that what no flow names may be cleared.
    pub(super) fn plan_for(&self, config: &Config, counted: bool) -> Result<Plan, PlanError> {
        let tables = &self.dataplane.tables;
        let mut desired = plan::desired(config, &self.weights(config), &self.hops)
            .with_down(config, &self.down());
        desired.sources.clone_from(&self.sources);
        let mut observed = tables.observed().clone();
        if counted {
            observed.backends_with_flows = Some(self.sweep.backends().collect());
        }
        let limits = tables.limits(&self.config.dataplane.limits);
        plan::diff(&desired, &observed, &limits)
    }

    /// Plans and applies for the running configuration.
    pub(super) fn replan(&mut self) -> Result<Plan> {
        self.replan_with(false)
    }

    /// The same, with flows just counted.
    pub(super) fn replan_counted(&mut self) -> Result<Plan> {
        self.replan_with(true)
    }

    fn replan_with(&mut self, counted: bool) -> Result<Plan> {
        self.resolver.want(self.backend_addresses());
        let plan = self.plan_for(&self.config, counted)?;
        let Dataplane {
            tables, counters, ..
        } = &mut self.dataplane;
        tokio::task::block_in_place(|| tables.apply(&plan.changes, counters))
            .context("applying the plan")?;
        self.draining_out.clone_from(&plan.draining_out);
        self.troubles.plan = None;
        self.report_pools();
        self.announcer.look();
        if !plan.is_empty() {
            self.publish_names();
            self.challenge();
        }
        Ok(plan)
    }

    pub(super) fn replan_or_report(&mut self) {
        if self.stopping {
            return;
        }
        match self.replan() {
            Ok(plan) if plan.is_empty() => {}
            Ok(plan) => tracing::debug!("{plan}"),
            Err(error) => {
                let error = sentence(error.as_ref());
                if self.troubles.plan.as_ref() != Some(&error) {
                    tracing::error!("{error}; trying again at the next change or sweep");
                }
                self.troubles.plan = Some(error);
            }
        }
    }

    pub(super) fn backend_addresses(&self) -> BTreeSet<IpAddr> {
        let configured = self
            .config
            .pools
            .values()
            .flat_map(|pool| pool.backends.values());
        let mut addresses: BTreeSet<IpAddr> = configured
            .map(|backend| backend.address.ip().to_canonical())
            .collect();
        // Removed ones keep their flows, so their next hops stay fresh too.
        addresses.extend(self.dataplane.tables.observed().addresses());
        addresses
    }

    /// Nothing is changed after this: the next agent finds things as they are, and so do packets.
    pub(super) fn leave(&mut self) {
        self.stopping = true;
        self.end_sync();
        tracing::info!("left: forwarding goes on without an agent, and roles stay");
    }

    /// Gives up roles, takes the VIPs off, detaches, removes all pins. Nothing is changed after this, and doing it again
    /// does nothing.
    pub(super) async fn shut_down(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.stopping, true) {
            return Ok(());
        }
        self.ha.stop().await;
        self.remove_addresses().await;
        self.remove_kept_addresses().await;
        // After the roles: whoever takes them over has been told of the last flows.
        self.end_sync();
        self.dataplane
            .dismantle()
            .context("removing pins and detaching")?;
        tracing::info!("stopped: nothing is left behind");
        Ok(())
    }
}
