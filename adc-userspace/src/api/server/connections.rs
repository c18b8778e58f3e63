//! Serving HTTP/1.1 connections within bounds, for the control socket and the metrics listener.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, serve::Listener};
use hyper::{body::Incoming, server::conn::http1, service::Service, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// What one listener spends on its clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once; more wait in the kernel's backlog until one ends.
    pub connections: usize,
    /// A request head must be complete this long after the connection began to wait for it. Ends
    /// idle connections too.
    pub header: Duration,
    /// No connection lives longer, whatever it does: a client that does not read its answer can
    /// not keep a place.
    pub lifetime: Duration,
    /// At shutdown, requests in hand get this long.
    pub drain: Duration,
}

impl Limits {
    /// For the control socket.
    pub const CONTROL: Self = Self {
        connections: 64,
        header: Duration::from_secs(10),
        lifetime: Duration::from_mins(2),
        drain: Duration::from_secs(5),
    };

    /// For the metrics listener.
    pub const METRICS: Self = Self {
        connections: 16,
        header: Duration::from_secs(10),
        lifetime: Duration::from_mins(1),
        drain: Duration::from_secs(1),
    };
}

/// Lets a handler whose answer takes longer have its connection longer: an extension of each request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lease(Arc<Mutex<Option<Instant>>>);

impl Lease {
    /// The connection may live for `time` from now, whatever [`Limits::lifetime`] says.
    pub(crate) fn extend(&self, time: Duration) {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *until = Some(Instant::now() + time);
    }

    /// Until when, if that is still to come.
    fn remaining(&self) -> Option<Instant> {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.filter(|until| *until > Instant::now())
    }
}

/// hyper's smallest read buffer that holds a reasonable request head; a longer head gets 431.
const HEAD_BUFFER: usize = 16 << 10;

/// Serves `router` on `listener` until `shutdown`. What `admit` makes of a connection is an extension
/// of each of its requests.
pub(crate) async fn serve<L, A, P>(
    mut listener: L,
    limits: Limits,
    router: Router,
    admit: A,
    shutdown: impl Future<Output = ()> + Send,
) where
    L: Listener,
    A: Fn(&L::Io) -> P + Send,
    P: Clone + Send + Sync + 'static,
{
    let slots = Arc::new(Semaphore::new(limits.connections));
    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            let (io, _address) = listener.accept().await;
            (slot, io)
        };
        let (slot, io) = tokio::select! {
            () = &mut shutdown => break,
            (Ok(slot), io) = next => (slot, io),
            else => break,
        };
        while tasks.try_join_next().is_some() {}
        let admitted = admit(&io);
        let router = router.clone();
        tasks.spawn(connection(
            io,
            limits,
            router,
            admitted,
            stopping.clone(),
            slot,
        ));
    }
    drop(listener);
    stop.send_replace(true);
    let finished = async { while tasks.join_next().await.is_some() {} };
    if timeout(limits.drain, finished).await.is_err() {
        tracing::debug!("connections were still busy at shutdown; closing them");
    }
}

async fn connection<I, P>(
    io: I,
    limits: Limits,
    router: Router,
    admitted: P,
    mut stopping: watch::Receiver<bool>,
    _slot: OwnedSemaphorePermit,
) where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    P: Clone + Send + Sync + 'static,
{
    let router = TowerToHyperService::new(router);
    let lease = Lease::default();
    let granted = lease.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(admitted.clone());
        request.extensions_mut().insert(granted.clone());
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_buf_size(HEAD_BUFFER)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    let mut lifetime = pin!(sleep(limits.lifetime));
    let mut closing = false;
    loop {
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended early");
                }
                break;
            }
            _ = stopping.wait_for(|stop| *stop), if !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut lifetime => {
                if let Some(until) = lease.remaining() {
                    lifetime.as_mut().reset(until);
                    continue;
                }
                tracing::debug!("a connection was open for too long");
                break;
            }
        }
    }
}
