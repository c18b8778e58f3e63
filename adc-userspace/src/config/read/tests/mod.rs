//! What a file may say.

mod announce;
mod bfd;
mod damage;
mod documents;
mod ha;
mod ha_sync;
mod heartbeat;
mod refused;
mod sync;
mod virtual_mac;

use std::{path::Path, time::Duration};

use crate::{
    config::{ConfigErrors, load, parse},
    model::{
        AdminState, AttachMode, BodyMatch, Config, Hash, InitialState, Limits, MonitorKind,
        StatusRange, Timeouts, TransportProtocol, Weight,
    },
};

const MINIMAL: &str = r#"
[dataplane]
interfaces = ["eth0"]

[pool.web]
backends = [{ address = "10.0.0.11:80" }, { address = "10.0.0.12:80" }]

[service.www]
vip = "203.0.113.10"
port = 80
pool = "web"
"#;

const FULL: &str = r#"
[node]
name = "lb-a"
state_dir = "/srv/adc"
run_dir = "/run/other"
[dataplane]
interfaces = ["eth0", "eth1"]
attach = "skb"
pin_path = "/sys/fs/bpf/other"
vip_interface = "none"
[dataplane.limits]
flows_v4 = 1024
services = 10
[metrics]
listen = "off"
[monitor.web]
type = "https"
interval = "5s"
timeout = "1500ms"
rise = 1
fall = 5
jitter = "0%"
initial = "up"
port = 8443
method = "POST"
path = "/health?full=1"
host = "www.example.com"
status = [200, "300-399"]
body_regex = "^ok$"
sni = "internal.example.com"
tls_verify = true
ca_file = "/no/such/ca.pem"
[pool.web]
monitors = ["web"]
port = 8080
[[pool.web.backends]]
address = "10.0.0.11"
name = "web1"
weight = 0
admin = "draining"
[[pool.web.backends]]
address = "10.0.0.12:81"
[pool.six]
backends = [{ address = "[2001:db8::1]:80" }]
[service.www]
vip = "203.0.113.10"
port = 80
protocol = "udp"
pool = "web"
mode = "nat"
scheduler = "maglev"
hash = "source"
timeouts = { established = "3h", udp_replied = "1m" }
[service.www6]
vip = "2001:db8:1::10"
port = 80
pool = "six"
[ha.heartbeat]
peer = "lb-b"
profile = "ultra"
key_file = "/etc/adc/ha.key"
port = 9554
witness = "192.0.2.1"
paths = [{ interface = "eth2", peer = "192.168.99.2" }]
[announce]

[[bfd]]
name = "router1"
peer = "203.0.113.1"
interface = "eth0"
local = "203.0.113.2"
"#;

fn read(text: &str) -> Result<Config, ConfigErrors> {
    parse(text, Path::new("adc.toml"))
}

#[test]
fn ten_lines_are_enough_and_the_rest_has_defaults() {
    let config = read(MINIMAL).unwrap();
    assert!(MINIMAL.lines().filter(|line| !line.is_empty()).count() <= 10);
    assert_eq!(config.node.state_dir, Path::new("/var/lib/adc"));
    assert_eq!(config.node.run_dir, Path::new("/run/adc"));
    assert_eq!(config.dataplane.attach, AttachMode::Native);
    assert_eq!(config.dataplane.pin_path, Path::new("/sys/fs/bpf/adc"));
    assert_eq!(config.dataplane.vip_interface.as_deref(), Some("eth0"));
    assert_eq!(config.dataplane.limits, Limits::default());
    assert_eq!(
        config.telemetry.listen,
        Some("127.0.0.1:9551".parse().unwrap())
    );
    let service = config.services.values().next().unwrap();
    assert_eq!(service.protocol, TransportProtocol::Tcp);
    assert_eq!(service.hash, Hash::FiveTuple);
    assert_eq!(service.timeouts, Timeouts::default());
    let (name, backend) = config
        .pools
        .values()
        .next()
        .unwrap()
        .backends
        .iter()
        .next()
        .unwrap();
    assert_eq!(name.as_str(), "10.0.0.11:80");
    assert_eq!(backend.weight, Weight(100));
    assert_eq!(backend.admin, AdminState::Enabled);
}

#[test]
fn every_key_is_read() {
    let config = read(FULL).unwrap();
    assert_eq!(config.node.name, "lb-a");
    let heartbeat = config.ha.heartbeat.as_ref().unwrap();
    assert_eq!((heartbeat.port, heartbeat.paths.len()), (9554, 1));
    assert_eq!(heartbeat.witness, Some("192.0.2.1".parse().unwrap()));
    assert_eq!(config.dataplane.interfaces, ["eth0", "eth1"]);
    assert_eq!(config.dataplane.attach, AttachMode::Skb);
    assert_eq!(config.dataplane.vip_interface, None);
    assert_eq!(
        (
            config.dataplane.limits.flows_v4,
            config.dataplane.limits.services
        ),
        (1024, 10)
    );
    assert_eq!(config.telemetry.listen, None);
    let monitor = config.monitors.values().next().unwrap();
    assert_eq!(monitor.interval, Duration::from_secs(5));
    assert_eq!(monitor.timeout, Duration::from_millis(1500));
    assert_eq!(
        (monitor.rise, monitor.fall, monitor.jitter_percent),
        (1, 5, 0)
    );
    assert_eq!(
        (monitor.initial, monitor.port),
        (InitialState::Up, Some(8443))
    );
    let MonitorKind::Http(check) = &monitor.kind else {
        panic!("not http")
    };
    assert_eq!(
        (check.method.as_str(), check.path.as_str()),
        ("POST", "/health?full=1")
    );
    assert_eq!(
        check.status[1],
        StatusRange {
            first: 300,
            last: 399
        }
    );
    assert_eq!(check.body, Some(BodyMatch::Regex("^ok$".into())));
    let tls = check.tls.as_ref().unwrap();
    assert_eq!(
        (tls.sni.as_deref(), tls.verify),
        (Some("internal.example.com"), true)
    );
    let pool = &config.pools[&"web".parse().unwrap()];
    let web1 = &pool.backends[&"web1".parse().unwrap()];
    assert_eq!(web1.address.to_string(), "10.0.0.11:8080");
    assert_eq!((web1.weight, web1.admin), (Weight(0), AdminState::Draining));
    assert!(pool.backends.contains_key(&"10.0.0.12:81".parse().unwrap()));
    let service = &config.services[&"www".parse().unwrap()];
    assert_eq!(
        (service.protocol, service.hash),
        (TransportProtocol::Udp, Hash::Source)
    );
    assert_eq!(
        (service.timeouts.established, service.timeouts.udp_replied),
        (10_800, 60)
    );
}

#[test]
fn a_shorter_interval_shortens_the_default_timeout() {
    let text = format!("{MINIMAL}[monitor.m]\ntype = \"tcp\"\ninterval = \"200ms\"\n");
    let config = read(&text).unwrap();
    assert_eq!(
        config.monitors.values().next().unwrap().timeout,
        Duration::from_millis(200)
    );
}

#[test]
fn loading_reports_unreadable_files_with_everything_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("adc.toml");
    let missing = load(&path).unwrap_err().to_string();
    assert!(
        missing.contains("can not be read: No such file"),
        "{missing}"
    );

    std::fs::write(&path, FULL.replace("\"0%\"", "\"x\"")).unwrap();
    let text = load(&path).unwrap_err().to_string();
    assert!(text.contains(":22: monitor.web.jitter: `x`"), "{text}");
    assert!(
        text.contains(":32: monitor.web.ca_file: `/no/such/ca.pem`: can not be read"),
        "{text}"
    );
    assert!(text.ends_with("2 errors"), "{text}");

    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, "-----BEGIN CERTIFICATE-----\n").unwrap();
    std::fs::write(&path, FULL.replace("/no/such/ca.pem", ca.to_str().unwrap())).unwrap();
    assert!(load(&path).is_ok());
    std::fs::write(&ca, "nothing").unwrap();
    assert!(
        load(&path)
            .unwrap_err()
            .to_string()
            .contains("holds no certificate")
    );
}

#[test]
fn a_node_without_a_name_gets_the_host_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("adc.toml");
    std::fs::write(&path, MINIMAL).unwrap();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(load(&path).unwrap().node.name, host.trim());
}
