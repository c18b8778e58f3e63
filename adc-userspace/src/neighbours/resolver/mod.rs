//! The task that keeps next hops fresh.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use super::{
    InterfaceFacts, NeighbourError, Resolution,
    kernel::Kernel,
    monitor::{Heard, Monitor},
    table::{Changes, Table},
};

/// Route changes come in bursts; they are looked up together, this long after the first.
const ROUTE_DELAY: Duration = Duration::from_millis(20);

/// How often neighbours in need are looked at.
const ASK_TICK: Duration = Duration::from_millis(250);

/// Questions per step: more neighbours than this at once wait for the next.
const ASK_LIMIT: usize = 128;

/// Pause before a full dump is tried again, and at least between two dumps.
const RESYNC_PAUSE: Duration = Duration::from_secs(1);

/// Events that wait for the agent; when it is slower, changes queue up (and are merged) on our side.
const EVENTS: usize = 64;

/// Something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextHopEvent {
    /// New resolutions of wanted backend addresses; those not named are as before.
    Hops(BTreeMap<IpAddr, Resolution>),
    /// New facts about an interface that adc is attached to.
    Interface {
        /// Its name.
        name: String,
        /// `None` = it is gone. Facts with another ifindex than before = deleted and created again.
        facts: Option<InterfaceFacts>,
    },
}

/// All that is known at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Resolution of every wanted backend address that has been looked at.
    pub hops: BTreeMap<IpAddr, Resolution>,
    /// The attached interfaces that exist, by name.
    pub interfaces: BTreeMap<String, InterfaceFacts>,
}

/// Handle to the resolver's task, which ends when the handle is dropped.
#[derive(Debug)]
pub struct Resolver {
    wanted: watch::Sender<BTreeSet<IpAddr>>,
    snapshot: watch::Receiver<Snapshot>,
}

impl Resolver {
    /// Starts following the kernel, in the calling thread's network namespace.
    ///
    /// `interfaces` are those that adc is attached to. When this returns, [`Self::snapshot`] knows those that
    /// exist; only later changes come as events.
    pub async fn start(
        interfaces: Vec<String>,
    ) -> Result<(Self, mpsc::Receiver<NextHopEvent>), NeighbourError> {
        let kernel = Kernel::connect()?;
        // Subscribed before the dump, so that nothing falls between the two.
        let monitor = Monitor::open()?;
        let (wanted, wanted_rx) = watch::channel(BTreeSet::new());
        let (snapshot, snapshot_rx) = watch::channel(Snapshot::default());
        let (events, events_rx) = mpsc::channel(EVENTS);
        let mut task = Task {
            kernel,
            monitor,
            table: Table::new(interfaces),
            wanted: wanted_rx,
            snapshot,
            events,
            routes_due: None,
            routes_not_before: Instant::now(),
            resync_due: None,
            resync_not_before: Instant::now(),
        };
        task.resync().await?;
        let changes = task.table.take_changes();
        task.record(&changes);
        tokio::spawn(task.run());
        let resolver = Self {
            wanted,
            snapshot: snapshot_rx,
        };
        Ok((resolver, events_rx))
    }

    /// Sets the backend addresses to keep resolved; replaces the set before.
    pub fn want(&self, addresses: BTreeSet<IpAddr>) {
        self.wanted.send_if_modified(|wanted| {
            let modified = *wanted != addresses;
            *wanted = addresses;
            modified
        });
    }

    /// What is known now.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.borrow().clone()
    }
}

struct Task {
    kernel: Kernel,
    monitor: Monitor,
    table: Table,
    wanted: watch::Receiver<BTreeSet<IpAddr>>,
    snapshot: watch::Sender<Snapshot>,
    events: mpsc::Sender<NextHopEvent>,
    routes_due: Option<Instant>,
    /// While routes flap, look-ups take at most half of this task's time.
    routes_not_before: Instant,
    resync_due: Option<Instant>,
    resync_not_before: Instant,
}

/// Nobody listens any more.
struct Stopped;

impl Task {
    async fn run(mut self) {
        while self.turn().await.is_ok() {}
        debug!("next-hop resolver stopped");
    }

    /// Waits for one thing to happen and deals with all that follows from it.
    async fn turn(&mut self) -> Result<(), Stopped> {
        let wake = self.wake_in();
        tokio::select! {
            heard = self.monitor.next() => self.hear(heard).await,
            changed = self.wanted.changed() => {
                changed.map_err(|_closed| Stopped)?;
                let wanted = self.wanted.borrow_and_update().clone();
                self.table.want(&wanted);
                self.snapshot.send_modify(|known| known.hops.retain(|ip, _| wanted.contains(ip)));
                // Somebody waits for these: no delay.
                self.routes_due = Some(Instant::now());
            }
            () = self.events.closed() => return Err(Stopped),
            () = tokio::time::sleep(wake) => {}
        }
        self.follow_up().await
    }

    fn wake_in(&self) -> Duration {
        let now = Instant::now();
        let until = |at: Instant| at.saturating_duration_since(now);
        let ask = self.table.has_attention().then_some(ASK_TICK);
        let dues = [self.routes_due.map(until), self.resync_due.map(until), ask];
        // With nothing due any long time will do.
        let idle = Duration::from_hours(1);
        dues.into_iter().flatten().min().unwrap_or(idle)
    }

    async fn hear(&mut self, heard: io::Result<Heard>) {
        let now = Instant::now();
        match heard {
            Ok(Heard::Facts(facts)) => facts.into_iter().for_each(|fact| self.table.apply(fact)),
            Ok(Heard::Lost(why)) => {
                info!(why, "network changes were lost; listing everything again");
                self.resync_due.get_or_insert(self.resync_not_before);
            }
            Err(error) => {
                warn!(%error, "following network changes failed; subscribing again");
                tokio::time::sleep(RESYNC_PAUSE).await;
                self.resync_due.get_or_insert(now);
            }
        }
        if self.table.has_unrouted() {
            let due = self.routes_not_before.max(now + ROUTE_DELAY);
            self.routes_due.get_or_insert(due);
        }
    }

    async fn follow_up(&mut self) -> Result<(), Stopped> {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= Instant::now());
        if due(self.resync_due) {
            self.resync_not_before = Instant::now() + RESYNC_PAUSE;
            self.resync_due = None;
            if let Err(error) = self.start_over().await {
                warn!(%error, "listing links and neighbours failed; will try again");
                self.resync_due = Some(self.resync_not_before);
            }
        }
        if due(self.routes_due) {
            self.look_up_routes().await;
        }
        self.ask().await;
        self.publish().await
    }

    /// A socket that overflowed drops changes without a word until it has been read empty (the kernel reports
    /// one overflow per congestion), so a fresh one takes its place before the dump.
    async fn start_over(&mut self) -> Result<(), NeighbourError> {
        self.monitor = Monitor::open()?;
        self.resync().await
    }

    async fn resync(&mut self) -> Result<(), NeighbourError> {
        let links = self.kernel.links().await?;
        let neighbours = self.kernel.neighbours().await?;
        self.table.resync(links, neighbours);
        self.routes_due = Some(Instant::now());
        Ok(())
    }

    async fn look_up_routes(&mut self) {
        let began = Instant::now();
        let answers = self.kernel.routes(self.table.take_unrouted()).await;
        for (ip, answer) in answers {
            self.table.set_route(ip, answer);
        }
        self.routes_due = None;
        self.routes_not_before = Instant::now() + began.elapsed();
    }

    async fn ask(&mut self) {
        for question in self.table.questions(Instant::now(), ASK_LIMIT) {
            if let Err(error) = self.kernel.ask(question).await {
                // It is asked again after a while; the obstacle shown meanwhile is the neighbour's state.
                debug!(%error, "asking for a neighbour");
            }
        }
    }

    fn record(&self, changes: &Changes) {
        if changes.hops.is_empty() && changes.interfaces.is_empty() {
            return;
        }
        self.snapshot.send_modify(|known| {
            known.hops.extend(changes.hops.clone());
            for (name, facts) in &changes.interfaces {
                match facts {
                    Some(facts) => known.interfaces.insert(name.clone(), facts.clone()),
                    None => known.interfaces.remove(name),
                };
            }
        });
    }

    async fn publish(&mut self) -> Result<(), Stopped> {
        let changes = self.table.take_changes();
        self.record(&changes);
        let interfaces = changes
            .interfaces
            .into_iter()
            .map(|(name, facts)| NextHopEvent::Interface { name, facts });
        let hops = (!changes.hops.is_empty()).then_some(NextHopEvent::Hops(changes.hops));
        for event in interfaces.chain(hops) {
            self.events.send(event).await.map_err(|_closed| Stopped)?;
        }
        Ok(())
    }
}
