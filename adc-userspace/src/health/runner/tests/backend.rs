//! A backend that a test can kill and bring back.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::model::BackendAddress;

pub(super) struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    status: AtomicU16,
    accepted: AtomicUsize,
    open: AtomicUsize,
    most_open: AtomicUsize,
}

impl Backend {
    /// Answers HTTP with status 200 on a free port of `ip`. Tests that kill it use an address of their own
    /// in 127.0.0.0/8, where nobody takes the port in the meantime.
    pub(super) async fn start(ip: &str) -> Self {
        let listener = TcpListener::bind(format!("{ip}:0")).await.unwrap();
        let mut backend = Self {
            address: listener.local_addr().unwrap(),
            shared: Arc::new(Shared::default()),
            task: None,
        };
        backend.set_status(200);
        backend.serve(listener);
        backend
    }

    pub(super) fn address(&self) -> BackendAddress {
        BackendAddress(self.address)
    }

    /// Status of all answers from now on; 0 = never answer.
    pub(super) fn set_status(&self, status: u16) {
        self.shared.status.store(status, SeqCst);
    }

    pub(super) fn accepted(&self) -> usize {
        self.shared.accepted.load(SeqCst)
    }

    /// Most connections that were open at once.
    pub(super) fn most_open(&self) -> usize {
        self.shared.most_open.load(SeqCst)
    }

    /// Closes the port.
    pub(super) async fn die(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
    }

    /// Opens the port again.
    pub(super) async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serve(listener);
    }

    fn serve(&mut self, listener: TcpListener) {
        let shared = self.shared.clone();
        self.task = Some(tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(shared.clone().answer(stream));
            }
        }));
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Shared {
    async fn answer(self: Arc<Self>, mut stream: TcpStream) {
        self.accepted.fetch_add(1, SeqCst);
        let open = self.open.fetch_add(1, SeqCst) + 1;
        self.most_open.fetch_max(open, SeqCst);
        let mut request = [0; 1_024];
        let status = self.status.load(SeqCst);
        // Errors mean that the probe is over, which a TCP probe is at once.
        if stream
            .read(&mut request)
            .await
            .is_ok_and(|length| length > 0)
            && status != 0
        {
            let response = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
            drop(stream.write_all(response.as_bytes()).await);
        }
        drop(stream.read(&mut request).await);
        self.open.fetch_sub(1, SeqCst);
    }
}
