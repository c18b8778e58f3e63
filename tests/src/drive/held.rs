//! Long-lived connections that are used all the time, so that a broken one is noticed.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{net::Namespace, wait::eventually};

/// Time between two rounds.
const ROUND_PAUSE: Duration = Duration::from_millis(50);
/// An echo that takes longer counts as a break. What is lost at the beginning of an outage of less than three seconds is sent again
/// three seconds after it (retransmission timeouts of 0.2 s, 0.4 s, 0.8 s, 1.6 s), and one of six after six.
const ECHO_TIMEOUT: Duration = Duration::from_secs(7);

/// Connections to an echo service. In every round each of them sends a message of its own and
/// reads it back.
#[derive(Debug)]
pub struct HeldConnections {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    count: usize,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    rounds: AtomicU64,
    broken: Mutex<Vec<String>>,
}

impl HeldConnections {
    /// Opens `count` connections to `address` from `namespace` and begins to use them.
    ///
    /// # Panics
    /// If one cannot be opened or does not echo.
    #[track_caller]
    pub fn open(namespace: &Namespace, address: SocketAddr, count: usize) -> Self {
        let streams: Vec<TcpStream> = namespace.enter(|| {
            (0..count)
                .map(|number| {
                    open(address).unwrap_or_else(|error| {
                        panic!("connection {number} of {count} to {address}: {error}")
                    })
                })
                .collect()
        });
        let shared = Arc::<Shared>::default();
        let thread = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || hold(streams, &shared))
        };
        let held = Self {
            shared,
            thread: Some(thread),
            count,
        };
        held.wait_for_rounds(1);
        held.assert_all_alive();
        held
    }

    /// Waits until every living connection has been used `rounds` times from now on.
    #[track_caller]
    pub fn wait_for_rounds(&self, rounds: u64) {
        // The round that is under way may have begun before now.
        let goal = self.rounds() + rounds + 1;
        let what = format!("held connections were used {rounds} times");
        eventually(Duration::from_mins(1), &what, || self.rounds() >= goal);
    }

    /// Demands that every connection has survived so far, and tries each once more.
    ///
    /// # Panics
    /// Saying which broke, and how.
    #[track_caller]
    pub fn assert_all_alive(&self) {
        self.wait_for_rounds(1);
        let broken = self.broken();
        assert!(
            broken.is_empty(),
            "{} of {} held connections broke: {}",
            broken.len(),
            self.count,
            broken[..broken.len().min(5)].join("; ")
        );
    }

    /// One line for each connection that broke.
    pub fn broken(&self) -> Vec<String> {
        let broken = self.shared.broken.lock();
        broken.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes them all in an orderly way.
    pub fn close(self) {
        drop(self);
    }

    fn rounds(&self) -> u64 {
        self.shared.rounds.load(Ordering::Relaxed)
    }
}

impl Drop for HeldConnections {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, ECHO_TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ECHO_TIMEOUT))?;
    stream.set_write_timeout(Some(ECHO_TIMEOUT))?;
    Ok(stream)
}

fn hold(streams: Vec<TcpStream>, shared: &Shared) {
    let mut streams: Vec<(usize, TcpStream)> = streams.into_iter().enumerate().collect();
    while !shared.stop.load(Ordering::Relaxed) {
        let round = shared.rounds.load(Ordering::Relaxed);
        streams.retain_mut(|(number, stream)| {
            let Err(error) = exchange(stream, *number, round) else {
                return true;
            };
            let mut broken = shared.broken.lock().unwrap_or_else(PoisonError::into_inner);
            broken.push(format!("connection {number} in round {round}: {error}"));
            false
        });
        shared.rounds.fetch_add(1, Ordering::Relaxed);
        thread::sleep(ROUND_PAUSE);
    }
}

fn exchange(stream: &mut TcpStream, number: usize, round: u64) -> io::Result<()> {
    let message = format!("connection {number:6} round {round:10}");
    stream.write_all(message.as_bytes())?;
    let mut answer = vec![0; message.len()];
    stream.read_exact(&mut answer)?;
    if answer == message.as_bytes() {
        Ok(())
    } else {
        let text = String::from_utf8_lossy(&answer).into_owned();
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("another connection's bytes: `{text}`"),
        ))
    }
}
