//! The agent's side of the keeper: started when there is something for it to do, and again when it dies.

mod mending;

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use tokio::{
    process::Child,
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    Place, Request, Seen, Settings, launch,
    link::{Link, Reply},
    message::{Build, Event, Hello},
    socket_path,
};
use crate::{
    api::proto::{ApiError, BfdView, ErrorCode, HaView, KeeperView},
    ha::{control::RoleHook, heartbeat::runner::Statement},
    model::PoolName,
};

/// Wishes that wait.
const WISHES: usize = 64;

/// How long a keeper may take to listen after it was started.
const STARTED: Duration = Duration::from_secs(5);

/// How long it may take to answer, or to end.
const ANSWERED: Duration = Duration::from_secs(5);

/// How often a keeper that starts is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The shortest time between two starts; doubled with each.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest time between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A keeper that lived so long was well, and those before it are forgotten.
const WELL: Duration = Duration::from_mins(1);

/// What the agent wants of the keeper.
pub(in crate::ha) enum Wish {
    /// These are the groups now.
    Configure(Box<Settings>, Reply),
    /// So many backends of these pools take new flows.
    Pools(BTreeMap<PoolName, u32>),
    /// This is what was found of the data plane.
    SelfTest(Result<(), String>),
    /// This is how the node is.
    Say(Statement),
    /// A question.
    Ask(Request, Reply),
    /// Give up every role, and end.
    Stop(Reply),
}

/// Starts to look after the keeper of a place. Ends when nobody is left to wish anything; the keeper does not.
pub(in crate::ha) fn start(place: Place, seen: Arc<Seen>, hook: RoleHook) -> mpsc::Sender<Wish> {
    let (sender, wishes) = mpsc::channel(WISHES);
    let supervisor = Supervisor {
        place,
        seen,
        hook,
        settings: None,
        pools: BTreeMap::new(),
        self_test: None,
        statement: None,
        told: Ok(()),
        child: None,
        link: None,
        linked: Instant::now(),
        retry: None,
        pause: FIRST_PAUSE,
        restarts: 0,
    };
    tokio::spawn(supervisor.run(wishes));
    sender
}

struct Supervisor {
    place: Place,
    seen: Arc<Seen>,
    hook: RoleHook,
    /// What it is to do; `None` = nothing, so there is to be none.
    settings: Option<Settings>,
    pools: BTreeMap<PoolName, u32>,
    self_test: Option<Result<(), String>>,
    statement: Option<Statement>,
    /// What came of telling the keeper that was last connected to.
    told: Result<(), ApiError>,
    /// The last one that this agent started; kept to be waited for.
    child: Option<Child>,
    link: Option<Link>,
    linked: Instant,
    /// When to try again.
    retry: Option<Instant>,
    pause: Duration,
    /// Keepers that died.
    restarts: u64,
}

impl Supervisor {
    async fn run(mut self, mut wishes: mpsc::Receiver<Wish>) {
        loop {
            tokio::select! {
                wish = wishes.recv() => match wish {
                    Some(wish) => self.wish(wish).await,
                    None => return,
                },
                event = next(&mut self.link) => match event {
                    Some(event) => self.note(event),
                    None => self.lost().await,
                },
                () = until(self.retry) => self.mend().await,
            }
        }
    }

    fn note(&self, event: Event) {
        match event {
            Event::Role(change) => {
                // Whoever hears of it and looks finds it so.
                self.seen.turn(&change);
                (self.hook)(&change);
            }
            Event::View(view) => self.seen.show(*view),
            Event::Bfd(view) => self.seen.follow(view),
        }
    }

    async fn wish(&mut self, wish: Wish) {
        match wish {
            Wish::Configure(settings, reply) => {
                let done = self.configure(*settings).await;
                // Who asked may have gone; here and below.
                reply.send(done).ok();
            }
            Wish::Pools(pools) => {
                if self.pools == pools {
                    return;
                }
                self.pools.clone_from(&pools);
                let (reply, _nobody_waits) = oneshot::channel();
                self.pass(Request::Pools(pools), reply).await;
            }
            Wish::SelfTest(found) => {
                if self.self_test.as_ref() == Some(&found) {
                    return;
                }
                self.self_test = Some(found.clone());
                let (reply, _nobody_waits) = oneshot::channel();
                self.pass(Request::SelfTest(found), reply).await;
            }
            Wish::Say(statement) => {
                self.statement = Some(statement);
                let (reply, _nobody_waits) = oneshot::channel();
                self.pass(Request::Say(statement), reply).await;
            }
            Wish::Ask(request, reply) => self.pass(request, reply).await,
            Wish::Stop(reply) => {
                self.settings = None;
                let done = self.end().await;
                reply.send(done).ok();
            }
        }
    }

    /// Passes a question on. If there is no keeper, whoever waits is told.
    async fn pass(&mut self, request: Request, reply: Reply) {
        let Some(link) = &mut self.link else {
            reply.send(Err(away("it is not there"))).ok();
            return;
        };
        if let Err(error) = link.ask(request, reply).await {
            tracing::debug!("asking the keeper: {error}");
        }
    }

    async fn configure(&mut self, settings: Settings) -> Result<(), ApiError> {
        if settings.is_empty() {
            self.settings = None;
            let ended = self.end().await;
            self.seen.show(HaView::default());
            self.seen.follow(BfdView::default());
            return ended;
        }
        self.settings = Some(settings);
        if self.link.is_some() {
            return self.tell().await;
        }
        match self.connect(true).await {
            Ok(()) => std::mem::replace(&mut self.told, Ok(())),
            Err(error) => Err(self.try_again(&error)),
        }
    }

    /// Connects to the keeper; starts one if there is none and it `may_start`. Tells it what it is to do.
    async fn connect(&mut self, may_start: bool) -> io::Result<()> {
        let own = Hello::own()?;
        let socket = socket_path(&self.place.run_dir);
        let mut link = match Link::open(&socket, &own).await {
            Ok(link) => link,
            Err(error) if !may_start => return Err(error),
            Err(_nobody_there) => self.start(&own).await?,
        };
        if link.keeper.build != own.build {
            link = self.replace(link, &own).await?;
        }
        tracing::info!(
            pid = link.keeper.pid,
            version = link.keeper.version,
            "connected to the keeper"
        );
        self.seen.meet(Some(KeeperView {
            pid: link.keeper.pid,
            version: link.keeper.version.clone(),
            restarts: self.restarts,
        }));
        self.link = Some(link);
        self.linked = Instant::now();
        self.retry = None;
        if self.settings.is_some() {
            // A keeper that can not do all of it does the rest.
            self.told = match self.tell().await {
                Err(error) if error.code == ErrorCode::Unavailable => {
                    return Err(io::Error::other(error));
                }
                told => told,
            };
            if let Err(error) = &self.told {
                tracing::error!("the keeper: {}", error.what);
            }
        }
        Ok(())
    }

    async fn start(&mut self, own: &Hello) -> io::Result<Link> {
        self.child = Some(launch::keeper(&self.place)?);
        let socket = socket_path(&self.place.run_dir);
        let deadline = Instant::now() + STARTED;
        loop {
            match Link::open(&socket, own).await {
                Ok(link) => return Ok(link),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_not_yet) => {}
            }
            let ended = self.child.as_mut().map(Child::try_wait).transpose()?;
            if let Some(status) = ended.flatten() {
                let what = format!("the keeper ended with {status} as soon as it was started");
                return Err(io::Error::other(what));
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Has a keeper of another program become this one.
    async fn replace(&mut self, mut link: Link, own: &Hello) -> io::Result<Link> {
        let (reply, mut refused) = oneshot::channel();
        let request = Request::Replace {
            programs: Build::own_programs(),
            build: own.build.clone(),
        };
        link.ask(request, reply).await?;
        let socket = socket_path(&self.place.run_dir);
        let replaced = async {
            loop {
                tokio::select! {
                    biased;
                    answer = &mut refused => return answer.ok(),
                    event = link.next() => match event {
                        Some(event) => self.note(event),
                        // Its connections closed as it became the other program, unless it said no.
                        None => return refused.try_recv().ok(),
                    },
                }
            }
        };
        match timeout(ANSWERED, replaced).await? {
            None => Link::open(&socket, own).await,
            Some(answer) => {
                if let Err(error) = answer {
                    tracing::error!("{}", error.what);
                }
                Ok(link)
            }
        }
    }

    /// Tells the keeper all that it is to know, and waits until it has taken it in.
    async fn tell(&mut self) -> Result<(), ApiError> {
        let settings = self.settings.clone().unwrap_or_default();
        if !self.pools.is_empty() {
            self.settle(Request::Pools(self.pools.clone())).await?;
        }
        if let Some(found) = self.self_test.clone() {
            self.settle(Request::SelfTest(found)).await?;
        }
        let told = self.settle(Request::Configure(Box::new(settings))).await;
        if let Some(statement) = self.statement {
            self.settle(Request::Say(statement)).await?;
        }
        told
    }

    /// Asks, and waits for the answer.
    async fn settle(&mut self, request: Request) -> Result<(), ApiError> {
        let Some(mut link) = self.link.take() else {
            return Err(away("it is not there"));
        };
        let (reply, mut answer) = oneshot::channel();
        link.ask(request, reply)
            .await
            .map_err(|error| away(&error))?;
        let settled = async {
            loop {
                tokio::select! {
                    biased;
                    answer = &mut answer => return answer.ok(),
                    event = link.next() => match event {
                        Some(event) => self.note(event),
                        // It may have been the last thing that it said.
                        None => return answer.try_recv().ok(),
                    },
                }
            }
        };
        let settled = timeout(ANSWERED, settled).await;
        self.link = Some(link);
        match settled {
            Ok(Some(answer)) => answer,
            Ok(None) => Err(away("it ended")),
            Err(_late) => Err(away("it does not answer")),
        }
    }

    /// Ends the keeper, if there is one, whoever started it.
    async fn end(&mut self) -> Result<(), ApiError> {
        self.retry = None;
        if self.link.is_none() && self.connect(false).await.is_err() {
            return Ok(());
        }
        let stopped = self.settle(Request::Stop).await;
        self.link = None;
        self.seen.meet(None);
        if let Some(mut child) = self.child.take() {
            // So that it has let go of its lock.
            drop(timeout(ANSWERED, child.wait()).await);
        }
        stopped
    }
}

fn away(why: impl std::fmt::Display) -> ApiError {
    let what = format!("the keeper, which has this node's HA groups, can not be asked: {why}");
    ApiError::new(ErrorCode::Unavailable, what)
}

/// The next event of a connection, if there is one.
async fn next(link: &mut Option<Link>) -> Option<Event> {
    match link {
        Some(link) => link.next().await,
        None => std::future::pending().await,
    }
}

/// Sleeps until then, or for good.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
