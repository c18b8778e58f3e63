//! Records by what a node says that it lives, and sends it again.

use std::{
    io,
    time::{Duration, Instant},
};

use socket2::SockFilter;

use crate::drive::PacketSocket;
use crate::net::Link;

/// Longer than the time between two adverts.
const PATIENCE: Duration = Duration::from_secs(10);

/// Adverts and heartbeats, on an interface.
#[derive(Debug)]
pub struct Recorder {
    socket: PacketSocket,
}

impl Recorder {
    /// Opens it.
    #[track_caller]
    pub fn open(link: &Link) -> Self {
        Self {
            socket: PacketSocket::open(link, &filter()),
        }
    }

    /// The next `count` adverts and heartbeats that come in, whole frames.
    ///
    /// # Panics
    /// If they do not come.
    #[track_caller]
    pub fn record(&self, count: usize) -> Vec<Vec<u8>> {
        let (mut frames, began) = (Vec::new(), Instant::now());
        let mut buffer = [0; 2048];
        while frames.len() < count {
            assert!(began.elapsed() < PATIENCE, "nothing to record");
            if let Some((_, frame)) = self.socket.receive(&mut buffer) {
                frames.push(frame.to_vec());
            }
        }
        frames
    }

    /// Sends a frame as it is.
    ///
    /// # Errors
    /// Of the socket.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.socket.send(frame)
    }
}

/// Frames that came in, of IP protocol 112, or UDP over IPv4 to port 9553.
fn filter() -> [SockFilter; 12] {
    use super::filter::{
        JUMP_IF_EQUAL, LOAD_BYTE, LOAD_HALF, LOAD_HALF_AT_X, LOAD_WORD, OUTGOING, PACKET_TYPE,
        RETURN, X_IS_HEADER_LENGTH,
    };
    [
        SockFilter::new(LOAD_WORD, 0, 0, PACKET_TYPE),
        SockFilter::new(JUMP_IF_EQUAL, 9, 0, OUTGOING),
        SockFilter::new(LOAD_HALF, 0, 0, 12),
        SockFilter::new(JUMP_IF_EQUAL, 0, 7, 0x0800),
        SockFilter::new(LOAD_BYTE, 0, 0, 23),
        SockFilter::new(JUMP_IF_EQUAL, 4, 0, 112),
        SockFilter::new(JUMP_IF_EQUAL, 0, 4, 17),
        SockFilter::new(X_IS_HEADER_LENGTH, 0, 0, 14),
        SockFilter::new(LOAD_HALF_AT_X, 0, 0, 14 + 2),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, 9553),
        SockFilter::new(RETURN, 0, 0, 2048),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}
