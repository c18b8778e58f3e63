//! Rules that a file can not break, because its reader looks first, but an edit can.

use std::path::Path;

use super::check;
use crate::{
    config::parse,
    model::{Config, Ports, Weight},
};

fn config() -> Config {
    let text = r#"
dataplane.interfaces = ["eth0"]
pool.web.backends = [{ name = "a", address = "10.0.0.1:80" }]
service.www = { vip = "203.0.113.10", port = 80, pool = "web" }
"#;
    parse(text, Path::new("adc.toml")).unwrap()
}

fn broken(change: impl FnOnce(&mut Config)) -> Vec<String> {
    let mut config = config();
    change(&mut config);
    check(&config).iter().map(ToString::to_string).collect()
}

#[test]
fn values_are_checked_whatever_made_them() {
    assert_eq!(broken(|_| ()), [""; 0]);
    let weight = broken(|config| {
        let pool = config.pools.values_mut().next().unwrap();
        pool.backends.values_mut().next().unwrap().weight = Weight(1001);
    });
    assert_eq!(
        weight,
        ["pool web backend a weight: `1001`: out of range; allowed: 0 to 1000"]
    );
    let service = broken(|config| {
        let service = config.services.values_mut().next().unwrap();
        service.port = Ports::One(0);
        service.timeouts.reset = 0;
        service.timeouts.closed = 604_801;
    });
    assert_eq!(
        service,
        [
            "service www timeouts: `604801s`: out of range; allowed: closed: 1s to 7days",
            "service www timeouts: `0s`: out of range; allowed: reset: 1s to 7days",
            "service www port: `0`: port 0 is no port; allowed: 1 to 65535, a range such as \"5000-5100\", or \"any\"",
        ]
    );
}

#[test]
fn a_family_mismatch_says_what_to_do() {
    let text = broken(|config| {
        config.services.values_mut().next().unwrap().vip = "2001:db8::10".parse().unwrap();
    });
    assert_eq!(text.len(), 1, "{text:?}");
    assert!(text[0].contains("this VIP is IPv6, but 10.0.0.1:80 of pool web is IPv4; give IPv4 backends a pool of their own and a service with an IPv4 VIP, or use mode full-nat; first one: pool web backend a"), "{}", text[0]);
}

#[test]
fn a_pool_counts_once_per_service_that_uses_it() {
    let over = broken(|config| {
        config.dataplane.limits.backends = 1;
        let mut second = config.services.values().next().unwrap().clone();
        second.port = Ports::One(443);
        config.services.insert("tls".parse().unwrap(), second);
    });
    assert_eq!(over.len(), 1, "{over:?}");
    assert!(
        over[0].contains("the configuration has 2 backends"),
        "{}",
        over[0]
    );
}

/// The configuration, with these lines for its service and its backend.
fn with(service: &str, backend: &str) -> Vec<String> {
    let text = format!(
        "dataplane.interfaces = [\"eth0\"]\npool.web.backends = [{{ name = \"a\", address = \"{backend}\" }}]\n[service.www]\nport = 80\npool = \"web\"\n{service}\n"
    );
    match parse(&text, Path::new("adc.toml")) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.to_string().lines().map(str::to_owned).collect(),
    }
}

fn refused(service: &str, backend: &str, words: &str) {
    let errors = with(service, backend);
    assert!(
        errors.iter().any(|error| error.contains(words)),
        "{words}: {errors:?}"
    );
}

#[test]
fn full_nat_wants_local_addresses_of_the_backends_family() {
    let v4 = r#"vip = "203.0.113.10"
mode = "full-nat"
"#;
    let snat = |list: &str| format!("{v4}snat = [{list}]");
    assert_eq!(with(&snat("\"10.2.0.100\""), "10.0.0.1:80"), [""; 0]);
    refused(
        v4,
        "10.0.0.1:80",
        "list some that belong to this node alone",
    );
    refused(&snat(""), "10.0.0.1:80", "there are none");
    refused(&snat("\"fd00::1\""), "10.0.0.1:80", "add an IPv4 address");
    refused(
        &snat("\"203.0.113.10\""),
        "10.0.0.1:80",
        "the VIP of service www",
    );
    refused(
        &snat("\"10.0.0.1\""),
        "10.0.0.1:80",
        "that of pool web backend a",
    );
    refused(&snat("\"127.0.0.1\""), "10.0.0.1:80", "loopback");
    refused(
        &snat("\"10.2.0.100\", \"10.2.0.100\""),
        "10.0.0.1:80",
        "listed twice",
    );
    let many: Vec<_> = (0..17).map(|n| format!("\"10.2.0.{n}\"")).collect();
    refused(&snat(&many.join(", ")), "10.0.0.1:80", "1 to 16 addresses");
    refused(
        "vip = \"203.0.113.10\"\nsnat = [\"10.2.0.100\"]",
        "10.0.0.1:80",
        "set mode = \"full-nat\"",
    );
}

#[test]
fn families_mix_only_where_a_mode_translates_them() {
    let service = |mode: &str, vip: &str, snat: &str| {
        format!("mode = \"{mode}\"\nvip = \"{vip}\"\nsnat = [{snat}]")
    };
    let six = "2001:db8::10";
    assert_eq!(
        with(&service("full-nat", six, "\"10.2.0.100\""), "10.0.0.1:80"),
        [""; 0]
    );
    refused(
        &service("full-nat", "203.0.113.10", "\"fd00::100\""),
        "[fd00::1]:80",
        "from IPv6 clients to IPv4 backends (NAT64), not the other way",
    );
    refused(
        &service("nat", six, ""),
        "10.0.0.1:80",
        "or use mode full-nat",
    );
    refused(
        &service("dsr-l2", six, ""),
        "10.0.0.1:80",
        "sends the packet unchanged",
    );
    let words = with(&service("dsr-ipip", six, ""), "10.0.0.1:80");
    assert!(
        !words.iter().any(|error| error.contains("families")),
        "{words:?}"
    );
}

#[test]
fn modes_with_direct_return_translate_no_ports() {
    for mode in ["dsr-l2", "dsr-ipip", "dsr-gue"] {
        let service = format!("mode = \"{mode}\"\nvip = \"203.0.113.10\"");
        refused(
            &service,
            "10.0.0.1:8080",
            "let the backends listen on port 80",
        );
        let words = with(&service, "10.0.0.1:80");
        assert!(
            !words.iter().any(|error| error.contains("ports")),
            "{words:?}"
        );
    }
}

#[test]
fn tunnel_options_belong_to_modes_with_tunnels() {
    let service =
        |mode: &str, option: &str| format!("mode = \"{mode}\"\nvip = \"203.0.113.10\"\n{option}");
    let refuses = |mode: &str, option: &str, words: &str| {
        refused(&service(mode, option), "10.0.0.1:80", words);
    };
    refuses("dsr-ipip", "tunnel_port = 7000", "set mode = \"dsr-gue\"");
    refuses("nat", "tunnel_port = 7000", "remove `tunnel_port`");
    refuses(
        "dsr-l2",
        "tunnel_source = [\"10.2.0.1\"]",
        "wraps packets in no others",
    );
    refuses(
        "dsr-gue",
        "tunnel_source = [\"10.2.0.1\", \"10.2.0.2\"]",
        "at most one IPv4 and one IPv6",
    );
    refuses(
        "dsr-gue",
        "tunnel_source = [\"127.0.0.1\"]",
        "a tunnel source can not have this address",
    );
    refuses("dsr-gue", "tunnel_source = [\"ten\"]", "not an IP address");
    let fine = service(
        "dsr-gue",
        "tunnel_port = 7000\ntunnel_source = [\"10.2.0.1\", \"fd00::1\"]",
    );
    assert_eq!(with(&fine, "10.0.0.1:80"), [""; 0]);
}

#[test]
fn segments_are_limited_to_a_number_or_by_the_mtu() {
    let service = |options: &str| format!("vip = \"203.0.113.10\"\n{options}");
    for fine in ["mss_clamp = 1400", "mss_clamp = \"auto\""] {
        assert_eq!(with(&service(fine), "10.0.0.1:80"), [""; 0]);
    }
    let refuses = |options: &str, words: &str| refused(&service(options), "10.0.0.1:80", words);
    refuses("mss_clamp = 535", "536 to 65495");
    refuses("mss_clamp = \"outo\"", "auto");
    refuses(
        "mss_clamp = \"auto\"\nprotocol = \"udp\"",
        "UDP has no segments",
    );
    refuses(
        "mss_clamp = \"auto\"\nprotocol = \"sctp\"",
        "SCTP has no segments",
    );
}

#[test]
fn pools_of_sctp_services_are_not_asked_for_tcp_at_the_port_of_sctp() {
    let with_monitor = |protocol: &str, monitor: &str| {
        let text = format!(
            r#"
dataplane.interfaces = ["eth0"]
monitor.m = {{ {monitor} }}
pool.sigtran = {{ monitors = ["m"], backends = [{{ address = "10.0.0.1:2905" }}] }}
service.sigtran = {{ vip = "203.0.113.10", port = 2905, pool = "sigtran", protocol = "{protocol}" }}
"#
        );
        match parse(&text, Path::new("adc.toml")) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    };
    for monitor in [r#"type = "tcp""#, r#"type = "http""#, r#"type = "https""#] {
        let error = with_monitor("sctp", monitor);
        for words in ["service.sigtran.pool", "monitor m", "`port`", "icmp"] {
            assert!(error.contains(words), "{words}: {error}");
        }
        assert_eq!(with_monitor("tcp", monitor), "");
    }
    for monitor in [r#"type = "icmp""#, r#"type = "tcp", port = 22"#] {
        assert_eq!(with_monitor("sctp", monitor), "");
    }
}

#[test]
fn a_proxy_protocol_header_goes_into_tcp_streams_that_pass_both_ways() {
    let service = |options: &str| format!("vip = \"203.0.113.10\"\n{options}");
    let on = "proxy_protocol = \"v2\"";
    let full_nat = format!("{on}\nmode = \"full-nat\"\nsnat = [\"10.2.0.100\"]");
    for fine in [on, full_nat.as_str()] {
        assert_eq!(with(&service(fine), "10.0.0.1:80"), [""; 0]);
    }
    let refuses = |options: &str, words: &str| {
        refused(&service(&format!("{on}\n{options}")), "10.0.0.1:80", words);
    };
    refuses("protocol = \"udp\"", "udp has no stream");
    refuses("mode = \"dsr-l2\"", "mode = \"nat\" or \"full-nat\"");
    refused(&service("proxy_protocol = \"v1\""), "10.0.0.1:80", "v2");
}
