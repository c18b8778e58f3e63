//! The agent's state and the one way from facts to tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    net::IpAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use adc_common::abi::{Hop, InterfaceId, Mac, VlanId};
use anyhow::{Context as _, Result};
use nix::fcntl::Flock;

use crate::{
    api::proto::Timestamp,
    config::edit::{EditProblem, Edits},
    dataplane::{self, Dataplane, InterfaceRow, LoadReport, SweepReport, Timeouts},
    health::{self, Checker, HealthEvent, TargetKey},
    model::{AttachMode, Config, EffectiveState, Health, Pool, PoolName, Weight},
    neighbours::{InterfaceFacts, NextHop, NextHopEvent, Obstacle, Resolution, Resolver, vips},
    plan::{self, DrainingOut, EffectiveWeights, Hops, Plan},
};

/// How old the flow figures of a metrics scrape may be; people and programs that ask get them fresh.
const FRESH_ENOUGH: Duration = Duration::from_secs(1);

/// An interface of `dataplane.interfaces`.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub(super) id: InterfaceId,
    /// `None` while it does not exist.
    pub(super) facts: Option<InterfaceFacts>,
    pub(super) mode: AttachMode,
    /// Whether its attachment was taken over from an earlier agent.
    pub(super) adopted: bool,
}

/// Everything the agent knows.
pub(super) struct Agent {
    /// The file as last applied.
    pub(super) file: Config,
    pub(super) edits: Edits,
    /// File and edits together: what runs.
    pub(super) config: Config,
    pub(super) config_path: PathBuf,
    pub(super) config_text: String,
    pub(super) edit_problems: Vec<EditProblem>,
    pub(super) generation: u64,
    pub(super) started: Timestamp,
    pub(super) applied_at: Timestamp,
    pub(super) last_reload_error: Option<String>,
    pub(super) mode_override: Option<AttachMode>,
    pub(super) dataplane: Dataplane,
    pub(super) load_report: LoadReport,
    pub(super) interfaces: BTreeMap<String, Interface>,
    pub(super) resolver: Resolver,
    pub(super) hops: Hops,
    /// Why an address has no next hop.
    pub(super) obstacles: BTreeMap<IpAddr, String>,
    pub(super) checker: Checker,
    pub(super) health: BTreeMap<TargetKey, (Health, String)>,
    pub(super) sweep: SweepReport,
    pub(super) swept: Option<Instant>,
    pub(super) draining_out: Vec<DrainingOut>,
    pub(super) last_plan_error: Option<String>,
    /// Held for as long as the agent lives.
    pub(super) _lock: Flock<File>,
}

impl Agent {
    /// New verdicts.
    pub(super) fn on_health(&mut self, events: Vec<HealthEvent>) {
        for event in events {
            let known = self.config.pools.get(&event.key.pool).is_some_and(|pool| {
                pool.backends
                    .values()
                    .any(|backend| backend.address == event.key.backend)
            });
            if known {
                tracing::info!(backend = %event.key, health = event.health.name(), detail = event.detail, "health changed");
                self.health.insert(event.key, (event.health, event.detail));
            }
        }
        self.replan_or_report();
    }

    /// A next hop or an interface changed.
    pub(super) fn on_next_hop(&mut self, event: NextHopEvent) {
        match event {
            NextHopEvent::Hops(resolutions) => {
                for (address, resolution) in resolutions {
                    self.note_hop(address, &resolution);
                }
                self.replan_or_report();
            }
            NextHopEvent::Interface { name, facts } => {
                if let Err(error) = self.interface_changed(&name, facts) {
                    tracing::error!(interface = name, "{error:#}");
                    self.last_plan_error = Some(format!("{error:#}"));
                }
            }
        }
    }

    pub(super) fn note_hop(&mut self, address: IpAddr, resolution: &Resolution) {
        let address = address.to_canonical();
        match resolution {
            Resolution::Resolved(next) => match self.hop(next) {
                Some(hop) => {
                    self.obstacles.remove(&address);
                    self.hops.insert(address, hop);
                }
                None => {
                    self.obstacles
                        .insert(address, "its interface is not attached".into());
                    self.hops.remove(&address);
                }
            },
            // Not looked up yet is no reason to drop what an earlier agent knew.
            Resolution::Unresolved(Obstacle::Pending(_)) => {}
            Resolution::Unresolved(obstacle) => {
                tracing::warn!(%address, "no next hop: {obstacle}");
                self.obstacles.insert(address, obstacle.to_string());
                self.hops.remove(&address);
            }
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
            vlan: VlanId(next.vlan.unwrap_or(0)),
            inner_vlan: VlanId(next.inner_vlan.unwrap_or(0)),
            interface: interface.id,
        })
    }

    fn interface_changed(&mut self, name: &str, facts: Option<InterfaceFacts>) -> Result<()> {
        let Some(interface) = self.interfaces.get_mut(name) else {
            return Ok(());
        };
        let before = std::mem::replace(&mut interface.facts, facts);
        let id = interface.id;
        let index = |facts: &Option<InterfaceFacts>| facts.as_ref().map(|facts| facts.ifindex);
        let (old, new) = (index(&before), index(&interface.facts));
        if let Some(old) = old.filter(|old| Some(*old) != new) {
            tracing::warn!(interface = name, "the interface is gone");
            self.dataplane.interfaces.remove(id, old)?;
        }
        self.write_interfaces()?;
        if new.is_some() && old != new {
            let mode = self.config.dataplane.attach;
            self.dataplane.attach(name, mode)?;
            tracing::info!(
                interface = name,
                "attached to the interface that was created anew"
            );
        }
        Ok(())
    }

    /// Writes every interface that exists.
    pub(super) fn write_interfaces(&mut self) -> Result<()> {
        for interface in self.interfaces.values() {
            if let Some(facts) = &interface.facts {
                let row = InterfaceRow {
                    ifindex: facts.ifindex,
                    mtu: facts.mtu,
                    mac: facts.mac.unwrap_or(Mac::default()),
                };
                self.dataplane.interfaces.put(interface.id, row)?;
            }
        }
        Ok(())
    }

    /// Starts, keeps and stops checks as the configuration asks.
    pub(super) fn watch_health(&mut self, seeds: &BTreeMap<TargetKey, Health>) -> Result<()> {
        let monitors = health::compile_monitors(&self.config.monitors).map_err(|invalid| {
            let texts: Vec<String> = invalid
                .iter()
                .map(|(name, error)| format!("monitor {name}: {error}"))
                .collect();
            anyhow::anyhow!("{}", texts.join("; "))
        })?;
        self.checker
            .reconcile(health::targets(&self.config, &monitors, seeds));
        let snapshot = self.checker.snapshot();
        self.health = snapshot
            .targets
            .into_iter()
            .map(|(key, status)| (key, (status.health, status.detail)))
            .collect();
        Ok(())
    }

    /// What the data plane is to use for a backend, and why.
    pub(super) fn effective(
        &self,
        pool_name: &PoolName,
        pool: &Pool,
        backend: &crate::model::Backend,
    ) -> EffectiveState {
        let key = TargetKey {
            pool: pool_name.clone(),
            backend: backend.address,
        };
        let (health, detail) = self
            .health
            .get(&key)
            .cloned()
            .unwrap_or((Health::Unknown, String::new()));
        let address = backend.address.ip().to_canonical();
        let reachable = self.hops.contains_key(&address);
        let mut state = EffectiveState::of(
            backend.weight,
            backend.admin,
            health,
            !pool.monitors.is_empty(),
            &detail,
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

    /// What would have to change for `config` to be what the maps hold; `counted` = flows were swept after the
    /// last plan, so that what no flow names may be cleared.
    pub(super) fn plan_for(&self, config: &Config, counted: bool) -> Result<Plan> {
        let tables = &self.dataplane.tables;
        let desired = plan::desired(config, &self.weights(config), &self.hops);
        let mut observed = tables.observed().clone();
        if counted {
            observed.backends_with_flows = Some(self.sweep.backends().collect());
        }
        let limits = tables.limits(&config.dataplane.limits);
        Ok(plan::diff(&desired, &observed, &limits)?)
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
        self.last_plan_error = None;
        Ok(plan)
    }

    fn replan_or_report(&mut self) {
        match self.replan() {
            Ok(plan) if plan.is_empty() => {}
            Ok(plan) => tracing::debug!("{plan}"),
            Err(error) => {
                tracing::error!("{error:#}; trying again at the next change or sweep");
                self.last_plan_error = Some(format!("{error:#}"));
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

    /// The periodic sweep; also the second try of a plan that failed.
    pub(super) fn on_sweep(&mut self) {
        if let Err(error) = self.sweep_now() {
            tracing::error!("sweeping flows: {error:#}");
            return;
        }
        if !self.draining_out.is_empty() || self.last_plan_error.is_some() {
            match self.replan_counted() {
                Ok(_plan) => {}
                Err(error) => self.last_plan_error = Some(format!("{error:#}")),
            }
        }
    }

    /// Removes flows that are over and counts the others.
    pub(super) fn sweep_now(&mut self) -> Result<()> {
        let observed = self.dataplane.tables.observed();
        let timeouts = Timeouts(
            observed
                .backends
                .iter()
                .filter_map(|(id, entry)| {
                    Some((*id, observed.services.get(&entry.service)?.timeouts))
                })
                .collect(),
        );
        let flows = &mut self.dataplane.flows;
        self.sweep = tokio::task::block_in_place(|| flows.sweep(dataplane::now(), &timeouts))?;
        self.swept = Some(Instant::now());
        Ok(())
    }

    /// The same, unless it was done a moment ago: a scrape must not walk the tables over and over.
    pub(super) fn sweep_if_stale(&mut self) -> Result<()> {
        if self
            .swept
            .is_some_and(|swept| swept.elapsed() < FRESH_ENOUGH)
        {
            return Ok(());
        }
        self.sweep_now()
    }

    /// Puts the VIPs of all services on the interface that answers for them.
    pub(super) async fn reconcile_vips(&self) {
        let Some(interface) = &self.config.dataplane.vip_interface else {
            return;
        };
        let wanted: BTreeSet<IpAddr> = self
            .config
            .services
            .values()
            .map(|service| service.vip)
            .collect();
        match vips::reconcile(interface, &wanted).await {
            Ok(done) if done.added.is_empty() && done.removed.is_empty() => {}
            Ok(done) => tracing::info!(
                interface, added = ?done.added, removed = ?done.removed, "VIP addresses"
            ),
            Err(error) => tracing::error!(interface, "VIP addresses: {error}"),
        }
    }

    /// Takes the VIPs off, detaches, removes all pins.
    pub(super) async fn shut_down(self) -> Result<()> {
        self.remove_vips().await;
        self.dataplane
            .dismantle()
            .context("removing pins and detaching")?;
        tracing::info!("stopped: nothing is left behind");
        Ok(())
    }

    /// After a start that failed: removes what it made.
    pub(super) async fn undo_start(self) {
        if let Err(error) = self.shut_down().await {
            tracing::warn!("cleaning up after the failed start: {error:#}");
        }
    }

    async fn remove_vips(&self) {
        if let Some(interface) = &self.config.dataplane.vip_interface
            && let Err(error) = vips::remove_all_ours(interface).await
        {
            tracing::warn!(interface, "removing VIP addresses: {error}");
        }
    }
}
