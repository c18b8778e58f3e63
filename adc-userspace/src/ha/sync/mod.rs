//! Replication of flows to the other node of a pair (docs/adr/0032-flow-sync.md).
//!
//! Each node fetches the other's flows over a connection of its own: it connects, both show that they have the key
//! ([`greeting`]), and from then on the other tells everything once, and then what changes.
//!
//! ```text
//! packet walk ─► FLOW_NEWS ─┐                                            ┌─► place ─► FLOWS4, FLOWS6
//! FLOWS4, FLOWS6 ─► walk ───┴─► sender ─► frames ─► TCP ─► receiver ─────┘
//! ```
//!
//! Three threads: one takes connections, one tells, one fetches.

pub mod counts;
pub mod frame;
pub mod greeting;
mod link;
pub mod names;
pub mod place;
mod receiver;
pub mod record;
pub mod refusal;
mod selection;
mod sender;
mod shared;
#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io::{self, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream},
    os::fd::AsFd as _,
    sync::{Arc, atomic::Ordering, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    net::if_::if_nametoindex,
    poll::{PollFd, PollFlags},
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;

use self::{
    counts::Counts,
    greeting::{Greeting, HELLO, Hello},
    link::{Link, Lost},
    names::Directory,
    receiver::Receiver,
    refusal::Refusal,
    sender::{Caller, Sender},
    shared::Shared,
};
use super::heartbeat::{key::Key, packet::SyncState};
use crate::{
    dataplane::{DataplaneError, FlowFeed, MainTable, PinDirectory},
    model::SyncSettings,
};

/// How long somebody who connects may take to show that it has the key.
const GREETING: Duration = Duration::from_secs(1);

/// Connections that wait to be greeted.
const BACKLOG: i32 = 4;

/// How long the listener waits before it looks whether it is still wanted, milliseconds.
const LOOK_MILLIS: u16 = 100;

/// Where the other node is, and how both know each other.
#[derive(Clone)]
struct Way {
    settings: SyncSettings,
    key: Key,
    life: u64,
}

/// Why replication could not begin.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The port can not be used.
    #[error(
        "listening on TCP port {port} of {interface} for flow replication: {source}; is another agent using it, or does the interface not exist? Change [ha.sync]"
    )]
    Listen {
        /// The port.
        port: u16,
        /// The interface.
        interface: String,
        /// The cause.
        source: io::Error,
    },
    /// The tables can not be opened.
    #[error("{0}")]
    Tables(#[from] DataplaneError),
    /// No thread, or no random number.
    #[error("starting flow replication: {0}")]
    System(#[from] io::Error),
}

/// Replication that runs; it ends when dropped.
pub struct FlowSync {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl FlowSync {
    /// Starts it over the pinned tables.
    ///
    /// # Errors
    /// The port is taken, a table can not be opened, or there are no threads.
    pub fn start(
        settings: &SyncSettings,
        key: Key,
        pins: &PinDirectory,
        directory: Directory,
    ) -> Result<Self, SyncError> {
        let life = u64::from_ne_bytes(random()?);
        let way = Way {
            settings: settings.clone(),
            key,
            life,
        };
        let listener = way.listen().map_err(|source| SyncError::Listen {
            port: settings.port,
            interface: settings.interface.clone(),
            source,
        })?;
        let shared = Arc::new(Shared::new());
        shared.set_directory(directory);
        let (hand_over, callers) = mpsc::channel();
        let sender = Sender {
            feed: FlowFeed::open(pins)?,
            v4: MainTable::v4(pins)?,
            v6: MainTable::v6(pins)?,
            shared: Arc::clone(&shared),
            callers,
        };
        let receiver = Receiver {
            way: way.clone(),
            v4: MainTable::v4(pins)?,
            v6: MainTable::v6(pins)?,
            shared: Arc::clone(&shared),
        };
        let mut sync = Self {
            shared: Arc::clone(&shared),
            threads: Vec::new(),
        };
        sync.spawn("adc-sync-greet", move || {
            greet(&listener, &way, &shared, &hand_over);
        })?;
        sync.spawn("adc-sync-tell", move || sender.run())?;
        sync.spawn("adc-sync-fetch", move || receiver.run())?;
        Ok(sync)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let thread = thread::Builder::new().name(name.into()).spawn(run)?;
        self.threads.push(thread);
        Ok(())
    }

    /// Says what ids of this node stand for from now on, and which VIPs it answers for. The other node is told of flows from
    /// the first time on.
    pub fn set_directory(&self, directory: Directory) {
        self.shared.set_directory(directory);
        self.shared.open();
    }

    /// What it did so far.
    pub fn counts(&self) -> Counts {
        self.shared.counters.counts()
    }

    /// How far this node has the other's flows, now and whenever that changes.
    pub fn state(&self) -> watch::Receiver<SyncState> {
        self.shared.state.subscribe()
    }
}

impl Drop for FlowSync {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic in it was printed.
            drop(thread.join());
        }
    }
}

/// Takes connections; those of the peer that have the key are told of flows.
fn greet(
    listener: &TcpListener,
    way: &Way,
    shared: &Arc<Shared>,
    hand_over: &mpsc::Sender<Caller>,
) {
    while !shared.is_stopped() {
        if !shared.is_open() {
            thread::sleep(Duration::from_millis(LOOK_MILLIS.into()));
            continue;
        }
        let mut ready = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        if !link::wait(&mut ready, LOOK_MILLIS).unwrap_or(false) {
            continue;
        }
        let Ok((stream, from)) = listener.accept() else {
            continue;
        };
        let caller = if from.ip().to_canonical() == way.settings.peer {
            way.greet(stream, shared)
        } else {
            Err(Refusal::Address.into())
        };
        match caller {
            Ok(caller) => {
                tracing::info!(%from, "sync: telling the other node of this node's flows");
                if hand_over.send(caller).is_err() {
                    return;
                }
            }
            Err(lost) => {
                if let Lost::Refused(refusal) = lost {
                    shared.counters.refuse(refusal);
                }
                tracing::debug!(%from, "sync: a connection was refused: {lost}");
            }
        }
    }
}

impl Way {
    /// A greeting of this node, with a nonce of its own.
    fn hello(&self) -> io::Result<Hello> {
        Ok(Hello {
            life: self.life,
            nonce: random()?,
        })
    }

    fn greet(&self, stream: TcpStream, shared: &Shared) -> Result<Caller, Lost> {
        let mut link = Link::new(stream)?;
        let until = Instant::now() + GREETING;
        let wants: [u8; HELLO] = link.exactly(until, &shared.stop)?;
        let wants = Hello::read(&wants, self.life)?;
        let greeting = Greeting::new(&self.key, &wants, &self.hello()?);
        link.send(&greeting.welcome(), &shared.stop)?;
        let proof = link.exactly(until, &shared.stop)?;
        greeting.check_proof(&proof)?;
        let keys = greeting.keys();
        Ok(Caller { link, keys })
    }

    fn listen(&self) -> io::Result<TcpListener> {
        let (socket, any) = self.socket()?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::new(any, self.settings.port).into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }

    fn connect(&self, timeout: Duration) -> io::Result<TcpStream> {
        let (socket, _) = self.socket()?;
        let port = self.settings.port;
        let peer = match self.settings.peer {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => {
                let scope = if_nametoindex(self.settings.interface.as_str())?;
                SocketAddrV6::new(v6, port, 0, scope).into()
            }
            IpAddr::V4(_) | IpAddr::V6(_) => SocketAddr::new(self.settings.peer, port),
        };
        socket.connect_timeout(&peer.into(), timeout)?;
        Ok(socket.into())
    }

    /// A socket of the interface, and the address that stands for all of its family.
    fn socket(&self) -> io::Result<(Socket, IpAddr)> {
        let (domain, any) = match self.settings.peer {
            IpAddr::V4(_) => (Domain::IPV4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            IpAddr::V6(_) => (Domain::IPV6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        };
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind_device(Some(self.settings.interface.as_bytes()))?;
        if domain == Domain::IPV6 {
            socket.set_only_v6(true)?;
        }
        Ok((socket, any))
    }
}

/// Bytes that nobody can foresee.
fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
