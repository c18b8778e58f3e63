//! The agent's hold on the HA thread.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
    thread,
    time::Instant,
};

use tokio::sync::{MutexGuard, mpsc, oneshot};

use super::{NodeFacts, RoleChange, heartbeat::runner::Statement, task::Task, vrrp::Order};
use crate::{
    api::proto::{ApiError, ErrorCode, HaOrder, HaView},
    model::{GroupName, Ha, PoolName},
};

/// Commands that wait for the thread; each is answered or quickly done.
const COMMANDS: usize = 64;

/// Called in the HA thread with every change of a role, **before** anything else is done about it: before the advert
/// and the addresses of a new active node are out, and before those of an old one are gone. Must not block.
pub type RoleHook = Arc<dyn Fn(&RoleChange) + Send + Sync>;

/// Called with a group and until when the data plane serves it, `None` = not at all, in the thread that decides about it:
/// before anybody hears of a new role. Must not block.
pub type LeaseHook = Arc<dyn Fn(&GroupName, Option<Instant>) + Send + Sync>;

/// What the thread and others both see.
#[derive(Default)]
pub(super) struct Shared {
    /// Held while addresses are put on or taken off, so that nobody does so by an old role.
    pub(super) addresses: tokio::sync::Mutex<()>,
    /// Groups whose addresses are to be on interfaces.
    carried: RwLock<BTreeSet<GroupName>>,
    view: Mutex<HaView>,
}

/// What the thread is told.
pub(super) enum Command {
    /// These are the groups and the peer now.
    Configure(Box<Ha>, NodeFacts, oneshot::Sender<Result<(), ApiError>>),
    /// The agent works, and says this of the node.
    Say(Statement),
    /// So many backends of these pools take new flows.
    Pools(BTreeMap<PoolName, u32>),
    /// Somebody wants something of a group.
    Order(GroupName, Order, oneshot::Sender<Result<(), ApiError>>),
    /// Make what is shown fresh.
    Publish(oneshot::Sender<()>),
    /// Give up every role.
    Stop(oneshot::Sender<()>),
}

/// Starts the HA thread when there is something for it to do, and talks to it.
#[derive(Clone)]
pub struct HaControl {
    shared: Arc<Shared>,
    hook: RoleHook,
    leases: LeaseHook,
    commands: Option<mpsc::Sender<Command>>,
}

impl fmt::Debug for HaControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HaControl")
            .field("running", &self.commands.is_some())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Notes whether the addresses of a group are to be on interfaces.
    pub(super) fn set_carried(&self, group: &GroupName, carried: bool) {
        let mut groups = self.carried.write().unwrap_or_else(PoisonError::into_inner);
        if carried {
            groups.insert(group.clone());
        } else {
            groups.remove(group);
        }
    }

    pub(super) fn publish(&self, view: HaView) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }
}

impl HaControl {
    /// No groups, no thread. `hook` hears of every change of a role, `leases` of every lease.
    pub fn new(hook: RoleHook, leases: LeaseHook) -> Self {
        Self {
            shared: Arc::default(),
            hook,
            leases,
            commands: None,
        }
    }

    /// Makes these the groups and the peer. The first ones start the thread.
    ///
    /// # Errors
    /// The thread can not be started, or has ended; or the heartbeat can not be: then groups that it would decide about are
    /// not run, and the others are.
    pub async fn configure(&mut self, ha: &Ha, node: NodeFacts) -> Result<(), ApiError> {
        if self.commands.is_none() {
            if ha.is_empty() {
                return Ok(());
            }
            self.commands = Some(self.start()?);
        }
        self.ask(|reply| Command::Configure(Box::new(ha.clone()), node, reply))
            .await?
    }

    /// Says how this node is; to be said again at least every three seconds.
    pub fn say(&self, statement: Statement) {
        if let Some(commands) = &self.commands {
            // A thread that has no room for it has the last one still.
            commands.try_send(Command::Say(statement)).ok();
        }
    }

    fn start(&self) -> Result<mpsc::Sender<Command>, ApiError> {
        let failed = |what: String| ApiError::new(ErrorCode::Internal, what);
        let (sender, commands) = mpsc::channel(COMMANDS);
        let (shared, hook) = (Arc::clone(&self.shared), Arc::clone(&self.hook));
        let leases = Arc::clone(&self.leases);
        // A thread and a runtime of its own: adverts go out in time whatever the agent is busy with.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(format!("starting the HA thread's runtime: {error}")))?;
        let run = move || runtime.block_on(Task::run(shared, (hook, leases), commands));
        thread::Builder::new()
            .name("adc-ha".into())
            .spawn(run)
            .map_err(|error| failed(format!("starting the HA thread: {error}")))?;
        Ok(sender)
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, ApiError> {
        let ended = || {
            let what = "the HA thread has ended; see the agent's log, and restart the agent";
            ApiError::new(ErrorCode::Internal, what)
        };
        let commands = self.commands.as_ref().ok_or_else(ended)?;
        let (reply, answer) = oneshot::channel();
        let sent = commands.send(command(reply)).await;
        sent.map_err(|_closed| ended())?;
        answer.await.map_err(|_closed| ended())
    }

    /// Says how many backends of each tracked pool take new flows.
    pub fn pools(&self, pools: BTreeMap<PoolName, u32>) {
        let sent = self
            .commands
            .as_ref()
            .map(|commands| commands.try_send(Command::Pools(pools)));
        if let Some(Err(error)) = sent {
            tracing::warn!("telling the HA thread of pools: {error}; the next change tells again");
        }
    }

    /// Passes on what somebody wants of a group.
    ///
    /// # Errors
    /// There is no such group, or it can not be done now.
    pub async fn order(&self, group: GroupName, order: HaOrder) -> Result<(), ApiError> {
        if self.commands.is_none() {
            return Err(ApiError::not_found(format!(
                "there is no HA group `{group}`: the configuration has none"
            )));
        }
        let order = match order {
            HaOrder::Failover => Order::Failover,
            HaOrder::Hold => Order::Hold,
            HaOrder::Release => Order::Release,
        };
        self.ask(|reply| Command::Order(group, order, reply))
            .await?
    }

    /// Groups and peer, as they are now.
    ///
    /// # Errors
    /// The thread has ended.
    pub async fn view(&self) -> Result<HaView, ApiError> {
        if self.commands.is_some() {
            self.ask(Command::Publish).await?;
        }
        Ok(self.known())
    }

    /// Groups and peer, as they were when a role last changed, or a second ago.
    pub fn known(&self) -> HaView {
        let view = self.shared.view.lock();
        view.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the addresses of a group are to be on interfaces: this node is active, or finds out whether it still is.
    pub fn carries(&self, group: &GroupName) -> bool {
        let carried = self.shared.carried.read();
        let carried = carried.unwrap_or_else(PoisonError::into_inner);
        carried.contains(group)
    }

    /// Keeps roles from changing addresses while the guard lives.
    pub async fn addresses(&self) -> MutexGuard<'_, ()> {
        self.shared.addresses.lock().await
    }

    /// Gives up every role: other nodes are told, addresses are taken off.
    pub async fn stop(&self) {
        if self.commands.is_some()
            && let Err(error) = self.ask(Command::Stop).await
        {
            tracing::warn!("giving up roles: {}", error.what);
        }
    }
}
