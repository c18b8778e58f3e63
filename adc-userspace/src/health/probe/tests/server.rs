//! A web server that says exactly the bytes a test wants.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use rustls::HandshakeKind;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// What the server does with a request.
#[derive(Clone)]
pub(super) enum Reply {
    /// Sends this and closes.
    Say(Vec<u8>),
    /// Sends this and keeps the connection open.
    SayAndHang(Vec<u8>),
    /// Sends these pieces, each in a write of its own, and closes.
    Pieces(Vec<Vec<u8>>),
    /// Sends this head, then this piece again and again until the client is gone.
    Endless(Vec<u8>, Vec<u8>),
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    handshakes: Arc<Mutex<Vec<HandshakeKind>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(super) async fn start(reply: Reply) -> Self {
        Self::listen("127.0.0.1:0", None, reply).await
    }

    pub(super) async fn start_tls(tls: TlsAcceptor, reply: Reply) -> Self {
        Self::listen("127.0.0.1:0", Some(tls), reply).await
    }

    pub(super) async fn listen(address: &str, tls: Option<TlsAcceptor>, reply: Reply) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let handshakes = Arc::new(Mutex::new(Vec::new()));
        let (seen, shaken) = (requests.clone(), handshakes.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, reply) = (tls.clone(), reply.clone());
                let (seen, shaken) = (seen.clone(), shaken.clone());
                tokio::spawn(async move {
                    match tls {
                        None => answer(stream, reply, &seen).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => {
                                shaken
                                    .lock()
                                    .unwrap()
                                    .extend(stream.get_ref().1.handshake_kind());
                                answer(stream, reply, &seen).await;
                            }
                            Err(_refused_by_the_client) => {}
                        },
                    }
                });
            }
        });
        Self {
            address,
            requests,
            handshakes,
            task,
        }
    }

    /// How the TLS handshakes so far were done.
    pub(super) fn handshakes(&self) -> Vec<HandshakeKind> {
        self.handshakes.lock().unwrap().clone()
    }

    /// Heads of the requests so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    reply: Reply,
    seen: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_client_left) => return,
        }
    }
    seen.lock().unwrap().push(String::from_utf8(head).unwrap());
    // Errors below mean that the client has seen enough.
    match reply {
        Reply::Say(bytes) => {
            if stream.write_all(&bytes).await.is_ok() {
                drop(stream.shutdown().await);
            }
        }
        Reply::SayAndHang(bytes) => {
            drop(stream.write_all(&bytes).await);
            std::future::pending::<()>().await;
        }
        Reply::Pieces(pieces) => {
            for piece in pieces {
                if stream.write_all(&piece).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            drop(stream.shutdown().await);
        }
        Reply::Endless(head, piece) => {
            let mut sent = stream.write_all(&head).await;
            while sent.is_ok() {
                sent = stream.write_all(&piece).await;
            }
        }
    }
}

/// A response with a body of known length.
pub(super) fn response(status: &str, body: &str) -> Reply {
    Reply::Say(
        format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes(),
    )
}
