//! The agent: owns all state, reacts to health, next hops, people and signals.
//!
//! One [`state::Agent`] behind one lock. Every change, wherever it comes from, ends in
//! [`state::Agent::replan`]: desired tables, diff against what the maps hold, apply. Requests of the
//! control API ([`handle::Handle`]) take the same lock, so nobody sees a half-made change.

mod configure;
mod flow_view;
mod handle;
mod start;
mod state;
mod view;

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Mutex, mpsc, watch},
    time::{Instant, MissedTickBehavior, interval_at},
};

use crate::{
    api::server::Server, cli::RunOptions, health::HealthEvent, neighbours::NextHopEvent,
    telemetry::MetricsServer,
};
use handle::Handle;
use state::Agent;

/// How often flows are swept: expiry is also checked on read, so this bounds memory, not correctness.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Health events that wait while a plan is applied; the checker never loses the last state of a backend.
const HEALTH_EVENTS: usize = 1024;

/// Runs the agent until SIGTERM or SIGINT, then detaches and removes everything it made.
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
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

async fn serve(options: &RunOptions) -> Result<()> {
    // Signals first: one that arrives during the start must not kill a half-started agent.
    let catch = |kind, name| signal(kind).with_context(|| format!("catching {name}"));
    let (health_events, health) = mpsc::channel(HEALTH_EVENTS);
    let (started, hops) = start::start(options, health_events).await?;
    let inputs = Inputs {
        health,
        hops,
        hangup: catch(SignalKind::hangup(), "SIGHUP")?,
        terminate: catch(SignalKind::terminate(), "SIGTERM")?,
        interrupt: catch(SignalKind::interrupt(), "SIGINT")?,
    };
    let start::Started {
        agent,
        server,
        metrics,
    } = started;
    let agent = Arc::new(Mutex::new(agent));
    let (stop, stopped) = watch::channel(false);
    let servers = spawn_servers(&agent, server, metrics, &stopped);
    events(&agent, inputs).await;
    // Nobody may start a change that the dismantling would race with.
    stop.send_replace(true);
    servers.await;
    let agent = Arc::into_inner(agent).context("stopping: a request still holds the agent")?;
    agent.into_inner().shut_down().await
}

/// Starts the API and metrics servers; the future ends when both have.
fn spawn_servers(
    agent: &Arc<Mutex<Agent>>,
    server: Server,
    metrics: Option<MetricsServer>,
    stopped: &watch::Receiver<bool>,
) -> impl Future<Output = ()> + use<> {
    let wait = |mut stopped: watch::Receiver<bool>| async move {
        drop(stopped.wait_for(|stop| *stop).await);
    };
    let handle = Arc::new(Handle::new(Arc::clone(agent)));
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
async fn events(agent: &Mutex<Agent>, mut inputs: Inputs) {
    let mut sweep = interval_at(Instant::now() + SWEEP_INTERVAL, SWEEP_INTERVAL);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(event) = inputs.health.recv() => {
                // What else is waiting joins the same plan.
                let mut batch = vec![event];
                while let Ok(event) = inputs.health.try_recv() {
                    batch.push(event);
                }
                agent.lock().await.on_health(batch);
            }
            Some(event) = inputs.hops.recv() => agent.lock().await.on_next_hop(event),
            _ = sweep.tick() => agent.lock().await.on_sweep(),
            _ = inputs.hangup.recv() => agent.lock().await.reload_file().await,
            _ = inputs.terminate.recv() => {
                tracing::info!("SIGTERM: detaching and stopping");
                return;
            }
            _ = inputs.interrupt.recv() => {
                tracing::info!("SIGINT: detaching and stopping");
                return;
            }
        }
    }
}
