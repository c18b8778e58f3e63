//! The heartbeat to the other node of a pair: started with the agent, and told every second what the agent says of this node.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result};
use tokio::{
    sync::{Mutex, mpsc, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};

use super::state::Agent;
use crate::{
    api::proto::{HeartbeatPathView, HeartbeatView, Timestamp},
    ha::heartbeat::{
        alike::config_hash,
        boot,
        counters::Counts,
        key::Key,
        packet::NodeId,
        refusal::Refusal,
        runner::{Event, Heartbeats, Setup, Statement, Watch},
    },
    model::{Config, HeartbeatPath, HeartbeatSettings},
};

/// How often the agent says that it works; a third of the heartbeat's patience with it.
const SAY: Duration = Duration::from_secs(1);

/// Events that wait for the agent.
const EVENTS: usize = 256;

/// Between two complaints about the same kind of datagram.
const COMPLAINT: Duration = Duration::from_mins(1);

/// Starts it, if a peer is configured; the task ends, and the heartbeat with it, when the agent stops.
///
/// # Errors
/// The key is missing or open to others, or the thread can not be what its profile wants. An agent that made everything
/// itself is shut down then; what an earlier one left goes on without it.
pub(super) async fn start(
    agent: &Arc<Mutex<Agent>>,
    stopped: watch::Receiver<bool>,
) -> Result<Option<JoinHandle<()>>> {
    let mut locked = agent.lock().await;
    let started = match prepare(&locked.config) {
        Ok(None) => return Ok(None),
        Ok(Some((setup, view))) => Follower::start(setup, view),
        Err(error) => Err(error),
    };
    match started {
        Ok((follower, events)) => {
            let task = follower.follow(Arc::clone(agent), events, stopped);
            Ok(Some(tokio::spawn(task)))
        }
        Err(error) if locked.load_report.adopted => Err(error),
        Err(error) => locked.shut_down().await.and(Err(error)),
    }
}

/// Reads the key and begins a life.
fn prepare(config: &Config) -> Result<Option<(Setup, HeartbeatView)>> {
    let Some(settings) = &config.ha.heartbeat else {
        return Ok(None);
    };
    let key = Key::load(&settings.key_file)?;
    let boot = boot::begin(&config.node.state_dir)?;
    let setup = Setup {
        own: NodeId::of(&config.node.name),
        peer: NodeId::of(&settings.peer),
        boot,
        key,
        timing: settings.profile.timing(),
        real_time: settings.profile.is_real_time(),
        paths: settings.paths.clone(),
        port: settings.port,
        config_hash: config_hash(config),
    };
    Ok(Some((setup, unheard(settings))))
}

/// Before anything was heard.
fn unheard(settings: &HeartbeatSettings) -> HeartbeatView {
    let path = |path: &HeartbeatPath| HeartbeatPathView {
        interface: path.interface.clone(),
        address: path.peer,
        heard: false,
        sent: 0,
        not_sent: 0,
        received: 0,
        longest_gap_micros: 0,
    };
    HeartbeatView {
        peer: settings.peer.clone(),
        profile: settings.profile,
        heard: false,
        since: None,
        config_differs: false,
        paths: settings.paths.iter().map(path).collect(),
        refused: BTreeMap::new(),
    }
}

struct Follower {
    heartbeats: Heartbeats,
    view: HeartbeatView,
    /// Datagrams ignored when they were last complained of, and when that was.
    complaints: BTreeMap<Refusal, (u64, Instant)>,
}

impl Follower {
    fn start(setup: Setup, view: HeartbeatView) -> Result<(Self, mpsc::Receiver<Event>)> {
        let (sender, events) = mpsc::channel(EVENTS);
        let tell = move |event| sender.try_send(event).is_ok();
        let heartbeats = Heartbeats::start(setup, Watch, tell).context(
            "starting the heartbeat's thread: profile ultra needs CAP_SYS_NICE and CAP_IPC_LOCK (CapabilityBoundingSet= in the systemd unit, and RestrictRealtime=no); or choose `profile = \"fast\"`",
        )?;
        let follower = Self {
            heartbeats,
            view,
            complaints: BTreeMap::new(),
        };
        Ok((follower, events))
    }

    async fn follow(
        mut self,
        agent: Arc<Mutex<Agent>>,
        mut events: mpsc::Receiver<Event>,
        mut stopped: watch::Receiver<bool>,
    ) {
        // Without what it waits for in the end, which can not go from thread to thread.
        let stop = async move { drop(stopped.wait_for(|stop| *stop).await) };
        tokio::pin!(stop);
        let mut say = interval(SAY);
        say.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut stop => return,
                Some(event) = events.recv() => {
                    self.log(&event);
                    self.note(&event);
                    agent.lock().await.heartbeat = Some(self.view.clone());
                }
                _ = say.tick() => {
                    // An agent that can not be asked does not work, and says nothing.
                    let mut agent = agent.lock().await;
                    let data_plane_ok = agent.forwards();
                    self.heartbeats.say(Statement { data_plane_ok, ..Statement::default() });
                    let counts = self.heartbeats.counts();
                    self.count(&counts);
                    agent.heartbeat = Some(self.view.clone());
                    drop(agent);
                    self.complain(counts.refused);
                }
            }
        }
    }

    fn log(&self, event: &Event) {
        match event {
            Event::Path { path, heard } => {
                let interface = self
                    .view
                    .paths
                    .get(*path)
                    .map(|path| path.interface.as_str());
                let interface = interface.unwrap_or_default();
                if *heard {
                    tracing::info!(interface, "heartbeat: the peer is heard by this path");
                } else {
                    tracing::warn!(interface, "heartbeat: the peer is not heard by this path");
                }
            }
            Event::Peer { heard: true } => tracing::info!("heartbeat: the peer is there"),
            Event::Peer { heard: false } => {
                tracing::error!("heartbeat: the peer is silent on all paths");
            }
            Event::ConfigDiffers(true) => tracing::error!(
                "heartbeat: the peer is configured with other services, pools, monitors or profile; compare the files"
            ),
            Event::ConfigDiffers(false) => {
                tracing::info!("heartbeat: the peer is configured alike");
            }
            Event::Trouble(what) => tracing::warn!("heartbeat: {what}"),
        }
    }

    /// Keeps what an event says for whoever asks.
    fn note(&mut self, event: &Event) {
        match event {
            Event::Path { path, heard } => {
                if let Some(path) = self.view.paths.get_mut(*path) {
                    path.heard = *heard;
                }
            }
            Event::Peer { heard } => {
                self.view.heard = *heard;
                self.view.since = Some(Timestamp(SystemTime::now()));
            }
            Event::ConfigDiffers(differs) => self.view.config_differs = *differs,
            Event::Trouble(_) => {}
        }
    }

    /// Keeps the counters for whoever asks.
    fn count(&mut self, counts: &Counts) {
        for (view, counts) in self.view.paths.iter_mut().zip(&counts.paths) {
            view.sent = counts.sent;
            view.not_sent = counts.not_sent;
            view.received = counts.received;
            let gap = u64::try_from(counts.longest_gap.as_micros()).unwrap_or(u64::MAX);
            view.longest_gap_micros = view.longest_gap_micros.max(gap);
        }
        let of = |refusal: &Refusal| counts.refused.get(refusal).copied().unwrap_or(0);
        let every = Refusal::ALL.iter();
        self.view.refused = every.map(|r| (r.name().to_owned(), of(r))).collect();
    }

    /// Tells of datagrams that were ignored since it was last told.
    fn complain(&mut self, refused: BTreeMap<Refusal, u64>) {
        let now = Instant::now();
        for (refusal, count) in refused {
            let told = self.complaints.get(&refusal);
            if told.is_some_and(|(before, at)| *before == count || now - *at < COMPLAINT) {
                continue;
            }
            self.complaints.insert(refusal, (count, now));
            tracing::warn!(reason = %refusal, count, "heartbeat: datagrams were ignored");
        }
    }
}

impl Agent {
    /// Whether every interface is attached, and there.
    fn forwards(&self) -> bool {
        self.interfaces
            .values()
            .all(|interface| interface.facts.is_some() && interface.trouble.is_none())
    }
}
