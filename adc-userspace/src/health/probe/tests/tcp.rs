//! TCP probes against real sockets.

use std::io::ErrorKind;

use tokio::{io::AsyncReadExt, net::TcpListener};

use crate::model::{Monitor, MonitorKind};

use super::{Probe, failed, http_check, monitor, passed, refusing, run};

#[tokio::test]
async fn a_listening_backend_passes_over_both_families() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let finding = run(&monitor(MonitorKind::Tcp), address).await;
        assert_eq!(finding, passed("tcp connect: accepted"));
    }
}

#[tokio::test]
async fn a_closed_port_fails_at_once() {
    let finding = run(&monitor(MonitorKind::Tcp), refusing().await).await;
    assert_eq!(finding, failed("tcp connect: connection refused"));
}

#[tokio::test]
async fn the_probe_closes_with_a_reset_so_that_no_time_wait_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    run(&monitor(MonitorKind::Tcp), address).await;
    let (mut accepted, _) = listener.accept().await.unwrap();
    let error = accepted.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn the_monitors_port_replaces_the_backends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut backend = refusing().await;
    backend.set_ip([127, 0, 0, 1].into());
    let mut other_port = monitor(MonitorKind::Tcp);
    other_port.port = Some(listener.local_addr().unwrap().port());
    let finding = run(&other_port, backend).await;
    assert_eq!(finding, passed("tcp connect: accepted"));
}

#[tokio::test]
async fn a_server_that_wants_a_proxy_header_gets_one_before_anything_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for kind in [MonitorKind::Tcp, MonitorKind::Http(http_check())] {
        let proxied = Monitor {
            send_proxy: true,
            ..monitor(kind)
        };
        let server = async {
            let (mut accepted, _) = listener.accept().await.unwrap();
            let mut header = [0; 16];
            let _bytes = accepted.read_exact(&mut header).await.unwrap();
            header
        };
        let probe = Probe::new(&proxied).unwrap();
        let (header, _outcome) = tokio::join!(server, probe.run(address));
        assert_eq!(&header, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
    }
}
