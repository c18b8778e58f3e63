//! A TCP connection that never waits for longer than it may.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    os::fd::{AsFd as _, BorrowedFd},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{
    frame::{Direction, Frame, HEAD, MAX_PAYLOAD, SEAL},
    refusal::Refusal,
};

/// How long nothing may go out, or come in, before the connection is given up. Whoever has nothing to tell says so several
/// times in this time.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// How often a wait looks whether it is still wanted, milliseconds.
const LOOK_MILLIS: u16 = 100;

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// Bytes that may wait to be taken: several frames of the longest.
const INBOX: usize = 4 * (HEAD + MAX_PAYLOAD + SEAL);

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// The other end did what it must not, or nothing.
    #[error("{0}")]
    Refused(Refusal),
    /// The other end closed it.
    #[error("the other node closed the connection")]
    Closed,
    /// The kernel says so.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// This end is not wanted any more.
    #[error("stopped")]
    Stopped,
}

impl From<Refusal> for Lost {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A connection.
pub(super) struct Link {
    stream: TcpStream,
    inbox: Vec<u8>,
    /// How much of the inbox was taken.
    taken: usize,
    /// The other end has said its last.
    closed: bool,
}

impl Link {
    /// Over a connected socket.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        // Batches are made here; a frame that is ready goes.
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            inbox: Vec::new(),
            taken: 0,
            closed: false,
        })
    }

    /// Sends all bytes. What comes in meanwhile is kept, so that two ends that both send can not wait for each other.
    ///
    /// # Errors
    /// Nothing went out for [`PATIENCE`], or the connection is over.
    pub(super) fn send(&mut self, mut bytes: &[u8], stop: &AtomicBool) -> Result<(), Lost> {
        let mut progress = Instant::now();
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(written) => {
                    bytes = bytes.get(written..).unwrap_or_default();
                    progress = Instant::now();
                }
                Err(error) if would_block(&error) => {
                    if progress.elapsed() >= PATIENCE {
                        return Err(Refusal::Stalled.into());
                    }
                    self.wait(PollFlags::POLLIN | PollFlags::POLLOUT, LOOK_MILLIS)?;
                    self.fill()?;
                }
                Err(error) => return Err(error.into()),
            }
            stopped(stop)?;
        }
        Ok(())
    }

    /// Takes in what has come, as far as there is room.
    ///
    /// # Errors
    /// The connection is over, and all that came before was taken.
    pub(super) fn fill(&mut self) -> Result<(), Lost> {
        if self.closed {
            return Err(Lost::Closed);
        }
        if self.taken > 0 {
            self.inbox.drain(..self.taken);
            self.taken = 0;
        }
        while self.inbox.len() < INBOX {
            let before = self.inbox.len();
            self.inbox.resize(before + CHUNK, 0);
            let room = self.inbox.get_mut(before..).unwrap_or_default();
            let read = self.stream.read(room);
            self.inbox
                .truncate(before + read.as_ref().map_or(0, |read| *read));
            match read {
                Ok(0) => {
                    // What came before it is taken first.
                    self.closed = true;
                    return Ok(());
                }
                Ok(read) if read < CHUNK => return Ok(()),
                Ok(_) => {}
                Err(error) if would_block(&error) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Exactly `N` bytes, of a greeting.
    ///
    /// # Errors
    /// They did not come before `until`, or the connection is over.
    pub(super) fn exactly<const N: usize>(
        &mut self,
        until: Instant,
        stop: &AtomicBool,
    ) -> Result<[u8; N], Lost> {
        loop {
            let waiting = self.inbox.get(self.taken..).unwrap_or_default();
            if let Some(bytes) = waiting.first_chunk::<N>() {
                self.taken += N;
                return Ok(*bytes);
            }
            if Instant::now() >= until {
                return Err(Refusal::Silent.into());
            }
            stopped(stop)?;
            if self.wait(PollFlags::POLLIN, LOOK_MILLIS)? {
                self.fill()?;
            }
        }
    }

    /// The next frame, if all of it has come.
    ///
    /// # Errors
    /// What has come is no frame of this connection.
    pub(super) fn frame(
        &mut self,
        direction: &mut Direction,
    ) -> Result<Option<Frame<'_>>, Refusal> {
        let waiting = self.inbox.get(self.taken..).unwrap_or_default();
        let Some(length) = waiting.first_chunk::<4>() else {
            return Ok(None);
        };
        let whole = 4 + Direction::rest(*length)?;
        let Some(bytes) = waiting.get(..whole) else {
            return Ok(None);
        };
        self.taken += whole;
        direction.open(bytes).map(Some)
    }

    /// Waits for at most so many milliseconds; whether anything happened.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) fn wait(&self, what: PollFlags, millis: u16) -> io::Result<bool> {
        wait(&mut [PollFd::new(self.poll_fd(), what)], millis)
    }

    /// For a wait of one's own.
    pub(super) fn poll_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Waits until something happens to one of these; whether it did.
///
/// # Errors
/// The kernel refuses.
pub(super) fn wait(fds: &mut [PollFd<'_>], millis: u16) -> io::Result<bool> {
    match poll(fds, PollTimeout::from(millis)) {
        Ok(ready) => Ok(ready > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether this end is still wanted.
///
/// # Errors
/// It is not.
pub(super) fn stopped(stop: &AtomicBool) -> Result<(), Lost> {
    if stop.load(Ordering::Relaxed) {
        return Err(Lost::Stopped);
    }
    Ok(())
}

fn would_block(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
