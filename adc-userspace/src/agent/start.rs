//! From nothing, or from what an earlier agent left, to forwarding.

use std::{
    collections::BTreeMap,
    fs::File,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use anyhow::Result;
use nix::{fcntl::Flock, net::if_::if_nametoindex};
use tokio::{sync::mpsc, task::block_in_place};

use super::{
    addresses::Carried,
    adopt::{self, KnownIds},
    announce::Announcer,
    challenges::Challenger,
    configure,
    interfaces::Interface,
    locks,
    monitors::{self, Monitors},
    open_files,
    snat::Refusals,
    state::{Agent, Troubles},
};
use crate::{
    api::{
        proto::{ApiError, Timestamp},
        server::Server,
        socket_path,
    },
    cli::RunOptions,
    config::{
        self,
        edit::{EditProblem, Edits, StateFault},
    },
    dataplane::{Dataplane, DataplaneError, PinDirectory, SweepReport},
    ha::HaControl,
    health::{Checker, DEFAULT_PROBES_IN_FLIGHT, HealthEvent},
    model::Config,
    neighbours::{InterfaceFacts, NextHopEvent, Resolver},
    telemetry::MetricsServer,
};

/// How long a start waits for next hops; a neighbour that is there answers within a round trip.
const FIRST_HOPS: Duration = Duration::from_secs(1);

/// Most probes at once, however many files may be open: enough for 8 000 dead backends checked every two seconds with a
/// timeout of one.
const MOST_PROBES: usize = 4096;

/// How often it looks.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A running agent and its bound control socket.
pub(super) struct Started {
    pub(super) agent: Agent,
    pub(super) server: Server,
    pub(super) metrics: Option<MetricsServer>,
}

/// What was read and locked before anything is touched.
struct Prepared {
    file: Config,
    edits: Edits,
    config: Config,
    edit_problems: Vec<EditProblem>,
    monitors: Monitors,
    /// Most probes at once.
    probes: usize,
    locks: [Flock<File>; 2],
}

/// Brings the agent up. On an error what this start made is gone again; if an earlier agent's pins were there, they
/// are as they were: forwarding goes on for the next try.
pub(super) async fn start(
    options: &RunOptions,
    health_events: mpsc::Sender<HealthEvent>,
    ha: HaControl,
) -> Result<(Started, mpsc::Receiver<NextHopEvent>)> {
    let open_files = open_files::allow();
    let mut file = config::load(&options.config)?;
    if let Some(mode) = options.mode {
        file.dataplane.attach = mode;
    }
    let edits = load_edits(&file.node.state_dir)?;
    let applied = edits.apply(&file);
    for problem in &applied.problems {
        tracing::warn!("{problem}");
    }
    let config = applied.config;
    let monitors = monitors::ready(&config.monitors, &options.config)?;
    // The locks are what makes this *the* agent of the node; nobody's socket, maps or addresses are touched before.
    let run_lock = locks::run_dir(&config.node.run_dir)?;
    let server = Server::bind(&socket_path(&config.node.run_dir))?;
    let metrics = match config.telemetry.listen {
        Some(address) => Some(MetricsServer::bind(address)?),
        None => None,
    };
    let pins = PinDirectory::open(&config.dataplane.pin_path)?;
    let pin_lock = locks::pins(&pins)?;
    let _earlier_lock = locks::earlier_pins(&pins)?;
    let fresh = pins.is_empty() && pins.earlier().is_none();
    let prepared = Prepared {
        file,
        edits,
        config,
        edit_problems: applied.problems,
        monitors,
        // A quarter, so that maps, rings, connections and clients never lack any.
        probes: (open_files / 4).clamp(DEFAULT_PROBES_IN_FLIGHT, MOST_PROBES),
        locks: [run_lock, pin_lock],
    };
    match bring_up(options, prepared, fresh, (health_events, ha)).await {
        Ok((agent, hops)) => Ok((
            Started {
                agent,
                server,
                metrics,
            },
            hops,
        )),
        Err(error) => {
            // No VIP is up yet: they come last.
            let cleaned = if fresh {
                pins.remove_all()
            } else {
                Dataplane::give_migration_up(&pins)
            };
            if let Err(left) = cleaned {
                tracing::warn!("cleaning up after the failed start: {left}");
            }
            Err(error)
        }
    }
}

async fn bring_up(
    options: &RunOptions,
    prepared: Prepared,
    fresh: bool,
    (health_events, ha): (mpsc::Sender<HealthEvent>, HaControl),
) -> Result<(Agent, mpsc::Receiver<NextHopEvent>)> {
    let Prepared {
        file,
        edits,
        config,
        edit_problems,
        monitors,
        probes,
        locks,
    } = prepared;
    let (resolver, hops) = Resolver::start(config.dataplane.interfaces.clone()).await?;
    let facts = resolver.snapshot().interfaces;
    if fresh {
        find_missing(&config, &facts)?;
    }
    let (dataplane, report) = Dataplane::load(
        &config.dataplane.pin_path,
        &config.dataplane.limits,
        config.dataplane.self_check,
        config.ha.sync.is_some(),
    )?;
    let interfaces = interfaces(&config, &facts, &dataplane)?;
    let carried = Carried::on(&config.dataplane.interfaces);
    let started = Timestamp(SystemTime::now());
    let mut agent = Agent {
        file,
        edits,
        config,
        monitors,
        // Absolute, as callers of the control socket name theirs.
        config_path: std::path::absolute(&options.config)
            .unwrap_or_else(|_| options.config.clone()),
        edit_problems,
        generation: 1,
        started,
        applied_at: started,
        reloaded_at: started,
        last_reload_error: None,
        mode_override: options.mode,
        log_format: options.log_format,
        dataplane,
        load_report: report,
        interfaces,
        resolver,
        hops: BTreeMap::new(),
        sources: BTreeMap::new(),
        devices: BTreeMap::new(),
        carried,
        refusals: Refusals::default(),
        obstacles: BTreeMap::new(),
        checker: Checker::following(health_events, probes, ha.sessions()),
        health: BTreeMap::new(),
        sweep: SweepReport::default(),
        swept: None,
        draining_out: Vec::new(),
        challenger: Challenger::start(),
        ha,
        announcer: Announcer::default(),
        replication: None,
        troubles: Troubles::default(),
        stopping: false,
        _locks: locks,
    };
    forward(&mut agent).await?;
    Ok((agent, hops))
}

/// Fills the tables and attaches. Empty tables are filled first: no packet meets half of them. Those of an earlier
/// agent are full, so there attaching comes first: if it fails, they are as they were.
async fn forward(agent: &mut Agent) -> Result<()> {
    let adopted = agent.load_report.adopted;
    for name in agent.config.dataplane.interfaces.clone() {
        agent.write_interface(&name)?;
    }
    agent.hops = agent.dataplane.tables.observed().hops();
    agent.sources = agent.dataplane.tables.observed().sources();
    let seeds = if adopted {
        monitors::seeds(agent)
    } else {
        BTreeMap::new()
    };
    agent.watch_health(&seeds);
    await_next_hops(agent).await;
    agent.sweep_now()?;
    if adopted {
        let fits = agent.plan_for(&agent.config, true);
        fits.map_err(|error| configure::misfit(&error))?;
        block_in_place(|| agent.dataplane.hand_over())?;
        attach_all(agent)?;
    }
    agent.replan_counted()?;
    if !adopted {
        attach_all(agent)?;
    }
    detach_others(agent)?;
    agent.dataplane.finish_migration()?;
    // What an earlier agent left goes on without other nodes; an agent that made everything itself does not begin.
    let synced = agent.start_sync();
    let grouped = agent.configure_ha().await.map_err(Into::into);
    for error in [synced.err(), grouped.err()].into_iter().flatten() {
        if !adopted {
            agent.shut_down().await?;
            return Err(error);
        }
        tracing::error!("{error:#}");
    }
    // Roles are known now, and with them the flows that are this node's to tell.
    agent.publish_names();
    agent.reconcile_addresses().await;
    tracing::info!(
        services = agent.config.services.len(),
        interfaces = agent.interfaces.len(),
        "forwarding: {}",
        if adopted {
            "adopted what an earlier agent left"
        } else {
            "started afresh"
        }
    );
    for line in &agent.load_report.kept_capacities {
        tracing::warn!("{line}");
    }
    Ok(())
}

/// Refuses a fresh start without an interface that the configuration names.
fn find_missing(config: &Config, facts: &BTreeMap<String, InterfaceFacts>) -> Result<()> {
    let missing = |interface: &String, key| DataplaneError::Attach {
        interface: interface.clone(),
        reason: format!("there is no such interface: correct {key}, or create it"),
    };
    let interfaces = &config.dataplane.interfaces;
    if let Some(name) = interfaces.iter().find(|name| !facts.contains_key(*name)) {
        return Err(missing(name, "dataplane.interfaces").into());
    }
    match &config.dataplane.vip_interface {
        Some(name) if if_nametoindex(name.as_str()).is_err() => {
            Err(missing(name, "dataplane.vip_interface").into())
        }
        Some(_) | None => Ok(()),
    }
}

/// Every configured interface with its id. One that is gone is tolerated if an earlier agent knew it: traffic over
/// the others goes on, and needs its health checks.
fn interfaces(
    config: &Config,
    facts: &BTreeMap<String, InterfaceFacts>,
    dataplane: &Dataplane,
) -> Result<BTreeMap<String, Interface>> {
    let known = KnownIds {
        by_name: dataplane.pins.interface_ids(),
        by_index: dataplane.interfaces.ids()?,
    };
    let names = &config.dataplane.interfaces;
    let typed_wrong =
        |name: &&String| !facts.contains_key(*name) && !known.by_name.contains_key(*name);
    if let Some(name) = names.iter().find(typed_wrong) {
        return Err(DataplaneError::Attach {
            interface: name.clone(),
            reason: "there is no such interface: correct dataplane.interfaces, or create it".into(),
        }
        .into());
    }
    let index_of = |name: &str| facts.get(name).map(|facts| facts.ifindex);
    let ids = adopt::number_interfaces(names, index_of, &known)?;
    let interfaces = ids.into_iter().map(|(name, id)| {
        let interface = Interface {
            id,
            facts: facts.get(&name).cloned(),
            mode: config.dataplane.attach,
            adopted: false,
            // The keeper may go on with what it was told before.
            routers: dataplane.interfaces.routers(id)?,
            trouble: None,
        };
        Ok((name, interface))
    });
    interfaces.collect()
}

/// Waits until every backend has a next hop, or for a moment if some have none: an agent that says it forwards
/// should, and rings are not built twice.
async fn await_next_hops(agent: &mut Agent) {
    let wanted = agent.backend_addresses();
    agent.resolver.want(wanted.clone());
    let deadline = Instant::now() + FIRST_HOPS;
    loop {
        let mut known = agent.resolver.snapshot().hops;
        // What has none now may have one in a moment; if not, the first events say so.
        known.retain(|_, resolution| resolution.hop().is_some());
        agent.note_hops(known);
        let missing = wanted
            .iter()
            .any(|address| !agent.hops.contains_key(address));
        if !missing || Instant::now() >= deadline {
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Attaches to every interface that exists; if one fails, detaches from those that nobody was attached to before.
fn attach_all(agent: &mut Agent) -> Result<()> {
    let exists = |(_, interface): &(&String, &Interface)| interface.facts.is_some();
    let present = agent.interfaces.iter().filter(exists);
    let names: Vec<String> = present.map(|(name, _)| name.clone()).collect();
    for name in names {
        if let Err(error) = agent.attach(&name) {
            let ours: Vec<String> = agent
                .dataplane
                .attachments
                .iter()
                .map(|(name, _)| name.to_owned())
                .filter(|name| {
                    !agent
                        .interfaces
                        .get(name)
                        .is_some_and(|known| known.adopted)
                })
                .collect();
            for name in ours {
                agent.dataplane.detach(&name)?;
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Interfaces that left the configuration while no agent ran.
fn detach_others(agent: &mut Agent) -> Result<()> {
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

fn load_edits(state_dir: &Path) -> Result<Edits> {
    Edits::load(state_dir).map_err(|error| match error.fault {
        // Trying again can not help: somebody has to look at the file.
        StateFault::Damaged(_) | StateFault::Version(_) => {
            ApiError::invalid_config(error.to_string(), Vec::new()).into()
        }
        StateFault::Read(_) | StateFault::Write(_) => error.into(),
    })
}
