//! A UDP echo server of our own.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

use crate::{drive::ROOM, topology::BackendHost};

/// How often a serving thread looks whether it should stop.
const STOP_CHECK: Duration = Duration::from_millis(50);

/// Answers every datagram with `<name> <payload>`, on the host's IPv4 and IPv6 address.
#[derive(Debug)]
pub struct UdpEcho {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    received: AtomicU64,
    stop: AtomicBool,
}

impl UdpEcho {
    /// Binds the host's own two addresses: a wildcard socket might answer from another one.
    #[track_caller]
    pub fn start(host: &BackendHost, port: u16) -> Self {
        let shared = Arc::<Shared>::default();
        let start = |address: SocketAddr| {
            let socket = host
                .namespace
                .enter(|| UdpSocket::bind(address))
                .unwrap_or_else(|error| panic!("cannot bind {address}: {error}"));
            setsockopt(&socket, RcvBufForce, &ROOM)
                .unwrap_or_else(|error| panic!("cannot make room for {address}: {error}"));
            socket
                .set_read_timeout(Some(STOP_CHECK))
                .unwrap_or_else(|error| panic!("cannot set a timeout on {address}: {error}"));
            let (shared, name) = (Arc::clone(&shared), host.name.clone());
            thread::spawn(move || serve(&socket, &name, &shared))
        };
        let threads = [host.v4(port), host.v6(port)].map(start).into();
        Self { shared, threads }
    }

    /// Datagrams received so far.
    pub fn received(&self) -> u64 {
        self.shared.received.load(Ordering::Relaxed)
    }
}

impl Drop for UdpEcho {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

fn serve(socket: &UdpSocket, name: &str, shared: &Shared) {
    let mut buffer = vec![0; 65_536];
    while !shared.stop.load(Ordering::Relaxed) {
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else {
            continue; // the timeout, or an ICMP error about an earlier answer
        };
        shared.received.fetch_add(1, Ordering::Relaxed);
        let mut answer = format!("{name} ").into_bytes();
        answer.extend_from_slice(&buffer[..length]);
        socket.send_to(&answer, peer).ok();
    }
}
