//! The agent: owns all state, reacts to health, next hops, people and signals.
//!
//! One `state::Agent` behind one lock. Every change, wherever it comes from, ends in
//! `Agent::replan`: desired tables, diff against what the maps hold, apply. Requests of the
//! control API (`handle::Handle`) take the same lock, so nobody sees a half-made change.

mod addresses;
mod adopt;
mod announce;
mod capture;
mod challenges;
mod configure;
mod explain;
mod flow_view;
mod ha;
mod ha_alarms;
mod handle;
mod interfaces;
mod locks;
mod monitors;
mod open_files;
mod self_test;
mod snat;
mod start;
mod state;
mod status;
mod sweep;
mod sync;
mod view;

pub use monitors::check;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Mutex, mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, interval_at},
};

use crate::{
    api::server::Server, cli::RunOptions, ha::RoleChange, health::HealthEvent,
    neighbours::NextHopEvent, telemetry::MetricsServer,
};
use handle::Handle;
use state::Agent;

/// How often flows are swept: expiry is also checked on read, so this bounds memory, not correctness.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// How often the agent says that it works; a third of the heartbeat's patience with it.
const SAY: Duration = Duration::from_secs(1);

/// Health events that wait while a plan is applied; the checker never loses the last state of a backend.
const HEALTH_EVENTS: usize = 1024;

/// Runs the agent until SIGTERM, which leaves the data path to the next agent, or until SIGINT or `adc stop`, which detach
/// and remove everything.
pub fn run(options: &RunOptions) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the agent's runtime")?
        .block_on(serve(options))
}

/// What wakes the agent.
struct Inputs {
    health: mpsc::Receiver<HealthEvent>,
    hops: mpsc::Receiver<NextHopEvent>,
    roles: mpsc::Receiver<RoleChange>,
    stopping: mpsc::Receiver<()>,
    announce: watch::Receiver<Option<std::time::Instant>>,
    signals: Signals,
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

/// Why the agent ends.
enum End {
    /// Somebody told it to go, or to stop, which is done if it is not told so by a signal.
    Told(Ending),
    /// It can not go on: a part of it ended by itself.
    Broken(&'static str),
}

/// What becomes of the data path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It goes on, and the next agent takes it up.
    Leave,
    /// It ends.
    Stop,
}

async fn serve(options: &RunOptions) -> Result<()> {
    // Signals first: one that arrives during the start waits for its end, so that nothing half-made is left.
    let catch = |kind, name| signal(kind).with_context(|| format!("catching {name}"));
    let signals = Signals {
        hangup: catch(SignalKind::hangup(), "SIGHUP")?,
        terminate: catch(SignalKind::terminate(), "SIGTERM")?,
        interrupt: catch(SignalKind::interrupt(), "SIGINT")?,
    };
    let (health_events, health) = mpsc::channel(HEALTH_EVENTS);
    let (ha, roles) = ha::control();
    let (started, hops) = start::start(options, health_events, ha).await?;
    let (told_to_stop, stopping) = mpsc::channel(1);
    let inputs = Inputs {
        health,
        hops,
        roles,
        stopping,
        announce: started.agent.announcer.subscribe(),
        signals,
    };
    let start::Started {
        agent,
        server,
        metrics,
    } = started;
    let agent = Arc::new(Mutex::new(agent));
    let (stop, stopped) = watch::channel(false);
    let sync = sync::follow(&agent, stopped.clone()).await;
    let handle = Handle::new(Arc::clone(&agent), stopped.clone(), told_to_stop);
    let servers = spawn_servers(handle, server, metrics, &stopped);
    let ending = match events(&agent, inputs).await {
        End::Told(ending) => ending,
        // As after a crash: traffic goes on, and the next agent adopts it.
        End::Broken(what) => {
            bail!("{what} ended unexpectedly; leaving the data path to the next agent")
        }
    };
    match ending {
        Ending::Leave => agent.lock().await.leave(),
        // Routers first: until they have learnt of it, packets come and are served.
        Ending::Stop => {
            let drain = agent.lock().await.withdraw().await;
            tokio::time::sleep(drain).await;
        }
    }
    stop.send_replace(true);
    servers.await;
    if let Some(task) = sync {
        // It only ends; a panic in it was printed.
        drop(task.await);
    }
    match ending {
        Ending::Leave => Ok(()),
        // A change that outlived its connection ends first; one that still waits is refused after this.
        Ending::Stop => agent.lock().await.shut_down().await,
    }
}

/// Starts the API and metrics servers; the future ends when both have.
fn spawn_servers(
    handle: Handle,
    server: Server,
    metrics: Option<MetricsServer>,
    stopped: &watch::Receiver<bool>,
) -> impl Future<Output = ()> + use<> {
    let wait = |mut stopped: watch::Receiver<bool>| async move {
        drop(stopped.wait_for(|stop| *stop).await);
    };
    let handle = Arc::new(handle);
    let api = tokio::spawn(server.serve(Arc::clone(&handle), wait(stopped.clone())));
    let metrics = metrics.map(|metrics| tokio::spawn(metrics.serve(handle, wait(stopped.clone()))));
    async move {
        drop(api.await);
        if let Some(metrics) = metrics {
            drop(metrics.await);
        }
    }
}

/// Reacts until told to stop.
async fn events(agent: &Mutex<Agent>, mut inputs: Inputs) -> End {
    let Signals {
        hangup,
        terminate,
        interrupt,
    } = &mut inputs.signals;
    let mut sweep = interval_at(Instant::now() + SWEEP_INTERVAL, SWEEP_INTERVAL);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut say = interval(SAY);
    say.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = inputs.health.recv() => {
                let Some(event) = event else {
                    return End::Broken("the health checker");
                };
                // What else is waiting joins the same plan.
                let mut batch = vec![event];
                while let Ok(event) = inputs.health.try_recv() {
                    batch.push(event);
                }
                agent.lock().await.on_health(batch);
            }
            event = inputs.hops.recv() => {
                let Some(event) = event else {
                    return End::Broken("the next-hop resolver");
                };
                agent.lock().await.on_next_hop(event).await;
            }
            Some(change) = inputs.roles.recv() => agent.lock().await.on_role(&change),
            Some(()) = inputs.stopping.recv() => return End::Told(Ending::Stop),
            () = announce::due(&mut inputs.announce) => agent.lock().await.announce().await,
            _ = sweep.tick() => agent.lock().await.on_sweep().await,
            _ = say.tick() => agent.lock().await.test_data_plane(),
            _ = hangup.recv() => agent.lock().await.reload_file().await,
            _ = terminate.recv() => {
                tracing::info!("SIGTERM: leaving the data path to the next agent");
                return End::Told(Ending::Leave);
            }
            _ = interrupt.recv() => {
                tracing::info!("SIGINT: detaching and stopping");
                return End::Told(Ending::Stop);
            }
        }
    }
}
