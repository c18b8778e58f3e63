//! Sends at a bounded rate, beside everything else.

use std::{io, time::Duration};

use tokio::sync::mpsc;

use crate::neighbours::FrameSender;

/// Frames sent in one go; a flow takes four, two for each end.
const AT_ONCE: usize = 400;

/// Time between two goes: 8 000 frames a second.
const PAUSE: Duration = Duration::from_millis(50);

/// A frame and the kernel index of the interface that it leaves by.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Where it leaves.
    pub ifindex: u32,
    /// All of it.
    pub bytes: Vec<u8>,
}

/// A task that sends frames. It ends when this is dropped.
#[derive(Debug)]
pub struct Sender(mpsc::Sender<Vec<Frame>>);

impl Sender {
    /// Starts the task; needs a Tokio runtime.
    pub fn start() -> Self {
        let (orders, received) = mpsc::channel(1);
        tokio::spawn(run(received));
        Self(orders)
    }

    /// Whether it has nothing to do, or will have soon: only then is it given more.
    pub fn is_free(&self) -> bool {
        self.0.capacity() > 0
    }

    /// Sends these; dropped if there is no room for them.
    pub fn send(&self, frames: Vec<Frame>) {
        if let Err(error) = self.0.try_send(frames) {
            tracing::warn!("challenges were not sent: {error}");
        }
    }
}

async fn run(mut orders: mpsc::Receiver<Vec<Frame>>) {
    while let Some(frames) = orders.recv().await {
        let count = frames.len();
        match deliver(&frames).await {
            Ok(0) => tracing::debug!(count, "challenges sent"),
            Ok(failed) => tracing::debug!(count, failed, "challenges sent"),
            Err(error) => tracing::warn!(
                "opening a packet socket for challenges: {error}; idle connections are not reset"
            ),
        }
    }
}

/// Returns how many could not be sent: of a device that is down, say, or whose queue is full.
async fn deliver(frames: &[Frame]) -> io::Result<usize> {
    let socket = FrameSender::open()?;
    let mut failed = 0;
    for some in frames.chunks(AT_ONCE) {
        for frame in some {
            failed += usize::from(socket.send(frame.ifindex, &frame.bytes).is_err());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(failed)
}
