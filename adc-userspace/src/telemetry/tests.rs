//! The metrics text against a strict reader, and the listener.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    time::timeout,
};

use super::{MetricsServer, collector::render};
use crate::{
    api::testing::{FakeControl, backend_view, service_view},
    model::{AdminState, Weight},
};

/// Samples by full name with labels.
type Samples = BTreeMap<String, f64>;

/// Reads OpenMetrics text and refuses what a scraper might: a sample without family, a family twice or
/// without HELP, samples of one family apart, a series twice, a counter without `_total`.
fn parse(text: &str) -> Samples {
    let body = text.strip_suffix("# EOF\n").expect("ends with # EOF");
    let (mut samples, mut families) = (Samples::new(), BTreeSet::new());
    let (mut family, mut kind, mut help) = ("", "", "");
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').expect("HELP has a text");
            assert!(!words.trim().is_empty(), "{line}");
            assert!(families.insert(name), "family {name} twice");
            help = name;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            (family, kind) = rest.split_once(' ').expect("TYPE has a type");
            assert_eq!(help, family, "HELP and TYPE go together");
            assert!(["counter", "gauge", "info"].contains(&kind), "{line}");
        } else {
            assert!(!line.starts_with('#'), "{line}");
            let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
            let name = series.split('{').next().unwrap();
            let suffix = match kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            assert_eq!(name, format!("{family}{suffix}"), "{line}");
            check_labels(&series[name.len()..]);
            let value = value.parse().expect("a number");
            assert!(
                samples.insert(series.to_owned(), value).is_none(),
                "twice: {line}"
            );
        }
    }
    samples
}

fn check_labels(labels: &str) {
    if labels.is_empty() {
        return;
    }
    let inner = labels.strip_prefix('{').and_then(|l| l.strip_suffix('}'));
    let mut names = BTreeSet::new();
    for label in inner.expect("braces").split(',') {
        let (name, value) = label.split_once('=').expect("name=value");
        assert!(names.insert(name), "label {name} twice in {labels}");
        assert!(
            name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{labels}"
        );
        assert!(
            value.len() >= 2 && value.starts_with('"') && value.ends_with('"'),
            "{labels}"
        );
    }
}

#[test]
fn the_text_is_strict_open_metrics_and_holds_every_area() {
    let samples = parse(&render(FakeControl::default().snapshot()).unwrap());
    let expected = [
        (r#"adc_build_info{version="0.1.0",node="lb-a"}"#, 1.0),
        ("adc_start_time_seconds", 1_795_255_200.0),
        (
            r#"adc_xdp_attach_mode{interface="eth0",mode="native"}"#,
            1.0,
        ),
        (r#"adc_xdp_attach_mode{interface="eth0",mode="skb"}"#, 0.0),
        ("adc_config_generation", 7.0),
        ("adc_config_last_reload_successful", 1.0),
        (r#"adc_bfd_session_up{session="router1"}"#, 1.0),
        (r#"adc_bfd_session_up{session="backend 10.0.0.1"}"#, 0.0),
        (r#"adc_bfd_detection_seconds{session="router1"}"#, 0.15),
        (r#"adc_announced{vip="192.0.2.1"}"#, 1.0),
        (r#"adc_announced{vip="2001:db8::1"}"#, 0.0),
        (r#"adc_service_up{service="www"}"#, 1.0),
        (
            r#"adc_service_packets_total{service="www",direction="reply"}"#,
            20.0,
        ),
        (
            r#"adc_backend_bytes_total{service="www",pool="web",backend="web1",direction="forward"}"#,
            1_000.0,
        ),
        (
            r#"adc_backend_health{pool="web",backend="web1",state="up"}"#,
            1.0,
        ),
        (
            r#"adc_backend_health{pool="web",backend="web1",state="down"}"#,
            0.0,
        ),
        (
            r#"adc_backend_effective_weight{pool="web",backend="web1"}"#,
            100.0,
        ),
        (
            r#"adc_check_results_total{pool="web",backend="web1",monitor="http",result="failure"}"#,
            1.0,
        ),
        (
            r#"adc_check_last_duration_seconds{pool="web",backend="web1",monitor="http"}"#,
            0.0015,
        ),
        (
            r#"adc_packets_total{reason="no_backend",class="dropped"}"#,
            20.0,
        ),
        (r#"adc_drops_total{reason="no_backend"}"#, 20.0),
        (r#"adc_flow_table_entries{table="established-v4"}"#, 3.0),
        (
            r#"adc_flow_table_capacity{table="established-v4"}"#,
            262_144.0,
        ),
    ];
    for (series, value) in expected {
        let found = samples.get(series).copied();
        assert_eq!(found, Some(value), "{series}");
    }
    assert!(
        !samples.contains_key(r#"adc_drops_total{reason="not_ip"}"#),
        "what is passed is not dropped"
    );
}

/// The reference, which these tests hold to the code.
const REFERENCE: &str = include_str!("../../../docs/cli.md");

#[test]
fn the_reference_lists_every_metric_and_no_other() {
    let samples = parse(&render(FakeControl::default().snapshot()).unwrap());
    let name = |series: &String| series.split('{').next().unwrap_or_default().to_owned();
    let served: BTreeSet<String> = samples.keys().map(name).collect();
    let documented: BTreeSet<String> = REFERENCE
        .split('`')
        .filter(|word| word.starts_with("adc_"))
        .map(str::to_owned)
        .collect();
    assert_eq!(served, documented);
}

#[test]
fn a_pool_shared_by_two_services_yields_no_series_twice() {
    let mut snapshot = FakeControl::default().snapshot();
    snapshot.services = vec![service_view("a", "web"), service_view("b", "web")];
    let samples = parse(&render(snapshot).unwrap());
    for service in ["a", "b"] {
        let series =
            format!(r#"adc_backend_flows{{service="{service}",pool="web",backend="web1"}}"#);
        assert!(samples.contains_key(&series), "{series}");
    }
}

#[test]
fn an_override_is_the_weight_and_states_are_one_hot() {
    let mut snapshot = FakeControl::default().snapshot();
    let mut backend = backend_view("web", "web1", 0, "draining: set by an operator");
    backend.weight.runtime = Some(Weight(50));
    backend.admin = AdminState::Draining;
    snapshot.backends = vec![backend];
    let samples = parse(&render(snapshot).unwrap());
    let get = |series: &str| samples[series].to_string();
    assert_eq!(
        get(r#"adc_backend_weight{pool="web",backend="web1"}"#),
        "50"
    );
    assert_eq!(
        get(r#"adc_backend_effective_weight{pool="web",backend="web1"}"#),
        "0"
    );
    for (state, value) in [("enabled", "0"), ("draining", "1"), ("maintenance", "0")] {
        let series =
            format!(r#"adc_backend_admin_state{{pool="web",backend="web1",state="{state}"}}"#);
        assert_eq!(get(&series), value, "{series}");
    }
}

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: adc\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    timeout(Duration::from_secs(20), read)
        .await
        .unwrap()
        .unwrap();
    answer
}

fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

#[tokio::test]
async fn the_listener_serves_metrics_health_and_readiness() {
    for down in [false, true] {
        let server = MetricsServer::bind(any_port()).unwrap();
        let address = server.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let control = Arc::new(FakeControl {
            down,
            ..FakeControl::default()
        });
        let task = tokio::spawn(server.serve(control, async {
            stopped.await.ok();
        }));
        let metrics = get(address, "/metrics").await;
        let (head, _body) = metrics.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(
            head.contains("application/openmetrics-text; version=1.0.0"),
            "{head}"
        );
        assert!(metrics.trim_end().ends_with("# EOF"));
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let ready = get(address, "/readyz").await;
        let (status, says) = if down {
            ("503", "not attached")
        } else {
            ("200", "ready")
        };
        assert!(ready.starts_with(&format!("HTTP/1.1 {status}")), "{ready}");
        assert!(ready.contains(says), "{ready}");
        assert!(get(address, "/").await.starts_with("HTTP/1.1 404"));
        stop.send(()).unwrap();
        timeout(Duration::from_secs(20), task)
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn a_busy_port_is_named_with_its_remedy() {
    let first = MetricsServer::bind(any_port()).unwrap();
    let error = MetricsServer::bind(first.address())
        .unwrap_err()
        .to_string();
    assert!(error.contains(&first.address().to_string()), "{error}");
    assert!(error.contains("metrics.listen"), "{error}");
}
