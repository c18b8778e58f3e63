//! HTTP(S) probes against a real server on loopback.

use std::time::Duration;

use tokio::net::TcpListener;

use crate::model::{BodyMatch, HttpCheck, Monitor, MonitorKind, StatusRange};

use super::{
    Probe, failed, http_check, monitor, passed, refusing, run,
    server::{Reply, Server, response},
};

fn http(change: impl FnOnce(&mut HttpCheck)) -> Monitor {
    let mut check = http_check();
    change(&mut check);
    monitor(MonitorKind::Http(check))
}

fn body(body: BodyMatch) -> Monitor {
    http(|check| check.body = Some(body))
}

fn text(text: &str) -> Monitor {
    body(BodyMatch::Text(text.into()))
}

fn regex(pattern: &str) -> Monitor {
    body(BodyMatch::Regex(pattern.into()))
}

#[tokio::test]
async fn the_request_says_what_the_monitor_says() {
    let server = Server::start(response("204 No Content", "")).await;
    let monitor = http(|check| {
        check.method = "HEAD".into();
        check.path = "/healthz?full=1".into();
        check.host = Some("shop.example:8443".into());
    });
    assert_eq!(
        run(&monitor, server.address).await,
        passed("http: status 204")
    );
    let requests = server.requests();
    let lines: Vec<String> = requests[0].lines().map(str::to_lowercase).collect();
    assert_eq!(lines[0], "head /healthz?full=1 http/1.1");
    let agent = format!("user-agent: adc/{}", env!("CARGO_PKG_VERSION"));
    for header in ["host: shop.example:8443", "connection: close", &agent] {
        assert!(
            lines.iter().any(|line| line == header),
            "{header}: {lines:?}"
        );
    }
}

#[tokio::test]
async fn the_host_header_is_the_backends_address_by_default() {
    for listen in ["127.0.0.1:0", "[::1]:0"] {
        let server = Server::listen(listen, None, response("200 OK", "")).await;
        run(&http(|_| {}), server.address).await;
        let wanted = format!("host: {}\r\n", server.address);
        let request = server.requests().remove(0);
        assert!(request.to_lowercase().contains(&wanted), "{request}");
    }
}

#[tokio::test]
async fn every_probe_has_a_connection_of_its_own() {
    let server = Server::start(response("200 OK", "")).await;
    let probe = Probe::new(&http(|_| {})).unwrap();
    for expected in 1..=3 {
        probe.run(server.address).await;
        assert_eq!(server.requests().len(), expected);
    }
}

#[tokio::test]
async fn only_the_expected_status_codes_pass() {
    let server = Server::start(response("503 Service Unavailable", "")).await;
    let finding = run(&http(|_| {}), server.address).await;
    assert_eq!(finding, failed("http: status 503, expected 200-299"));

    let range = |first, last| StatusRange { first, last };
    let monitor = http(|check| check.status = vec![range(200, 204), range(301, 301)]);
    let finding = run(&monitor, server.address).await;
    assert_eq!(finding, failed("http: status 503, expected 200-204, 301"));

    let monitor = http(|check| check.status = vec![range(200, 200), range(503, 503)]);
    assert_eq!(
        run(&monitor, server.address).await,
        passed("http: status 503")
    );
}

#[tokio::test]
async fn the_body_is_searched_for_text_and_patterns() {
    let server = Server::start(response("200 OK", "status: ready, 17 workers")).await;
    let good = passed("http: status 200, body as expected");
    assert_eq!(run(&text("ready"), server.address).await, good);
    assert_eq!(run(&regex(r"\b\d+ workers$"), server.address).await, good);
    assert_eq!(
        run(&text("r.ady"), server.address).await,
        failed("http: body lacks `r.ady` (looked at 25 bytes)")
    );
    assert_eq!(
        run(&regex("^ready"), server.address).await,
        failed("http: body lacks a match of `^ready` (looked at 25 bytes)")
    );
}

#[tokio::test]
async fn text_split_over_many_writes_is_found() {
    let mut pieces = vec![b"HTTP/1.1 200 OK\r\n\r\n".to_vec()];
    pieces.extend(b"all systems ready".iter().map(|byte| vec![*byte]));
    let server = Server::start(Reply::Pieces(pieces)).await;
    let good = passed("http: status 200, body as expected");
    assert_eq!(run(&text("systems ready"), server.address).await, good);
    assert_eq!(run(&regex("^all.*ready$"), server.address).await, good);
}

#[tokio::test]
async fn an_endless_body_is_read_up_to_64_kib() {
    let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let server = Server::start(Reply::Endless(head, vec![b'a'; 5_000])).await;
    for monitor in [text("needle"), regex("needle")] {
        let finding = run(&monitor, server.address).await;
        assert!(
            finding.detail().ends_with("(looked at 65536 bytes)"),
            "{finding:?}"
        );
    }
}

#[tokio::test]
async fn text_in_a_stream_that_stays_open_is_enough() {
    let event = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ready\n\n";
    let server = Server::start(Reply::SayAndHang(event.to_vec())).await;
    assert_eq!(
        run(&text("ready"), server.address).await,
        passed("http: status 200, body as expected")
    );
}

#[tokio::test]
async fn garbage_is_not_health() {
    for garbage in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"\0\xff\xfe\x01",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 xx OK\r\n\r\n",
    ] {
        let server = Server::start(Reply::Say(garbage.to_vec())).await;
        let finding = run(&http(|_| {}), server.address).await;
        assert_eq!(
            finding,
            failed("http: answer is not HTTP/1.x"),
            "{garbage:?}"
        );
    }
}

#[tokio::test]
async fn half_a_response_is_not_health() {
    let cut = failed("http: connection closed before the end of the response");
    for half in [&b""[..], b"HTTP/1.1 200 OK\r\nContent-Le"] {
        let server = Server::start(Reply::Say(half.to_vec())).await;
        assert_eq!(run(&http(|_| {}), server.address).await, cut, "{half:?}");
    }
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nno end";
    let server = Server::start(Reply::Say(half.to_vec())).await;
    assert_eq!(run(&regex("no end"), server.address).await, cut);
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let head = b"HTTP/1.1 200 OK\r\nX: ".to_vec();
    let server = Server::start(Reply::Endless(head, vec![b'a'; 8_192])).await;
    assert_eq!(
        run(&http(|_| {}), server.address).await,
        failed("http: response head is larger than 65536 bytes")
    );
}

#[tokio::test]
async fn a_closed_port_is_told_from_a_bad_answer() {
    let finding = run(&http(|_| {}), refusing().await).await;
    assert_eq!(finding, failed("tcp connect: connection refused"));
}

#[tokio::test]
async fn a_backend_that_never_answers_times_out_and_the_text_says_where() {
    // Bound and listening, but nobody accepts: the kernel completes the handshake.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut monitor = http(|_| {});
    monitor.timeout = Duration::from_millis(50);
    let outcome = Probe::new(&monitor)
        .unwrap()
        .run(silent.local_addr().unwrap())
        .await;
    assert_eq!(
        outcome.finding,
        failed("timeout after 50ms in http response")
    );
    assert!(outcome.elapsed >= monitor.timeout);
}

#[tokio::test]
async fn a_body_that_stalls_times_out() {
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nso far so";
    let server = Server::start(Reply::SayAndHang(half.to_vec())).await;
    let mut monitor = text("good");
    monitor.timeout = Duration::from_millis(50);
    assert_eq!(
        run(&monitor, server.address).await,
        failed("timeout after 50ms in http response")
    );
}

#[test]
fn what_cannot_be_sent_is_refused_when_the_monitor_is_made() {
    type Change = fn(&mut HttpCheck);
    let cases: [(&str, Change); 7] = [
        ("`GE T`", |check| check.method = "GE T".into()),
        ("`CONNECT`", |check| check.method = "CONNECT".into()),
        ("`health`", |check| check.path = "health".into()),
        ("`/a b`", |check| check.path = "/a b".into()),
        ("`a b`", |check| check.host = Some("a b".into())),
        ("`me@shop`", |check| check.host = Some("me@shop".into())),
        ("pattern", |check| {
            check.body = Some(BodyMatch::Regex("(".into()));
        }),
    ];
    for (mentioned, change) in cases {
        let error = Probe::new(&http(change)).unwrap_err().to_string();
        assert!(error.contains(mentioned), "{error}");
    }
}
