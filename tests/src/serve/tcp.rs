//! Small TCP servers of our own, on threads of this process.

use std::{
    collections::HashMap,
    convert::Infallible,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv6Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use socket2::SockRef;

use crate::{net::Namespace, topology::BackendHost};

/// A TCP server, one thread per connection. Dropping it closes the listener and every connection,
/// as the death of a server process does.
#[derive(Debug)]
pub struct TcpServer {
    shared: Arc<Shared>,
    listener: Arc<TcpListener>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    accepted: AtomicU64,
    open: Mutex<HashMap<u64, TcpStream>>,
}

/// Answers every HTTP request with `<name>\n`, then closes; `/healthz` is a path like any other.
pub fn http(host: &BackendHost, port: u16) -> TcpServer {
    let name = host.name.clone();
    TcpServer::start(&host.namespace, port, move |stream| {
        // A client that goes away early is its own business.
        answer(&stream, &name).ok();
    })
}

/// [`http`] as a whole process, in whatever namespace that runs in; returns if listening fails.
///
/// # Errors
/// The port cannot be bound.
pub fn serve_http(name: &str, port: u16) -> io::Result<Infallible> {
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?;
    let name = name.to_owned();
    let _server = TcpServer::accept_on(listener, move |stream| {
        answer(&stream, &name).ok();
    });
    loop {
        thread::park();
    }
}

/// Sends back whatever it receives, for as long as the connection lives.
pub fn echo(host: &BackendHost, port: u16) -> TcpServer {
    TcpServer::start(&host.namespace, port, |mut stream| {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
    })
}

impl TcpServer {
    /// Listens on every address of `namespace`, IPv4 and IPv6.
    #[track_caller]
    pub fn start(
        namespace: &Namespace,
        port: u16,
        serve: impl Fn(TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let listener = namespace
            .enter(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)))
            .unwrap_or_else(|error| {
                panic!(
                    "cannot listen on port {port} in {}: {error}",
                    namespace.name()
                )
            });
        Self::accept_on(listener, serve)
    }

    fn accept_on(listener: TcpListener, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = Arc::new(listener);
        let shared = Arc::<Shared>::default();
        let acceptor = {
            let (listener, shared) = (Arc::clone(&listener), Arc::clone(&shared));
            thread::spawn(move || accept(&listener, &shared, &Arc::new(serve)))
        };
        Self {
            shared,
            listener,
            acceptor: Some(acceptor),
        }
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        lock(&self.shared.open).len()
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        // On Linux this wakes the thread that is blocked in accept().
        SockRef::from(&*self.listener).shutdown(Shutdown::Both).ok();
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().ok();
        }
    }
}

fn accept<S: Fn(TcpStream) + Send + Sync + 'static>(
    listener: &TcpListener,
    shared: &Arc<Shared>,
    serve: &Arc<S>,
) {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    while let Ok((stream, _peer)) = listener.accept() {
        let id = shared.accepted.fetch_add(1, Ordering::Relaxed);
        let Ok(handle) = stream.try_clone() else {
            continue; // out of descriptors: the client sees a closed connection
        };
        lock(&shared.open).insert(id, handle);
        let (shared, serve) = (Arc::clone(shared), Arc::clone(serve));
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread::spawn(move || {
            serve(stream);
            lock(&shared.open).remove(&id);
        }));
    }
    for stream in lock(&shared.open).values() {
        stream.shutdown(Shutdown::Both).ok();
    }
    for thread in threads {
        thread.join().ok();
    }
}

fn answer(stream: &TcpStream, name: &str) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next().transpose()? {
        if line.is_empty() {
            let body = format!("{name}\n");
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            return (&mut &*stream).write_all(format!("{head}{body}").as_bytes());
        }
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
