//! From nothing, or from what an earlier agent left, to forwarding.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use adc_common::abi::{BackendId, InterfaceId, MAX_INTERFACES};
use anyhow::{Context as _, Result};
use nix::fcntl::{Flock, FlockArg};
use tokio::sync::mpsc;

use super::state::{Agent, Interface};
use crate::{
    api::{
        proto::{ApiError, ErrorCode, Timestamp},
        server::Server,
        socket_path,
    },
    cli::RunOptions,
    config::{self, edit::Edits},
    dataplane::{Dataplane, DataplaneError},
    health::{Checker, HealthEvent, TargetKey},
    model::{AttachMode, Health},
    neighbours::{InterfaceFacts, NextHopEvent, Resolver},
    telemetry::MetricsServer,
};

/// How long a start waits for next hops; a neighbour that is there answers within a round trip.
const FIRST_HOPS: Duration = Duration::from_secs(1);

/// How often it looks.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A running agent and its bound control socket.
pub(super) struct Started {
    pub(super) agent: Agent,
    pub(super) server: Server,
    pub(super) metrics: Option<MetricsServer>,
}

/// Brings the agent up. On an error nothing that was forwarding before has changed, and what this start made
/// is gone again, unless an earlier agent's pins were there: those stay for the next try.
pub(super) async fn start(
    options: &RunOptions,
    health_events: mpsc::Sender<HealthEvent>,
) -> Result<(Started, mpsc::Receiver<NextHopEvent>)> {
    let started = SystemTime::now();
    let text = fs::read_to_string(&options.config).unwrap_or_default();
    let mut file = config::load(&options.config)?;
    if let Some(mode) = options.mode {
        file.dataplane.attach = mode;
    }
    let edits = Edits::load(&file.node.state_dir)?;
    let applied = edits.apply(&file);
    for problem in &applied.problems {
        tracing::warn!("{problem}");
    }
    let config = applied.config;
    fs::create_dir_all(&config.node.run_dir)
        .with_context(|| format!("making the run directory {}", config.node.run_dir.display()))?;
    // Binding the socket is what makes this *the* agent of the node; before anything is touched.
    let server = Server::bind(&socket_path(&config.node.run_dir))?;
    let metrics = match config.telemetry.listen {
        Some(address) => Some(MetricsServer::bind(address)?),
        None => None,
    };
    let lock = lock_pins(&config.dataplane.pin_path)?;

    let (dataplane, report) =
        Dataplane::load(&config.dataplane.pin_path, &config.dataplane.limits)?;
    let names = config.dataplane.interfaces.clone();
    let (resolver, hops) = Resolver::start(names).await?;
    let facts = resolver.snapshot().interfaces;
    let checker = Checker::new(health_events);
    let mut agent = Agent {
        file,
        edits,
        config,
        config_path: options.config.clone(),
        config_text: text,
        edit_problems: applied.problems,
        generation: 1,
        started: Timestamp(started),
        applied_at: Timestamp(started),
        last_reload_error: None,
        mode_override: options.mode,
        dataplane,
        load_report: report,
        interfaces: BTreeMap::new(),
        resolver,
        hops: BTreeMap::new(),
        obstacles: BTreeMap::new(),
        checker,
        health: BTreeMap::new(),
        sweep: Default::default(),
        swept: None,
        draining_out: Vec::new(),
        last_plan_error: None,
        _lock: lock,
    };
    match forward(&mut agent, &facts).await {
        Ok(()) => Ok((
            Started {
                agent,
                server,
                metrics,
            },
            hops,
        )),
        Err(error) => {
            if !agent.load_report.adopted {
                agent.undo_start().await;
            }
            Err(error)
        }
    }
}

/// Fills the tables, then attaches: no packet meets half-filled tables.
async fn forward(agent: &mut Agent, facts: &BTreeMap<String, InterfaceFacts>) -> Result<()> {
    agent.interfaces = number_interfaces(agent, facts)?;
    agent.write_interfaces()?;
    agent.hops = agent.dataplane.tables.observed().hops();
    let seeds = if agent.load_report.adopted {
        seeds(agent)?
    } else {
        BTreeMap::new()
    };
    agent.watch_health(&seeds)?;
    await_next_hops(agent).await;
    agent.sweep_now()?;
    agent.replan_counted()?;
    attach(agent)?;
    agent.reconcile_vips().await;
    let adopted = if agent.load_report.adopted {
        "adopted what an earlier agent left"
    } else {
        "started afresh"
    };
    tracing::info!(
        services = agent.config.services.len(),
        interfaces = agent.interfaces.len(),
        "forwarding: {adopted}"
    );
    for line in &agent.load_report.kept_capacities {
        tracing::warn!("{line}");
    }
    Ok(())
}

/// Waits until every backend has a next hop, or for a moment if some have none: an agent that says it forwards
/// should, and rings are not built twice.
async fn await_next_hops(agent: &mut Agent) {
    let wanted = agent.backend_addresses();
    agent.resolver.want(wanted.clone());
    let deadline = Instant::now() + FIRST_HOPS;
    loop {
        for (address, resolution) in agent.resolver.snapshot().hops {
            if resolution.hop().is_some() {
                agent.note_hop(address, &resolution);
            }
        }
        let missing = wanted
            .iter()
            .any(|address| !agent.hops.contains_key(address));
        if !missing || Instant::now() >= deadline {
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Takes the exclusive lock on the pin directory: two agents must not write one set of maps.
fn lock_pins(pin_path: &Path) -> Result<Flock<File>> {
    let pins = crate::dataplane::PinDirectory::open(pin_path)?;
    let directory = File::open(pins.path())
        .with_context(|| format!("opening the pin directory {}", pins.path().display()))?;
    Flock::lock(directory, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
        let what = format!(
            "another adc agent holds the pin directory {} ({errno}): stop it first, or give this one its own dataplane.pin_path",
            pin_path.display()
        );
        ApiError::new(ErrorCode::Conflict, what).into()
    })
}

/// Gives every interface an id: the one it has in adopted tables (flows refer to it), else a free one.
fn number_interfaces(
    agent: &Agent,
    facts: &BTreeMap<String, InterfaceFacts>,
) -> Result<BTreeMap<String, Interface>> {
    let names = &agent.config.dataplane.interfaces;
    if names.len() >= MAX_INTERFACES as usize {
        return Err(DataplaneError::TooManyInterfaces(names.len()).into());
    }
    let known = agent.dataplane.interfaces.ids()?;
    let mut taken: BTreeSet<InterfaceId> = known.values().copied().collect();
    let mut numbered = BTreeMap::new();
    for name in names {
        let facts = facts
            .get(name)
            .cloned()
            .ok_or_else(|| DataplaneError::Attach {
                interface: name.clone(),
                reason: "there is no such interface: correct dataplane.interfaces, or create it"
                    .into(),
            })?;
        let free = || {
            (1..MAX_INTERFACES as u16)
                .map(InterfaceId)
                .find(|id| !taken.contains(id))
        };
        let id = known.get(&facts.ifindex).copied().or_else(free);
        let id = id.ok_or(DataplaneError::TooManyInterfaces(names.len()))?;
        taken.insert(id);
        numbered.insert(
            name.clone(),
            Interface {
                id,
                facts: Some(facts),
                mode: AttachMode::Native,
                adopted: false,
            },
        );
    }
    Ok(numbered)
}

fn attach(agent: &mut Agent) -> Result<()> {
    let mode = agent.config.dataplane.attach;
    for name in agent.config.dataplane.interfaces.clone() {
        let adopted = agent.dataplane.attach(&name, mode)?;
        tracing::info!(interface = name, ?mode, adopted, "attached");
        if let Some(interface) = agent.interfaces.get_mut(&name) {
            interface.adopted = adopted;
            interface.mode = mode;
        }
    }
    // An interface that left the configuration while no agent ran.
    for name in agent.dataplane.pins.linked_interfaces() {
        if !agent.interfaces.contains_key(&name) {
            agent.dataplane.detach(&name)?;
            tracing::info!(
                interface = name,
                "detached: it is not in dataplane.interfaces any more"
            );
        }
    }
    Ok(())
}

/// Health as the adopted rings tell it: a backend that took new flows was up. Of the others nothing is
/// known (draining looks the same), so their first probe decides.
fn seeds(agent: &Agent) -> Result<BTreeMap<TargetKey, Health>> {
    let tables = &agent.dataplane.tables;
    let observed = tables.observed();
    let mut in_rings: BTreeSet<BackendId> = BTreeSet::new();
    for service in observed.services.keys() {
        in_rings.extend(tables.ring_backends(*service)?);
    }
    let up: BTreeSet<SocketAddr> = observed
        .backends
        .iter()
        .filter(|(id, _)| in_rings.contains(id))
        .map(|(_, entry)| SocketAddr::new(entry.address.into(), entry.port.host()))
        .collect();
    let mut seeds = BTreeMap::new();
    for (pool, members) in &agent.config.pools {
        for backend in members.backends.values() {
            let address =
                SocketAddr::new(backend.address.ip().to_canonical(), backend.address.port());
            if up.contains(&address) {
                let key = TargetKey {
                    pool: pool.clone(),
                    backend: backend.address,
                };
                seeds.insert(key, Health::Up);
            }
        }
    }
    Ok(seeds)
}
