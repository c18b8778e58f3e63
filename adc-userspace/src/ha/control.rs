//! The agent's hold on the HA thread.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
    thread,
};

use tokio::sync::{MutexGuard, mpsc, oneshot};

use super::{RoleChange, task::Task, vrrp::Order};
use crate::{
    api::proto::{ApiError, ErrorCode, HaGroupView, HaOrder},
    model::{GroupName, Ha, PoolName},
};

/// Commands that wait for the thread; each is answered or quickly done.
const COMMANDS: usize = 64;

/// Called in the HA thread with every change of a role, **before** anything else is done about it: before the advert
/// and the addresses of a new active node are out, and before those of an old one are gone. Must not block.
pub type RoleHook = Arc<dyn Fn(&RoleChange) + Send + Sync>;

/// What the thread and others both see.
#[derive(Default)]
pub(super) struct Shared {
    /// Held while addresses are put on or taken off, so that nobody does so by an old role.
    pub(super) addresses: tokio::sync::Mutex<()>,
    /// Groups whose addresses are to be on interfaces.
    carried: RwLock<BTreeSet<GroupName>>,
    groups: Mutex<Vec<HaGroupView>>,
}

/// What the thread is told.
pub(super) enum Command {
    /// These are the groups now.
    Configure(Box<Ha>, oneshot::Sender<()>),
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

    pub(super) fn publish(&self, groups: Vec<HaGroupView>) {
        *self.groups.lock().unwrap_or_else(PoisonError::into_inner) = groups;
    }
}

impl HaControl {
    /// No groups, no thread. `hook` hears of every change of a role.
    pub fn new(hook: RoleHook) -> Self {
        Self {
            shared: Arc::default(),
            hook,
            commands: None,
        }
    }

    /// Makes these the groups. The first ones start the thread.
    ///
    /// # Errors
    /// The thread can not be started, or has ended.
    pub async fn configure(&mut self, ha: &Ha) -> Result<(), ApiError> {
        if self.commands.is_none() {
            if ha.groups.is_empty() {
                return Ok(());
            }
            self.commands = Some(self.start()?);
        }
        self.ask(|reply| Command::Configure(Box::new(ha.clone()), reply))
            .await
    }

    fn start(&self) -> Result<mpsc::Sender<Command>, ApiError> {
        let failed = |what: String| ApiError::new(ErrorCode::Internal, what);
        let (sender, commands) = mpsc::channel(COMMANDS);
        let (shared, hook) = (Arc::clone(&self.shared), Arc::clone(&self.hook));
        // A thread and a runtime of its own: adverts go out in time whatever the agent is busy with.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(format!("starting the HA thread's runtime: {error}")))?;
        let run = move || runtime.block_on(Task::run(shared, hook, commands));
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

    /// Every group, as it is now.
    ///
    /// # Errors
    /// The thread has ended.
    pub async fn groups(&self) -> Result<Vec<HaGroupView>, ApiError> {
        if self.commands.is_some() {
            self.ask(Command::Publish).await?;
        }
        Ok(self.known_groups())
    }

    /// Every group, as it was when a role last changed, or a second ago.
    pub fn known_groups(&self) -> Vec<HaGroupView> {
        let groups = self.shared.groups.lock();
        groups.unwrap_or_else(PoisonError::into_inner).clone()
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
