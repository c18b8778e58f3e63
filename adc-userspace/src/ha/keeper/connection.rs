//! The keeper's end of a connection: questions become commands, and events go out as they happen.

use std::{io, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use tokio::{
    io::AsyncWrite,
    net::UnixStream,
    sync::{broadcast, mpsc, oneshot, watch},
    time::timeout,
};

use super::{
    frame,
    message::{Build, Event, FromAgent, FromKeeper, Hello, Request},
};
use crate::{
    api::proto::{ApiError, BfdView, ErrorCode, HaView},
    ha::control::{Command, Shared},
};

/// How long who connects may take to say who it is.
const HELLO: Duration = Duration::from_secs(5);

/// Questions that are read before they are answered.
const ASKED: usize = 16;

/// Somebody wants the keeper to become another program.
pub(super) struct Replacement {
    pub(super) programs: Vec<PathBuf>,
    pub(super) build: Build,
    /// Why it did not.
    pub(super) refused: oneshot::Sender<ApiError>,
}

/// What a connection needs of the keeper.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) shared: Arc<Shared>,
    pub(super) events: broadcast::Sender<Event>,
    pub(super) replace: mpsc::Sender<Replacement>,
}

/// Notes the end of a connection, however it ends.
struct Present(Arc<Shared>);

impl Drop for Present {
    fn drop(&mut self) {
        self.0.agent_went();
    }
}

impl Connection {
    /// Serves an agent until either end closes.
    pub(super) async fn serve(self, stream: UnixStream) {
        self.shared.agent_came();
        let _present = Present(Arc::clone(&self.shared));
        match self.talk(stream).await {
            Ok(()) => tracing::info!("keeper: the agent is gone"),
            Err(error) => tracing::warn!("keeper: the agent's connection: {error}"),
        }
    }

    async fn talk(&self, stream: UnixStream) -> io::Result<()> {
        let (mut from, mut to) = stream.into_split();
        frame::write(&mut to, &FromKeeper::Hello(Hello::own()?)).await?;
        match timeout(HELLO, frame::read(&mut from)).await?? {
            Some(FromAgent::Hello(hello)) => {
                tracing::info!(
                    pid = hello.pid,
                    version = hello.version,
                    "keeper: an agent is there"
                );
            }
            Some(FromAgent::Ask(..)) => return Err(io::ErrorKind::InvalidData.into()),
            None => return Ok(()),
        }
        let mut events = self.events.subscribe();
        let mut view = self.shared.view();
        view.mark_changed();
        let mut sessions = self.shared.bfd.view();
        if !sessions.borrow().sessions.is_empty() {
            sessions.mark_changed();
        }
        let (sender, mut asked) = mpsc::channel(ASKED);
        // Read to its end in one go: a message that is read half-way can not be dropped.
        let mut reading = pin!(async move {
            while let Some(message) = frame::read(&mut from).await? {
                if sender.send(message).await.is_err() {
                    break;
                }
            }
            io::Result::Ok(())
        });
        loop {
            tokio::select! {
                ended = &mut reading => return ended,
                Some(message) = asked.recv() => {
                    let FromAgent::Ask(number, request) = message else {
                        return Err(io::ErrorKind::InvalidData.into());
                    };
                    let last = matches!(request, Request::Stop);
                    let result = self.answer(request).await;
                    // What the answer rests on comes before it.
                    show(&mut to, &mut view).await?;
                    show_sessions(&mut to, &mut sessions).await?;
                    frame::write(&mut to, &FromKeeper::Answer(number, result)).await?;
                    if last {
                        return Ok(());
                    }
                }
                event = events.recv() => match event {
                    Ok(event) => frame::write(&mut to, &FromKeeper::Event(event)).await?,
                    // It is shown the groups as they are.
                    Err(broadcast::error::RecvError::Lagged(_)) => view.mark_changed(),
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                },
                changed = sessions.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    sessions.mark_changed();
                    show_sessions(&mut to, &mut sessions).await?;
                }
                changed = view.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    view.mark_changed();
                    show(&mut to, &mut view).await?;
                }
            }
        }
    }

    async fn answer(&self, request: Request) -> Result<(), ApiError> {
        match request {
            Request::Configure(settings) => {
                self.command(|reply| Command::Configure(settings, reply))
                    .await?
            }
            Request::Say(statement) => self.send(Command::Say(statement)).await,
            Request::SelfTest(found) => self.send(Command::SelfTest(found)).await,
            Request::Pools(pools) => self.send(Command::Pools(pools)).await,
            Request::Order(group, order) => {
                self.command(|reply| Command::Order(group, order.into(), reply))
                    .await?
            }
            Request::Publish => self.command(Command::Publish).await,
            Request::Stop => self.command(Command::Stop).await,
            Request::Replace { programs, build } => {
                let (refused, refusal) = oneshot::channel();
                let replacement = Replacement {
                    programs,
                    build,
                    refused,
                };
                let sent = self.replace.send(replacement).await;
                sent.map_err(|_closed| ending())?;
                Err(refusal.await.map_err(|_closed| ending())?)
            }
        }
    }

    async fn send(&self, command: Command) -> Result<(), ApiError> {
        let sent = self.commands.send(command).await;
        sent.map_err(|_closed| ending())
    }

    async fn command<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, ApiError> {
        let (reply, answer) = oneshot::channel();
        self.send(command(reply)).await?;
        answer.await.map_err(|_closed| ending())
    }
}

fn ending() -> ApiError {
    let what = "the keeper is ending; the agent starts it again if it should not";
    ApiError::new(ErrorCode::Unavailable, what)
}

/// Shows groups and peer if they are others than those shown last.
async fn show(
    to: &mut (impl AsyncWrite + Unpin),
    view: &mut watch::Receiver<HaView>,
) -> io::Result<()> {
    if !view.has_changed().unwrap_or(false) {
        return Ok(());
    }
    let now = view.borrow_and_update().clone();
    frame::write(to, &FromKeeper::Event(Event::View(Box::new(now)))).await
}

/// The same for BFD sessions.
async fn show_sessions(
    to: &mut (impl AsyncWrite + Unpin),
    sessions: &mut watch::Receiver<BfdView>,
) -> io::Result<()> {
    if !sessions.has_changed().unwrap_or(false) {
        return Ok(());
    }
    let now = sessions.borrow_and_update().clone();
    frame::write(to, &FromKeeper::Event(Event::Bfd(now))).await
}
