//! The server against clients of every kind, with a fake agent behind it.

mod audit;
mod round_trips;

use std::{sync::Arc, time::Duration};

use nix::unistd::Uid;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use super::{Access, Limits, Server};
use crate::api::{MAX_BODY, client::Client, proto::*, socket_path, testing::FakeControl};

/// Longer than anything here takes; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Agent {
    control: Arc<FakeControl>,
    client: Client,
    directory: TempDir,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Agent {
    fn start() -> Self {
        Self::of(FakeControl::default())
    }

    fn of(control: FakeControl) -> Self {
        let access = Access::of_users(&[Uid::effective().as_raw()]);
        Self::serving(control, access, Limits::CONTROL)
    }

    fn start_with(access: Access, limits: Limits) -> Self {
        Self::serving(FakeControl::default(), access, limits)
    }

    fn serving(control: FakeControl, access: Access, limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = socket_path(directory.path());
        let server = Server::bind(&path).unwrap().with(access, limits);
        let control = Arc::new(control);
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&control);
        let task = tokio::spawn(server.serve(served, async {
            stopped.await.ok();
        }));
        Self {
            control,
            client: Client::new(&path).with_timeout(PATIENCE),
            directory,
            stop,
            task,
        }
    }

    async fn connect(&self) -> UnixStream {
        let path = socket_path(self.directory.path());
        UnixStream::connect(path).await.unwrap()
    }

    /// Sends raw bytes and returns all that comes back until the server hangs up.
    async fn say(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        read_all(&mut stream).await
    }

    async fn is_alive(&self) -> bool {
        self.client.status().await.is_ok()
    }
}

async fn read_all(stream: &mut UnixStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is as good as an end: the answer has been read by then.
    timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("the server neither answers nor hangs up")
        .ok();
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(line: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{line} HTTP/1.1\r\nhost: adc\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn short_limits() -> Limits {
    Limits {
        header: Duration::from_millis(50),
        ..Limits::CONTROL
    }
}

#[tokio::test]
async fn garbage_gets_400_and_the_agent_lives() {
    let agent = Agent::start();
    let garbage: [&[u8]; 4] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"hello there\r\n\r\n",
        b"GET /api/v1/status HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\ncontent-length: nonsense\r\n\r\n",
    ];
    for bytes in garbage {
        let answer = agent.say(bytes).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{bytes:?}: {answer}");
    }
    assert!(agent.is_alive().await);
}

#[tokio::test]
async fn an_endless_request_head_is_refused() {
    let agent = Agent::start();
    let mut head = b"GET /api/v1/status HTTP/1.1\r\nx: ".to_vec();
    head.resize(100_000, b'a');
    let mut stream = agent.connect().await;
    // The server may hang up before it has read everything.
    stream.write_all(&head).await.ok();
    let answer = read_all(&mut stream).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    assert!(agent.is_alive().await);
}

#[tokio::test]
async fn half_requests_and_silent_connections_are_hung_up_on() {
    let agent = Agent::start_with(
        Access::of_users(&[Uid::effective().as_raw()]),
        short_limits(),
    );
    for half in [
        "",
        "GET /api/v1/sta",
        "GET /api/v1/status HTTP/1.1\r\nhost: a",
    ] {
        let answer = agent.say(half.as_bytes()).await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    assert!(agent.is_alive().await);
}

#[tokio::test]
async fn more_half_requests_than_places_do_not_lock_anybody_out() {
    let limits = Limits {
        connections: 4,
        ..short_limits()
    };
    let agent = Agent::start_with(Access::of_users(&[Uid::effective().as_raw()]), limits);
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut stream = agent.connect().await;
        stream.write_all(b"GET /api").await.unwrap();
        held.push(stream);
    }
    assert!(agent.is_alive().await);
    drop(held);
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_loses_its_place() {
    let limits = Limits {
        connections: 1,
        lifetime: Duration::from_millis(100),
        ..Limits::CONTROL
    };
    let agent = Agent::start_with(Access::of_users(&[Uid::effective().as_raw()]), limits);
    let deaf = agent.connect().await;
    let pipelined = b"GET /api/v1/drops HTTP/1.1\r\nhost: adc\r\n\r\n".repeat(200);
    // Fills both socket buffers, then stops: nobody reads.
    while deaf.writable().await.is_ok() && deaf.try_write(&pipelined).is_ok() {}
    assert!(agent.is_alive().await);
}

#[tokio::test]
async fn many_clients_at_once_are_all_answered() {
    let agent = Agent::start();
    let clients = (0..200).map(|_| {
        let client = agent.client.clone();
        tokio::spawn(async move { client.status().await.map(|status| status.node) })
    });
    for client in clients.collect::<Vec<_>>() {
        assert_eq!(client.await.unwrap().unwrap(), "lb-a");
    }
}

#[tokio::test]
async fn an_oversize_body_gets_413_whether_announced_or_streamed() {
    let agent = Agent::start();
    let announced = format!(
        "PUT /api/v1/config HTTP/1.1\r\nhost: adc\r\ncontent-length: {}\r\n\r\n",
        MAX_BODY + 1
    );
    let answer = agent.say(announced.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains(r#""code":"too-large""#), "{answer}");

    let head = "PUT /api/v1/config HTTP/1.1\r\nhost: adc\r\ntransfer-encoding: chunked\r\n\r\n";
    let stream = agent.connect().await;
    let (mut from, mut to) = stream.into_split();
    let writer = tokio::spawn(async move {
        to.write_all(head.as_bytes()).await.ok();
        let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x10000));
        while to.write_all(chunk.as_bytes()).await.is_ok() {}
    });
    let mut status = [0; 12];
    timeout(PATIENCE, from.read_exact(&mut status))
        .await
        .expect("no answer to an endless body")
        .unwrap();
    assert_eq!(&status, b"HTTP/1.1 413");
    drop(from);
    writer.abort();
    assert!(agent.is_alive().await);
    assert!(agent.control.applied.lock().unwrap().is_empty());
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_apart() {
    let agent = Agent::start();
    for path in ["GET /", "GET /api/v2/status", "GET /api/v1/statuses"] {
        let answer = agent.say(&request(path, "")).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    let answer = agent.say(&request("DELETE /api/v1/status", "")).await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert!(answer.contains("does not take DELETE"), "{answer}");
}

#[tokio::test]
async fn requests_that_make_no_sense_say_why_and_change_nothing() {
    let agent = Agent::start();
    let cases = [
        ("POST /api/v1/services", "{", "EOF"),
        (
            "POST /api/v1/services",
            r#"{"name":"a","vipp":"192.0.2.1"}"#,
            "vipp",
        ),
        ("POST /api/v1/services?dryrun=true", "{}", "dryrun"),
        (
            "PATCH /api/v1/pools/web/backends/web1",
            r#"{"weigth":1}"#,
            "weigth",
        ),
        (
            "PATCH /api/v1/pools/web/backends/web1",
            r#"{"weight":70000}"#,
            "70000",
        ),
        ("DELETE /api/v1/services/-bad-", "", "not a valid name"),
        (
            "GET /api/v1/flows?client=everybody",
            "",
            "neither an address",
        ),
        ("PUT /api/v1/config", r#"{"reset":true}"#, "reset"),
    ];
    for (line, body, said) in cases {
        let answer = agent.say(&request(line, body)).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{line}: {answer}");
        assert!(answer.contains(said), "{line}: {answer}");
    }
    assert!(agent.control.edits.lock().unwrap().is_empty());
    assert!(agent.control.applied.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_stranger_gets_403_on_every_route() {
    let agent = Agent::start_with(Access::of_users(&[]), Limits::CONTROL);
    let error = agent.client.status().await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NotPermitted);
    let name = "www".parse().unwrap();
    let error = agent.client.remove_service(&name, false).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::NotPermitted);
    assert!(agent.control.edits.lock().unwrap().is_empty());
    let answer = agent.say(&request("GET /nothing", "")).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[tokio::test]
async fn shutdown_removes_the_socket_and_finishes() {
    let agent = Agent::start();
    assert!(agent.is_alive().await);
    let idle = agent.connect().await;
    agent.stop.send(()).unwrap();
    timeout(PATIENCE, agent.task).await.unwrap().unwrap();
    assert!(!socket_path(agent.directory.path()).exists());
    let error = agent.client.status().await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unreachable);
    drop(idle);
}
