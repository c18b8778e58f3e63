//! A steady stream of datagrams each way, every one of them counted.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

use crate::{net::Namespace, wait::eventually};

/// Room for seconds of the stream in a socket: a test host that is busy elsewhere loses nothing by itself.
pub(crate) const ROOM: usize = 16 << 20;

/// How often the reading thread looks whether it should stop.
const STOP_CHECK: Duration = Duration::from_millis(50);

/// Longer than an answer takes.
const LONG: Duration = Duration::from_secs(10);

/// Numbered datagrams from one socket to an echo service, and the answers.
#[derive(Debug)]
pub struct Stream {
    counts: Arc<Counts>,
    sender: Option<JoinHandle<()>>,
    receiver: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    returned: AtomicU64,
    refused: AtomicU64,
    quiet: AtomicBool,
    stop: AtomicBool,
}

impl Stream {
    /// Begins to send to `address`, so many a second.
    #[track_caller]
    pub fn start(namespace: &Namespace, address: SocketAddr, per_second: u32) -> Self {
        let open = || {
            let socket = UdpSocket::bind(("0.0.0.0", 0))?;
            setsockopt(&socket, RcvBufForce, &ROOM)?;
            socket.connect(address)?;
            socket.set_read_timeout(Some(STOP_CHECK))?;
            Ok::<_, io::Error>((socket.try_clone()?, socket))
        };
        let (sender, receiver) = namespace
            .enter(open)
            .unwrap_or_else(|error| panic!("cannot open a UDP socket to {address}: {error}"));
        let counts = Arc::<Counts>::default();
        let (sending, receiving) = (Arc::clone(&counts), Arc::clone(&counts));
        let pause = Duration::from_secs(1) / per_second;
        Self {
            counts,
            sender: Some(thread::spawn(move || send(&sender, pause, &sending))),
            receiver: Some(thread::spawn(move || receive(&receiver, &receiving))),
        }
    }

    /// Datagrams sent so far.
    pub fn sent(&self) -> u64 {
        self.counts.sent.load(Ordering::Relaxed)
    }

    /// Answers received so far.
    pub fn returned(&self) -> u64 {
        self.counts.returned.load(Ordering::Relaxed)
    }

    /// Waits until so many more came back.
    #[track_caller]
    pub fn wait_for(&self, more: u64) {
        let goal = self.returned() + more;
        eventually(Duration::from_mins(1), "the stream goes on", || {
            self.returned() >= goal
        });
    }

    /// Sends no more, and waits until nothing is under way: until all came back, or nothing comes any more. Gives how many
    /// were sent, and how many came back.
    #[track_caller]
    pub fn stop(mut self) -> (u64, u64) {
        self.counts.quiet.store(true, Ordering::Relaxed);
        // So that the last one is counted.
        if let Some(sender) = self.sender.take() {
            sender.join().ok();
        }
        let mut last = (self.returned(), Instant::now());
        eventually(LONG, "nothing of the stream is under way", || {
            let returned = self.returned();
            if returned != last.0 {
                last = (returned, Instant::now());
            }
            returned >= self.sent() || last.1.elapsed() > Duration::from_secs(1)
        });
        let refused = self.counts.refused.load(Ordering::Relaxed);
        assert_eq!(
            refused, 0,
            "datagrams that the sender's own machine refused"
        );
        (self.sent(), self.returned())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.counts.stop.store(true, Ordering::Relaxed);
        for thread in [self.sender.take(), self.receiver.take()]
            .into_iter()
            .flatten()
        {
            thread.join().ok();
        }
    }
}

fn send(socket: &UdpSocket, pause: Duration, counts: &Counts) {
    let began = Instant::now();
    for number in 0_u32.. {
        if counts.stop.load(Ordering::Relaxed) || counts.quiet.load(Ordering::Relaxed) {
            return;
        }
        // By the clock of the stream: what a late thread owes is sent at once.
        thread::sleep((pause * number).saturating_sub(began.elapsed()));
        match socket.send(&number.to_be_bytes()) {
            Ok(_) => counts.sent.fetch_add(1, Ordering::Relaxed),
            Err(_) => counts.refused.fetch_add(1, Ordering::Relaxed),
        };
    }
}

fn receive(socket: &UdpSocket, counts: &Counts) {
    let mut buffer = [0; 64];
    while !counts.stop.load(Ordering::Relaxed) {
        if socket.recv(&mut buffer).is_ok() {
            counts.returned.fetch_add(1, Ordering::Relaxed);
        }
    }
}
