//! The third host that a node must reach to be active without its peer: asked by ICMP echo as often as heartbeats go out.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, ppoll},
    sys::time::TimeSpec,
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{
    ha::heartbeat::realtime,
    health::echo::{Echo, Family, PAYLOAD, after_ipv4_header},
};

/// Questions whose time of sending is remembered.
const REMEMBERED: usize = 64;

/// How soon a stop is noticed, at least.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// Between two attempts to get a socket.
const REOPEN: Duration = Duration::from_secs(1);

/// What the network says of a host that is not there.
const UNREACHABLE: [io::ErrorKind; 3] = [
    io::ErrorKind::HostUnreachable,
    io::ErrorKind::NetworkUnreachable,
    io::ErrorKind::ConnectionRefused,
];

/// What is known of the witness.
#[derive(Clone)]
pub(super) struct Answers(Arc<Known>);

struct Known {
    began: Instant,
    /// Nanoseconds from then to when the newest question was sent that was answered, and one; 0 = none was.
    newest: AtomicU64,
    stop: AtomicBool,
}

/// The thread that asks; it ends when this is dropped.
pub(super) struct Witness {
    answers: Answers,
    thread: Option<JoinHandle<()>>,
}

impl Answers {
    /// When the newest question was sent that was answered.
    pub(super) fn newest(&self) -> Option<Instant> {
        let nanos = self.0.newest.load(Relaxed).checked_sub(1)?;
        Some(self.0.began + Duration::from_nanos(nanos))
    }

    fn note(&self, asked: Instant) {
        let nanos = asked.saturating_duration_since(self.0.began).as_nanos();
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX - 1);
        self.0.newest.fetch_max(nanos + 1, Relaxed);
    }
}

impl Witness {
    /// Asks `address` every `interval`.
    ///
    /// # Errors
    /// No thread could be started, or it could not be made real-time.
    pub(super) fn start(address: IpAddr, interval: Duration, real_time: bool) -> io::Result<Self> {
        let answers = Answers(Arc::new(Known {
            began: Instant::now(),
            newest: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        }));
        let thread = thread::Builder::new().name("witness".into()).spawn({
            let answers = answers.clone();
            move || {
                if let Err(error) = realtime::prepare(real_time) {
                    tracing::warn!("the witness's thread: {error}; it runs as an ordinary one");
                }
                ask(address, interval, &answers);
            }
        })?;
        Ok(Self {
            answers,
            thread: Some(thread),
        })
    }

    pub(super) fn answers(&self) -> Answers {
        self.answers.clone()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.answers.0.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic in it was printed; there is nothing to add.
            drop(thread.join());
        }
    }
}

fn ask(address: IpAddr, interval: Duration, answers: &Answers) {
    let mut told = false;
    while !answers.0.stop.load(Relaxed) {
        let outcome = open(address).and_then(|socket| {
            told = false;
            converse(&socket, address, interval, answers)
        });
        if let Err(error) = outcome {
            if !told {
                tracing::warn!("asking the witness {address}: {error}; trying again every second");
                told = true;
            }
            thread::sleep(REOPEN);
        }
    }
}

/// Asks and listens until told to stop, or until the socket does not do any more.
fn converse(
    socket: &UdpSocket,
    address: IpAddr,
    interval: Duration,
    answers: &Answers,
) -> io::Result<()> {
    let id = fastrand::u16(..);
    let payload: [u8; PAYLOAD] = std::array::from_fn(|_| fastrand::u8(..));
    let family = match address {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    };
    let question = |sequence| Echo {
        family,
        id,
        sequence,
        payload,
    };
    let mut sent: [Option<(u16, Instant)>; REMEMBERED] = [None; REMEMBERED];
    let mut sequence: u16 = 0;
    let mut due = Instant::now();
    while !answers.0.stop.load(Relaxed) {
        let now = Instant::now();
        if now >= due {
            due = (due + interval).max(now);
            sequence = sequence.wrapping_add(1);
            sent[usize::from(sequence) % REMEMBERED] = Some((sequence, now));
            // A witness without a route is one that does not answer.
            let _unsent = socket.send(&question(sequence).request());
        }
        wait(socket, due)?;
        while let Some(message) = receive(socket, family)? {
            let known = sent.iter().flatten();
            let answered = known
                .filter(|(sequence, _)| question(*sequence).is_answered_by(&message, true))
                .map(|(_, asked)| *asked);
            if let Some(asked) = answered.max() {
                answers.note(asked);
            }
        }
    }
    Ok(())
}

fn wait(socket: &UdpSocket, due: Instant) -> io::Result<()> {
    let left = due.saturating_duration_since(Instant::now());
    let mut waiting = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    match ppoll(
        &mut waiting,
        Some(TimeSpec::from_duration(left.min(LONGEST_WAIT))),
        None,
    ) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The next ICMP message from the witness, if one waits; errors that the network reports are none of the socket's.
fn receive(socket: &UdpSocket, family: Family) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = [0; 256];
    match socket.recv(&mut buffer) {
        Ok(length) => {
            let packet = &buffer[..length];
            let message = match family {
                Family::V4 => after_ipv4_header(packet).unwrap_or_default(),
                Family::V6 => packet,
            };
            Ok(Some(message.to_vec()))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) if UNREACHABLE.contains(&error.kind()) => Ok(Some(Vec::new())),
        Err(error) => Err(error),
    }
}

/// A raw socket that hears of the witness only. The standard library has no such sockets; its UDP one is any that is
/// connected.
fn open(address: IpAddr) -> io::Result<UdpSocket> {
    let (domain, protocol) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::from(SocketAddr::new(address, 0)))?;
    Ok(socket.into())
}
