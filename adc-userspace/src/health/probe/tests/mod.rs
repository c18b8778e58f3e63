//! Probes against real sockets on loopback.

mod http;
mod icmp;
mod server;
mod tcp;
mod tls;

use std::{net::SocketAddr, time::Duration};

use crate::model::{HttpCheck, InitialState, Monitor, MonitorKind, StatusRange};

use super::{Finding, Probe};

/// Long enough for a busy machine; only tests of timeouts use another.
const PATIENT: Duration = Duration::from_secs(20);

fn monitor(kind: MonitorKind) -> Monitor {
    Monitor {
        kind,
        interval: PATIENT,
        timeout: PATIENT,
        rise: 2,
        fall: 3,
        jitter_percent: 10,
        initial: InitialState::Down,
        port: None,
        send_proxy: false,
    }
}

fn http_check() -> HttpCheck {
    HttpCheck {
        method: "GET".into(),
        path: "/".into(),
        host: None,
        status: vec![StatusRange {
            first: 200,
            last: 299,
        }],
        body: None,
        tls: None,
    }
}

async fn run(monitor: &Monitor, address: SocketAddr) -> Finding {
    Probe::new(monitor).unwrap().run(address).await.finding
}

fn passed(detail: &str) -> Finding {
    Finding::Passed(detail.into())
}

fn failed(detail: &str) -> Finding {
    Finding::Failed(detail.into())
}

/// An address that refuses connections: it was free a moment ago, and nobody else uses 127.66.0.0/16.
async fn refusing() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.66.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}
