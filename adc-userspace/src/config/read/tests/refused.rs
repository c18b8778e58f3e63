//! What a file may not say, and what is said about it.

use super::{MINIMAL, read};

/// The lines printed for `text`, which must not be valid; the last one is the count.
fn errors(text: &str) -> Vec<String> {
    let errors = read(text).expect_err("accepted");
    errors.to_string().lines().map(str::to_owned).collect()
}

/// The only error of the minimal configuration with `from` replaced by `to`.
#[track_caller]
fn one_error(from: &str, to: &str) -> String {
    assert!(MINIMAL.contains(from), "{from} is not in the text");
    let mut lines = errors(&MINIMAL.replacen(from, to, 1));
    assert_eq!(lines.pop().as_deref(), Some("1 error"), "{lines:#?}");
    lines.join("\n")
}

/// As [`one_error`], with lines appended.
#[track_caller]
fn one_error_with(more: &str) -> String {
    let mut lines = errors(&format!("{MINIMAL}{more}"));
    assert_eq!(lines.pop().as_deref(), Some("1 error"), "{lines:#?}");
    lines.join("\n")
}

#[test]
fn all_errors_are_found_at_once_and_in_the_order_of_the_file() {
    let text = r#"
[dataplane]
interfaces = ["eth0"]
[monitor.web]
type = "http"
interval = 2
[pool.web]
monitors = ["wbe"]
backends = [
  { address = "10.0.0.11:80", weight = 100 },
  { address = "10.0.0.12:80", weight = 5000 },
  { address = "localhost:80", wieght = 1 },
]
[service.www]
vip = "203.0.113.10"
port = "80"
pool = "webb"
mode = "fullnat"
"#;
    assert_eq!(
        errors(text),
        [
            "adc.toml:6: monitor.web.interval: `2`: is of type integer; allowed: a duration with its unit, in quotes, such as \"500ms\", \"2s\" or \"1h30m\", 100ms to 1h",
            "adc.toml:8: pool.web.monitors: `wbe`: there is no monitor of this name; did you mean `web`?",
            "adc.toml:11: pool.web.backends[1].weight: `5000`: out of range; allowed: 0 to 1000",
            "adc.toml:12: pool.web.backends[2].address: `localhost:80`: not an IP address (host names are not resolved); allowed: an IP address with a port, such as \"10.0.0.11:8080\" or \"[2001:db8::1]:80\", or without one if the pool has a `port` or the service a range",
            "adc.toml:12: pool.web.backends[2].wieght: unknown key; allowed: address, admin, name, weight; did you mean `weight`?",
            "adc.toml:16: service.www.port: `80`: is of type string; allowed: 1 to 65535, a range such as \"5000-5100\", or \"any\"",
            "adc.toml:18: service.www.mode: `fullnat`: unknown value; allowed: nat, full-nat, dsr-l2, dsr-ipip, dsr-gue; did you mean `full-nat`?",
            "7 errors",
        ]
        .map(|line| line.replace("`80`: is of type string", "`\"80\"`: is of type string"))
    );
}

#[test]
fn a_syntax_error_has_line_and_column() {
    let lines = errors("[dataplane]\ninterfaces = [\"eth0\"\n[node]\n");
    assert!(
        lines[0].starts_with("adc.toml:3:1: not valid TOML: "),
        "{}",
        lines[0]
    );
    let lines = errors(&MINIMAL.replace("port = 80", "port = 80\nport = 81"));
    assert!(
        lines[0].starts_with("adc.toml:11:1: not valid TOML: "),
        "{}",
        lines[0]
    );
}

#[test]
fn errors_as_json_hold_every_part() {
    let errors = read(&MINIMAL.replace("port", "prot")).unwrap_err();
    let json = serde_json::to_value(&errors).unwrap();
    let unknown = json
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["problem"] == "unknown key")
        .unwrap();
    assert_eq!(unknown["file"], "adc.toml");
    assert_eq!(unknown["line"], 10);
    assert_eq!(unknown["key"], "service.www.prot");
    assert_eq!(unknown["did_you_mean"], "port");
    assert!(unknown["allowed"].as_str().unwrap().contains("scheduler"));
}

#[test]
fn wrong_values_are_refused_one_by_one() {
    for (from, to, expected) in [
        ("[\"eth0\"]", "[]", "dataplane.interfaces: is empty"),
        (
            "[\"eth0\"]",
            "[\"eth0\", \"eth0\"]",
            "dataplane.interfaces[1]: `eth0`: listed twice",
        ),
        (
            "[\"eth0\"]",
            "[\"a-name-of-16-byt\"]",
            "dataplane.interfaces[0]: `a-name-of-16-byt`: too long",
        ),
        ("[\"eth0\"]", "[\"eth 0\"]", "not an interface name"),
        (
            "[\"eth0\"]",
            "\"eth0\"",
            "dataplane.interfaces: `\"eth0\"`: is of type string",
        ),
        (
            "[\"eth0\"]",
            "[7]",
            "dataplane.interfaces[0]: `7`: is of type integer",
        ),
        (
            "[\"eth0\"]",
            "[\"eth0\"]\nattach = \"driver\"",
            "dataplane.attach: `driver`: unknown value; allowed: native, skb",
        ),
        (
            "[\"eth0\"]",
            "[\"eth0\"]\npin_path = \"bpf\"",
            "dataplane.pin_path: `bpf`: not an absolute path",
        ),
        (
            "[\"eth0\"]",
            "[\"eth0\"]\nlimits = { services = 0 }",
            "dataplane.limits.services: `0`: out of range; allowed: 1 to 65535",
        ),
        (
            "[\"eth0\"]",
            "[\"eth0\"]\nlimits = { backends = 1 }",
            "dataplane.limits.backends: `1`: too few: the configuration has 2 backends",
        ),
        (
            "10.0.0.11:80",
            "10.0.0.11",
            "pool.web.backends[0].address: `10.0.0.11`: has no port, and neither has the pool, but one is needed by a service with a single port: give it one; needed by service www (line 10)",
        ),
        ("10.0.0.11:80", "10.0.0.11:0", "port 0 is no port"),
        ("10.0.0.11:80", "127.0.0.1:80", "loopback"),
        (
            "10.0.0.11:80",
            "10.0.0.12:80",
            "pool.web.backends[1].address: `10.0.0.12:80`: names the same backend as pool.web.backends[0] (line 6)",
        ),
        (
            "10.0.0.11:80\"",
            "10.0.0.12:80\", name = \"a\"",
            "pool.web.backends[0].address: `10.0.0.12:80`: the same address and port as pool web backend 10.0.0.12:80 (line 6)",
        ),
        (
            "10.0.0.11:80",
            "203.0.113.10:8080",
            "it is the VIP of service www (line 9)",
        ),
        (
            "10.0.0.11:80",
            "[2001:db8::1]:80",
            "service.www.vip: `203.0.113.10`: mode nat does not translate between families",
        ),
        (
            "10.0.0.11:80\"",
            "10.0.0.11:80\", admin = \"maint\"",
            "unknown value; allowed: enabled, draining, maintenance",
        ),
        (
            "{ address = \"10.0.0.11:80\" }",
            "\"10.0.0.11:80\"",
            "pool.web.backends[0]: `\"10.0.0.11:80\"`: is of type string; allowed: a table",
        ),
        (
            "203.0.113.10",
            "203.0.113.10/32",
            "service.www.vip: `203.0.113.10/32`: not an IP address",
        ),
        (
            "203.0.113.10",
            "224.0.0.5",
            "a VIP can not have this address: it is multicast",
        ),
        (
            "port = 80",
            "port = 0",
            "service.www.port: `0`: out of range; allowed: 1 to 65535",
        ),
        (
            "port = 80\n",
            "",
            "adc.toml:8: service.www.port: missing, but required; allowed: 1 to 65535, a range such as \"5000-5100\", or \"any\"",
        ),
        (
            "\"web\"",
            "\"wob\"",
            "service.www.pool: `wob`: there is no pool of this name; did you mean `web`?",
        ),
        (
            "[service.www]",
            "[service.\"w w\"]",
            "service.\"w w\": `w w`: not a valid name",
        ),
        (
            "[service.www]",
            "[servcie.www]",
            "servcie: unknown key; allowed: announce, bfd, dataplane, ha, metrics, monitor, node, pool, service; did you mean `service`?",
        ),
        (
            "port = 80",
            "port = 80\ntimeouts = { closed = \"0s\" }",
            "service.www.timeouts.closed: `0s`: out of range; allowed: 1s to 7days",
        ),
        (
            "port = 80",
            "port = 80\ntimeouts = { closed = \"1500ms\" }",
            "not a whole number of seconds",
        ),
        (
            "port = 80",
            "port = 80\ntimeouts = { closed = \"60\" }",
            "`60`: has no unit",
        ),
        (
            "port = 80",
            "port = 80\nscheduler = \"round-robin\"",
            "`round-robin`: not built yet; allowed: maglev",
        ),
    ] {
        let error = one_error(from, to);
        assert!(error.contains(expected), "{to}: {error}");
    }
}

#[test]
fn wrong_monitors_are_refused() {
    for (monitor, expected) in [
        (
            "",
            "monitor.m.type: missing, but required; allowed: tcp, http, https, icmp",
        ),
        ("type = \"tpc\"", "did you mean `tcp`?"),
        (
            "type = \"tcp\"\npath = \"/\"",
            "monitor.m.path: only monitors of type http and https have this key",
        ),
        (
            "type = \"http\"\nsni = \"a\"",
            "monitor.m.sni: only monitors of type https have this key",
        ),
        ("type = \"icmp\"\nport = 80", "an icmp monitor has no port"),
        (
            "type = \"icmp\"\nsend_proxy = true",
            "monitor.m.send_proxy: `true`: an icmp monitor opens no connection",
        ),
        (
            "type = \"tcp\"\ntimeout = \"3s\"",
            "monitor.m.timeout: `3s`: longer than the interval",
        ),
        (
            "type = \"tcp\"\nrise = 0",
            "monitor.m.rise: `0`: out of range; allowed: 1 to 100",
        ),
        (
            "type = \"tcp\"\njitter = \"51%\"",
            "monitor.m.jitter: `51%`: not a percentage in range",
        ),
        (
            "type = \"tcp\"\njitter = 10",
            "monitor.m.jitter: `10`: is of type integer",
        ),
        (
            "type = \"tcp\"\ninterval = \"2 parsecs\"",
            "monitor.m.interval: `2 parsecs`: not a duration",
        ),
        ("type = \"http\"\nmethod = \"get\"", "did you mean `GET`?"),
        (
            "type = \"http\"\nmethod = \"HEAD\"\nbody = \"x\"",
            "an answer to HEAD has no body",
        ),
        (
            "type = \"http\"\npath = \"health\"",
            "monitor.m.path: `health`: not valid here; allowed: a path that starts with /",
        ),
        (
            "type = \"http\"\npath = \"/a\\r\\nX: y\"",
            "monitor.m.path: `/a\\r\\nX: y`: not valid here",
        ),
        ("type = \"http\"\nstatus = []", "monitor.m.status: is empty"),
        (
            "type = \"http\"\nstatus = [99]",
            "monitor.m.status[0]: `99`: not a status code or range",
        ),
        (
            "type = \"http\"\nstatus = [200, \"399-300\"]",
            "monitor.m.status[1]: `\"399-300\"`: not a status code",
        ),
        (
            "type = \"http\"\nbody_regex = \"a(\"",
            "monitor.m.body_regex: `a(`: not a regular expression: unclosed group",
        ),
        (
            "type = \"http\"\nbody = \"a\"\nbody_regex = \"a\"",
            "`body` and `body_regex` are both given",
        ),
        (
            "type = \"https\"\ntls_verify = \"no\"",
            "monitor.m.tls_verify: `\"no\"`: is of type string; allowed: true or false",
        ),
        (
            "type = \"https\"\ntls_verify = false\nca_file = \"/ca.pem\"",
            "monitor.m.ca_file: has no effect",
        ),
    ] {
        let error = one_error_with(&format!("[monitor.m]\n{monitor}\n"));
        assert!(error.contains(expected), "{monitor}: {error}");
    }
}

#[test]
fn services_on_the_same_vip_port_and_protocol_are_refused_and_both_named() {
    let second = "[service.api]\nvip = \"203.0.113.10\"\nport = 80\npool = \"web\"\n";
    let error = one_error_with(second);
    assert!(error.contains("service.www.vip: `203.0.113.10:80 tcp`: the same VIP, port and protocol as service api (line 13)"), "{error}");
    let other_protocol = format!("{MINIMAL}{second}protocol = \"udp\"\n");
    assert!(read(&other_protocol).is_ok());
}

#[test]
fn metrics_stay_on_this_machine() {
    assert!(one_error_with("[metrics]\nlisten = \"0.0.0.0:9551\"\n").contains("without TLS"));
    assert!(read(&format!("{MINIMAL}[metrics]\nlisten = \"[::1]:1\"\n")).is_ok());
}
