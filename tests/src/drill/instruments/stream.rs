//! A stream of numbered UDP packets, each way.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use socket2::SockRef;

use crate::drive::Stamp;
use crate::{net::Namespace, topology::BackendHost};

/// How the payload of every packet begins.
pub(super) const MAGIC: [u8; 4] = *b"ADCd";
/// Between two packets: 1 000 a second.
const INTERVAL: Duration = Duration::from_millis(1);
const LENGTH: usize = 16;
/// How often a thread that receives looks whether it should end.
const STOP_CHECK: Duration = Duration::from_millis(20);

/// Client and echoing backends; the client sends a packet every millisecond until it is stopped.
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What became of the packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamReport {
    /// Packets sent.
    pub sent: usize,
    /// Packets that reached no backend.
    pub lost_forward: usize,
    /// Packets that a backend sent back and the client did not get.
    pub lost_reply: usize,
    /// The longest time in which the client got nothing.
    pub longest_gap: Duration,
}

#[derive(Debug)]
struct Shared {
    run: u32,
    stop_sending: AtomicBool,
    stop: AtomicBool,
    sent: AtomicU32,
    reached: Mutex<Vec<bool>>,
    returned: Mutex<Vec<Option<Stamp>>>,
}

impl Stream {
    /// Starts to send from `client` to `service`; each of `backends` echoes on `port`. `run` tells this stream from others.
    ///
    /// # Panics
    /// If a socket can not be had.
    #[track_caller]
    pub fn start(
        client: &Namespace,
        service: SocketAddr,
        backends: &[BackendHost],
        port: u16,
        run: u32,
    ) -> Self {
        let shared = Arc::new(Shared {
            run,
            stop_sending: false.into(),
            stop: false.into(),
            sent: 0.into(),
            reached: Mutex::default(),
            returned: Mutex::default(),
        });
        let mut threads = Vec::new();
        for host in backends {
            let socket = socket(&host.namespace, host.v4(port));
            let shared = Arc::clone(&shared);
            threads.push(thread::spawn(move || echo(&socket, &shared)));
        }
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let socket = Arc::new(socket(client, any));
        let (sending, receiving) = (Arc::clone(&socket), socket);
        let shared_by = || Arc::clone(&shared);
        let (sender, receiver) = (shared_by(), shared_by());
        threads.push(thread::spawn(move || receive(&receiving, &receiver)));
        threads.push(thread::spawn(move || send(&sending, service, &sender)));
        Self { shared, threads }
    }

    /// Packets sent so far.
    pub fn sent(&self) -> usize {
        self.shared.sent.load(Ordering::Relaxed) as usize
    }

    /// Packets that came back so far.
    pub fn returned(&self) -> usize {
        let returned = lock(&self.shared.returned);
        returned.iter().flatten().count()
    }

    /// Sends no more, waits until what is under way has arrived or is lost, and counts.
    pub fn finish(mut self) -> StreamReport {
        self.shared.stop_sending.store(true, Ordering::Relaxed);
        if let Some(sender) = self.threads.pop() {
            sender.join().ok();
        }
        // Nothing takes longer here: the network is one machine.
        let mut before = usize::MAX;
        while self.returned() != before {
            before = self.returned();
            thread::sleep(5 * STOP_CHECK);
        }
        let (reached, returned) = (lock(&self.shared.reached), lock(&self.shared.returned));
        report(self.sent(), &reached, &returned)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.stop_sending.store(true, Ordering::Relaxed);
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

/// Payload of packet `sequence`.
pub(super) fn payload(run: u32, sequence: u32) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..8].copy_from_slice(&run.to_be_bytes());
    bytes[8..12].copy_from_slice(&sequence.to_be_bytes());
    bytes
}

/// Run and sequence number of a payload of ours.
pub(super) fn parse(payload: &[u8]) -> Option<(u32, u32)> {
    let rest = payload.strip_prefix(&MAGIC)?;
    let (run, rest) = rest.split_first_chunk()?;
    let (sequence, _) = rest.split_first_chunk()?;
    Some((u32::from_be_bytes(*run), u32::from_be_bytes(*sequence)))
}

fn socket(namespace: &Namespace, address: SocketAddr) -> UdpSocket {
    let open = || -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind(address)?;
        socket.set_read_timeout(Some(STOP_CHECK))?;
        Ok(socket)
    };
    let opened = namespace.enter(open);
    opened.unwrap_or_else(|error| panic!("cannot bind {address}: {error}"))
}

fn send(socket: &UdpSocket, service: SocketAddr, shared: &Shared) {
    let mut due = Instant::now();
    while !shared.stop_sending.load(Ordering::Relaxed) {
        let sequence = shared.sent.load(Ordering::Relaxed);
        let packet = payload(shared.run, sequence);
        // What can not be sent (no neighbour, for example) is lost like what is lost on its way, and must not hold up the rest.
        SockRef::from(socket)
            .send_to_with_flags(&packet, &service.into(), libc::MSG_DONTWAIT)
            .ok();
        shared.sent.store(sequence + 1, Ordering::Relaxed);
        due += INTERVAL;
        // If we were not run in time, the packets that are due follow at once.
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

fn echo(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 2048];
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            continue; // the timeout
        };
        let Some(sequence) = of_this_run(&buffer[..length], shared) else {
            continue;
        };
        socket.send_to(&buffer[..length], from).ok();
        let mut reached = lock(&shared.reached);
        *entry(&mut reached, sequence) = true;
    }
}

fn receive(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = [0; 2048];
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((length, _)) = socket.recv_from(&mut buffer) else {
            continue; // the timeout
        };
        if let Some(sequence) = of_this_run(&buffer[..length], shared) {
            let now = Stamp::now();
            let mut returned = lock(&shared.returned);
            entry(&mut returned, sequence).get_or_insert(now);
        }
    }
}

fn of_this_run(payload: &[u8], shared: &Shared) -> Option<usize> {
    let (run, sequence) = parse(payload)?;
    (run == shared.run).then_some(sequence as usize)
}

fn entry<T: Clone + Default>(all: &mut Vec<T>, index: usize) -> &mut T {
    if all.len() <= index {
        all.resize(index + 1, T::default());
    }
    &mut all[index]
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn report(sent: usize, reached: &[bool], returned: &[Option<Stamp>]) -> StreamReport {
    let mut stamps: Vec<Stamp> = returned.iter().flatten().copied().collect();
    stamps.sort_unstable();
    let gaps = stamps.windows(2).map(|pair| pair[1].since(pair[0]));
    let arrived = reached.iter().filter(|reached| **reached).count();
    // A reply is proof that its packet arrived, even if the backend has not noted it yet.
    let arrived = arrived.max(stamps.len());
    StreamReport {
        sent,
        lost_forward: sent.saturating_sub(arrived),
        lost_reply: arrived - stamps.len(),
        longest_gap: gaps.max().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_apart_by_direction_and_the_longest_silence_is_found() {
        let at = |milliseconds: u64| Some(Stamp(milliseconds * 1_000_000));
        let reached = [true, true, false, true, true, true];
        let returned = [at(1), at(2), None, None, at(40), at(41)];
        let report = report(7, &reached, &returned);
        assert_eq!(
            report,
            StreamReport {
                sent: 7,
                lost_forward: 2,
                lost_reply: 1,
                longest_gap: Duration::from_millis(38),
            }
        );
    }

    #[test]
    fn a_payload_tells_its_run_and_its_number() {
        assert_eq!(parse(&payload(7, 500_000)), Some((7, 500_000)));
        assert_eq!(parse(b"ADC"), None);
        assert_eq!(parse(b"ADCdshort"), None);
        assert_eq!(parse(b"xxxx000011112222"), None);
    }
}
