//! The HA thread: everything that happens to groups, one thing after the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{self, MissedTickBehavior},
};

use super::{
    announce::Bursts,
    control::{Command, RoleHook, Shared},
    following,
    heartbeat::runner::Statement,
    keeper::Settings,
    leases::Leases,
    machine::Machine,
    pair::{Pair, PairEvent},
    ports::{Arrived, Ports},
    router::{Router, scripts},
    script::{self, Verdict},
    tracking::Known,
    vrrp::{Family, Input, Order},
};
use crate::{
    api::proto::{ApiError, ErrorCode, HaView},
    model::{GroupName, Ha},
    neighbours::{LocalWatch, virtual_mac::VirtualDevice},
};

/// How often what is shown is made anew, and devices are looked at although nothing was said of them.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Adverts that are handled before a timer that is due.
const MOST_FIRST: usize = 256;

/// Events of the heartbeat that wait; a decision that finds no room is caught up with.
const PAIR_EVENTS: usize = 256;

/// Verdicts of scripts that wait.
const VERDICTS: usize = 64;

/// All that the thread has.
pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    pub(super) hook: RoleHook,
    pub(super) leases: Leases,
    pub(super) pair: Option<Pair>,
    /// What the agent last said.
    pub(super) statement: Option<Statement>,
    pub(super) pair_events: mpsc::Sender<PairEvent>,
    pub(super) routers: BTreeMap<GroupName, Router>,
    pub(super) ports: Ports,
    pub(super) known: Known,
    pub(super) bursts: Bursts,
    /// Devices with virtual MACs that this process has made, or found and told all that they must do.
    pub(super) made: BTreeSet<VirtualDevice>,
    /// What it was told.
    pub(super) settings: Settings,
    reports: mpsc::Sender<Verdict>,
    generation: u64,
}

impl Task {
    /// Runs until told to stop, or until nobody is left to tell.
    pub(super) async fn run(
        shared: Arc<Shared>,
        hook: RoleHook,
        mut commands: mpsc::Receiver<Command>,
    ) {
        let (reports, mut verdicts) = mpsc::channel(VERDICTS);
        let (ports, mut arrivals) = Ports::new();
        let (pair_events, mut from_pair) = mpsc::channel(PAIR_EVENTS);
        let mut watch = Self::open_watch();
        let mut sessions = shared.bfd.view();
        let mut task = Self {
            shared,
            hook,
            leases: Leases::default(),
            pair: None,
            statement: None,
            pair_events,
            routers: BTreeMap::new(),
            ports,
            known: Known::default(),
            bursts: Bursts::default(),
            made: BTreeSet::new(),
            settings: Settings::default(),
            reports,
            generation: 0,
        };
        let mut again = time::interval(LOOK_AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let deadline = task.deadline();
            // Each in its turn: neither a flood of adverts nor of commands keeps ours from going out.
            tokio::select! {
                Some(arrived) = arrivals.recv() => task.arrived(arrived).await,
                () = until(deadline) => {
                    // If we are late, what came meanwhile comes first: an active node may only have been unheard.
                    tokio::task::yield_now().await;
                    tokio::task::yield_now().await;
                    for _ in 0..MOST_FIRST {
                        let Ok(arrived) = arrivals.try_recv() else {
                            break;
                        };
                        task.arrived(arrived).await;
                    }
                    task.timers().await;
                }
                command = commands.recv() => match command {
                    None => return,
                    Some(Command::Stop(reply)) => {
                        task.stop_all().await;
                        answer(reply);
                        return;
                    }
                    Some(command) => task.command(command, watch.as_ref()).await,
                },
                () = following::said(&mut sessions) => task.sessions_changed().await,
                () = changed(&mut watch) => task.look(watch.as_ref()).await,
                Some(event) = from_pair.recv() => task.paired(event).await,
                Some(verdict) = verdicts.recv() => task.verdict(verdict).await,
                _ = again.tick() => {
                    if watch.is_none() {
                        watch = Self::open_watch();
                    }
                    task.look(watch.as_ref()).await;
                    task.catch_up().await;
                    task.publish();
                }
            }
        }
    }

    fn open_watch() -> Option<LocalWatch> {
        let opened = LocalWatch::open();
        opened
            .inspect_err(|error| tracing::error!("{error}; trying again"))
            .ok()
    }

    fn deadline(&self) -> Option<Instant> {
        let routers = self.routers.values();
        routers.filter_map(|router| self.due(router)).min()
    }

    async fn timers(&mut self) {
        let now = Instant::now();
        let due = self
            .routers
            .iter()
            .filter(|(_, router)| self.due(router).is_some_and(|due| due <= now));
        let due: Vec<_> = due.map(|(name, _)| name.clone()).collect();
        for name in due {
            self.step(&name, Input::Timer).await;
        }
    }

    async fn arrived(&mut self, arrived: Arrived) {
        let Arrived { interface, packet } = arrived;
        // The second byte is the virtual router id in every version; what is too short for one is nobody's.
        let vrid = packet.payload.get(1).copied();
        let of = |router: &&mut Router| {
            router.group.interface == interface && Some(router.group.vrid) == vrid
        };
        let family = Family::of(packet.envelope.source);
        let Some(router) = self.routers.values_mut().find(of) else {
            self.ports.strangers.note(&interface, &packet);
            return;
        };
        if !router.spoken().contains(&family) {
            self.ports.strangers.note(&interface, &packet);
            return;
        }
        let input = router.receive(Instant::now(), &packet.envelope, &packet.payload);
        if let Some(input) = input {
            let name = router.name.clone();
            self.step(&name, input).await;
        }
    }

    async fn command(&mut self, command: Command, watch: Option<&LocalWatch>) {
        match command {
            Command::Configure(settings, reply) => {
                self.leases.reopen(&settings.node.pins);
                self.follow_sessions(&settings);
                let paired = self.pair_with(&settings).await;
                let new = self.configure(settings.ha.clone()).await;
                self.write_leases();
                self.take_settings(*settings);
                // Facts before the start, so that it does not begin with a fault that is none.
                self.look(watch).await;
                for name in new {
                    let resume = self.routers.get(&name);
                    let resume = resume.is_some_and(|r| r.has_addresses(&self.known.devices));
                    self.step(&name, Input::Started { resume }).await;
                }
                self.publish();
                // Who asked may have gone.
                reply.send(paired).ok();
            }
            Command::Say(statement) => self.say(statement),
            Command::Pools(pools) => {
                self.known.pools = pools;
                self.judge_all().await;
            }
            Command::SelfTest(found) => {
                self.known.self_test = Some(found);
                self.judge_all().await;
            }
            Command::Order(name, order, reply) => {
                let done = self.order(&name, order).await;
                self.publish();
                // Who asked may have gone.
                reply.send(done).ok();
            }
            // Who asked may have gone.
            Command::Save(reply) => drop(reply.send(self.save())),
            Command::Restore(saved) => {
                self.restore(*saved).await;
                self.look(watch).await;
                self.publish();
            }
            Command::Publish(reply) | Command::Stop(reply) => {
                self.shared.bfd.publish();
                self.publish();
                answer(reply);
            }
        }
    }

    /// Stops, changes and makes groups; gives the new ones, which are still to be started.
    async fn configure(&mut self, ha: Ha) -> Vec<GroupName> {
        let docket = self.pair.as_ref().map(|pair| Arc::clone(&pair.docket));
        let stays = |router: &Router| {
            let wanted = ha.groups.get(&router.name);
            wanted.is_some_and(|group| router.can_become(group, docket.as_ref()))
        };
        let gone = self.routers.values().filter(|router| !stays(router));
        let gone: Vec<_> = gone.map(|router| router.name.clone()).collect();
        for name in gone {
            self.step(&name, Input::Stopped).await;
            self.routers.remove(&name);
        }
        let mut new = Vec::new();
        let now = Instant::now();
        for (name, group) in ha.groups {
            match self.routers.get_mut(&name) {
                Some(router) if router.group == group => {}
                Some(router) => {
                    let input = router.change(group);
                    self.start_scripts(&name);
                    self.judge(&name).await;
                    self.step(&name, input).await;
                }
                None => {
                    // Without the heartbeat that should decide: whoever asked is told.
                    let Ok(docket) = self.docket_for(&group) else {
                        continue;
                    };
                    let router = Router::new(now, name.clone(), group, docket.as_ref());
                    self.routers.insert(name.clone(), router);
                    self.start_scripts(&name);
                    new.push(name);
                }
            }
        }
        new
    }

    /// Runs the scripts of a group, unless they are the ones that run. What is known of one stays known.
    pub(super) fn start_scripts(&mut self, name: &GroupName) {
        let Some(router) = self.routers.get_mut(name) else {
            return;
        };
        let scripts = scripts(&router.group);
        if scripts == router.scripts && scripts.len() == router.running.len() {
            return;
        }
        self.generation += 1;
        router.generation = self.generation;
        router.take_scripts(scripts);
        for (index, script) in router.scripts.iter().enumerate() {
            let verdict = Verdict {
                group: name.clone(),
                generation: self.generation,
                index,
                well: false,
            };
            match script::start(script.clone(), verdict, self.reports.clone()) {
                Ok(running) => router.running.push(running),
                Err(error) => tracing::error!(group = %name, "starting a script's thread: {error}"),
            }
        }
    }

    async fn verdict(&mut self, verdict: Verdict) {
        let Some(router) = self.routers.get_mut(&verdict.group) else {
            return;
        };
        if router.generation != verdict.generation {
            return;
        }
        if let Some(known) = router.verdicts.get_mut(verdict.index) {
            *known = Some(verdict.well);
        }
        self.judge(&verdict.group).await;
    }

    async fn order(&mut self, name: &GroupName, order: Order) -> Result<(), ApiError> {
        let Some(router) = self.routers.get(name) else {
            return Err(ApiError::not_found(format!(
                "there is no HA group `{name}`; `adc ha status` shows all"
            )));
        };
        if let Machine::Ruled(ruled) = &router.machine {
            let fellows = self.fellows(name);
            return self.wish(ruled.docket(), name, &fellows, order).await;
        }
        if order == Order::Failover && !router.is_active() {
            let role = router.machine.role();
            let other = router.active_peer();
            let other = other.map_or_else(String::new, |peer| format!(" ({peer} was heard last)"));
            let what = format!(
                "group {name} is {role} on this node: run this on the active node{other}; nothing was changed"
            );
            return Err(ApiError::new(ErrorCode::Conflict, what));
        }
        // To each of them: one that only let go would take the role back.
        for fellow in self.fellows(name) {
            self.step_alone(&fellow, Input::Order(order)).await;
        }
        Ok(())
    }

    async fn stop_all(&mut self) {
        self.hand_over_all().await;
        self.shared.bfd.stop();
        let names: Vec<_> = self.routers.keys().cloned().collect();
        for name in names {
            self.step(&name, Input::Stopped).await;
        }
        self.remove_devices().await;
        self.publish();
    }

    pub(super) fn publish(&self) {
        let now = Instant::now();
        let groups = self.routers.values().map(|router| {
            let mut view = router.view(now);
            if let Some((name, members)) = self.settings.ha.sync_group_of(&router.name) {
                let others = members.iter().filter(|member| **member != router.name);
                view.sync_group = Some(name.clone());
                view.moves_with = others.cloned().collect();
            }
            view
        });
        self.shared.publish(HaView {
            groups: groups.collect(),
            interfaces: self.ports.strangers.views(),
            heartbeat: self.pair.as_ref().map(Pair::view),
            // The agent knows these.
            keeper: None,
            sync: None,
        });
    }
}

/// Sleeps until then, or for good.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits for a change of devices or addresses; a watch that fails is given up.
async fn changed(watch: &mut Option<LocalWatch>) {
    let Some(open) = watch else {
        return std::future::pending().await;
    };
    if let Err(error) = open.changed().await {
        tracing::warn!("following devices: {error}; looking every second");
        *watch = None;
    }
}

/// Says that it is done; who asked may have gone.
fn answer(reply: oneshot::Sender<()>) {
    reply.send(()).ok();
}
