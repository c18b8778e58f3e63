//! The agent's end of a connection to the keeper.

use std::{collections::HashMap, io, path::Path, time::Duration};

use tokio::{
    net::{UnixStream, unix::OwnedWriteHalf},
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::timeout,
};

use super::{
    Request, frame,
    message::{Event, FromAgent, FromKeeper, Hello},
};
use crate::api::proto::ApiError;

/// How long the keeper may take to say who it is.
const HELLO: Duration = Duration::from_secs(5);

/// Messages that wait; more wait in the kernel.
const MESSAGES: usize = 64;

/// Whoever waits for an answer.
pub(super) type Reply = oneshot::Sender<Result<(), ApiError>>;

/// A connection.
pub(super) struct Link {
    pub(super) keeper: Hello,
    to: OwnedWriteHalf,
    messages: mpsc::Receiver<FromKeeper>,
    reader: AbortHandle,
    waiting: HashMap<u64, Reply>,
    asked: u64,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Link {
    /// Connects to the keeper that listens at `socket`.
    ///
    /// # Errors
    /// Nobody does, or it is no keeper.
    pub(super) async fn open(socket: &Path, own: &Hello) -> io::Result<Self> {
        let stream = UnixStream::connect(socket).await?;
        let (mut from, mut to) = stream.into_split();
        frame::write(&mut to, &FromAgent::Hello(own.clone())).await?;
        let keeper = match timeout(HELLO, frame::read(&mut from)).await?? {
            Some(FromKeeper::Hello(hello)) => hello,
            Some(FromKeeper::Answer(..) | FromKeeper::Event(_)) => {
                return Err(io::ErrorKind::InvalidData.into());
            }
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        };
        let (sender, messages) = mpsc::channel(MESSAGES);
        let reader = tokio::spawn(async move {
            loop {
                match frame::read(&mut from).await {
                    Ok(Some(message)) => {
                        if sender.send(message).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => return,
                    Err(error) => {
                        tracing::warn!("the keeper's connection: {error}");
                        return;
                    }
                }
            }
        });
        Ok(Self {
            keeper,
            to,
            messages,
            reader: reader.abort_handle(),
            waiting: HashMap::new(),
            asked: 0,
        })
    }

    /// Asks; the answer goes to `reply` when [`Link::next`] meets it. Dropped with the link, if that comes first.
    ///
    /// # Errors
    /// The connection has ended.
    pub(super) async fn ask(&mut self, request: Request, reply: Reply) -> io::Result<()> {
        self.asked += 1;
        self.waiting.insert(self.asked, reply);
        let message = FromAgent::Ask(self.asked, request);
        frame::write(&mut self.to, &message).await
    }

    /// The next event; `None` when the connection has ended. Nothing is lost if it is dropped before it is ready.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            match self.messages.recv().await? {
                FromKeeper::Event(event) => return Some(event),
                FromKeeper::Answer(number, result) => {
                    if let Some(reply) = self.waiting.remove(&number) {
                        // Who asked may have gone.
                        reply.send(result).ok();
                    }
                }
                FromKeeper::Hello(_) => {}
            }
        }
    }
}
