//! The agent's hold on the keeper, and what the keeper's task is told.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    RoleChange,
    heartbeat::runner::Statement,
    keeper::{self, Place, Request, SavedTask, Seen, Settings, Wish},
    presence::AgentPresence,
    vrrp::Order,
};
use crate::{
    api::proto::{ApiError, BfdView, ErrorCode, HaOrder, HaView},
    bfd::Runner,
    model::{GroupName, PoolName},
};

/// Called with every change of a role. In the keeper it is called **before** anything else is done about it: before the
/// advert and the addresses of a new active node are out, and before those of an old one are gone. Must not block.
pub type RoleHook = Arc<dyn Fn(&RoleChange) + Send + Sync>;

/// What the task and others in the keeper both see.
pub(super) struct Shared {
    view: watch::Sender<HaView>,
    /// BFD sessions.
    pub(super) bfd: Runner,
    agent: Mutex<AgentPresence>,
}

/// What the task is told.
pub(super) enum Command {
    /// These are the groups and the peer now.
    Configure(Box<Settings>, oneshot::Sender<Result<(), ApiError>>),
    /// The agent works, and says this of the node.
    Say(Statement),
    /// So many backends of these pools take new flows.
    Pools(BTreeMap<PoolName, u32>),
    /// This is what the agent found of the data plane.
    SelfTest(Result<(), String>),
    /// Somebody wants something of a group.
    Order(GroupName, Order, oneshot::Sender<Result<(), ApiError>>),
    /// Make what is shown fresh.
    Publish(oneshot::Sender<()>),
    /// Say all that is known, for another program to go on with.
    Save(oneshot::Sender<SavedTask>),
    /// Go on with what another program knew.
    Restore(Box<SavedTask>),
    /// Give up every role.
    Stop(oneshot::Sender<()>),
}

/// Starts the keeper when there is something for it to do, and talks to it.
#[derive(Clone)]
pub struct HaControl {
    seen: Arc<Seen>,
    hook: RoleHook,
    wishes: Option<mpsc::Sender<Wish>>,
}

impl fmt::Debug for HaControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HaControl")
            .field("running", &self.wishes.is_some())
            .finish_non_exhaustive()
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            view: watch::Sender::default(),
            bfd: Runner::default(),
            agent: Mutex::new(AgentPresence::new(Instant::now())),
        }
    }
}

impl Shared {
    pub(super) fn publish(&self, view: HaView) {
        self.view.send_replace(view);
    }

    /// What is shown, now and whenever that changes.
    pub(super) fn view(&self) -> watch::Receiver<HaView> {
        self.view.subscribe()
    }

    /// An agent came.
    pub(super) fn agent_came(&self) {
        self.agent().came(Instant::now());
    }

    /// One went.
    pub(super) fn agent_went(&self) {
        self.agent().went(Instant::now());
    }

    /// It says that it works.
    pub(super) fn agent_said(&self) {
        self.agent().said(Instant::now());
    }

    /// Since when no agent works; `None` = one does.
    pub(super) fn agent_gone_since(&self) -> Option<Instant> {
        self.agent().away_since(Instant::now())
    }

    fn agent(&self) -> MutexGuard<'_, AgentPresence> {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HaControl {
    /// No groups, no keeper. `hook` hears of every change of a role.
    pub fn new(hook: RoleHook) -> Self {
        Self {
            seen: Arc::default(),
            hook,
            wishes: None,
        }
    }

    /// Makes these the groups, the peer and the BFD sessions. The first start the keeper, unless
    /// one is there. Without any, one that is there is ended.
    ///
    /// # Errors
    /// The keeper can not be started, or does not answer. It is tried again until it does. Or the heartbeat can not be
    /// started: then groups that it would decide about are not run, and the others are.
    pub async fn configure(&mut self, place: &Place, settings: Settings) -> Result<(), ApiError> {
        let wanted = !settings.is_empty();
        if self.wishes.is_none() {
            if !wanted && !keeper::socket_path(&place.run_dir).exists() {
                return Ok(());
            }
            let (seen, hook) = (Arc::clone(&self.seen), Arc::clone(&self.hook));
            self.wishes = Some(keeper::start(place.clone(), seen, hook));
        }
        self.ask(|reply| Wish::Configure(Box::new(settings), reply))
            .await
    }

    /// Says how this node is; to be said again at least every three seconds.
    pub fn say(&self, statement: Statement) {
        if let Some(wishes) = &self.wishes {
            // Where there is no room for it, the last one counts.
            wishes.try_send(Wish::Say(statement)).ok();
        }
    }

    /// Says what a test of the data plane found: the error is what is wrong with it.
    pub fn tested(&self, found: Result<(), String>) {
        if let Some(wishes) = &self.wishes {
            // Where there is no room for it, the next one counts.
            wishes.try_send(Wish::SelfTest(found)).ok();
        }
    }

    async fn ask(
        &self,
        wish: impl FnOnce(oneshot::Sender<Result<(), ApiError>>) -> Wish,
    ) -> Result<(), ApiError> {
        let ended = || {
            let what =
                "nobody talks to the keeper any more; see the agent's log, and restart the agent";
            ApiError::new(ErrorCode::Internal, what)
        };
        let wishes = self.wishes.as_ref().ok_or_else(ended)?;
        let (reply, answer) = oneshot::channel();
        let sent = wishes.send(wish(reply)).await;
        sent.map_err(|_closed| ended())?;
        answer.await.map_err(|_closed| {
            let what = "the keeper died while it was asked; another is started: ask again";
            ApiError::new(ErrorCode::Unavailable, what)
        })?
    }

    async fn request(&self, request: Request) -> Result<(), ApiError> {
        self.ask(|reply| Wish::Ask(request, reply)).await
    }

    /// Says how many backends of each tracked pool take new flows.
    pub fn pools(&self, pools: BTreeMap<PoolName, u32>) {
        let sent = self
            .wishes
            .as_ref()
            .map(|wishes| wishes.try_send(Wish::Pools(pools)));
        if let Some(Err(error)) = sent {
            tracing::warn!("telling the keeper of pools: {error}; the next change tells again");
        }
    }

    /// Passes on what somebody wants of a group.
    ///
    /// # Errors
    /// There is no such group, or it can not be done now.
    pub async fn order(&self, group: GroupName, order: HaOrder) -> Result<(), ApiError> {
        if self.wishes.is_none() {
            return Err(ApiError::not_found(format!(
                "there is no HA group `{group}`: the configuration has none"
            )));
        }
        self.request(Request::Order(group, order)).await
    }

    /// Groups and peer, as they are now.
    ///
    /// # Errors
    /// The keeper does not answer.
    pub async fn view(&self) -> Result<HaView, ApiError> {
        if self.wishes.is_some() && self.request(Request::Publish).await.is_err() {
            // It may have died just then, and another be there already.
            self.request(Request::Publish).await?;
        }
        Ok(self.known())
    }

    /// Groups, peer and keeper, as they were when a role last changed, or a second ago.
    pub fn known(&self) -> HaView {
        self.seen.view()
    }

    /// BFD sessions, as they are now.
    ///
    /// # Errors
    /// The keeper does not answer.
    pub async fn bfd(&self) -> Result<BfdView, ApiError> {
        self.view().await?;
        Ok(self.seen.sessions().borrow().clone())
    }

    /// BFD sessions as they are, and whenever they change; counters are a second old at most.
    pub fn sessions(&self) -> watch::Receiver<BfdView> {
        self.seen.sessions()
    }

    /// Gives up every role, and ends the keeper: other nodes are told, addresses are taken off.
    pub async fn stop(&self) {
        if self.wishes.is_some()
            && let Err(error) = self.ask(Wish::Stop).await
        {
            tracing::warn!("giving up roles: {}", error.what);
        }
    }
}

impl From<HaOrder> for Order {
    fn from(order: HaOrder) -> Self {
        match order {
            HaOrder::Failover => Self::Failover,
            HaOrder::Hold => Self::Hold,
            HaOrder::Release => Self::Release,
        }
    }
}
