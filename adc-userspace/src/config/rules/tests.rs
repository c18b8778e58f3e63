//! Rules that a file can not break, because its reader looks first, but an edit can.

use std::path::Path;

use super::check;
use crate::{
    config::parse,
    model::{Config, Weight},
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
        service.port = 0;
        service.timeouts.reset = 0;
        service.timeouts.closed = 604_801;
    });
    assert_eq!(
        service,
        [
            "service www port: `0`: port 0 is no port; allowed: 1 to 65535",
            "service www timeouts: `604801s`: out of range; allowed: closed: 1s to 7days",
            "service www timeouts: `0s`: out of range; allowed: reset: 1s to 7days",
        ]
    );
}

#[test]
fn a_family_mismatch_says_what_to_do() {
    let text = broken(|config| {
        config.services.values_mut().next().unwrap().vip = "2001:db8::10".parse().unwrap();
    });
    assert_eq!(text.len(), 1, "{text:?}");
    assert!(text[0].contains("this VIP is IPv6, but 10.0.0.1:80 of pool web is IPv4; give IPv4 backends a pool of their own and a service with an IPv4 VIP"), "{}", text[0]);
}

#[test]
fn a_pool_counts_once_per_service_that_uses_it() {
    let over = broken(|config| {
        config.dataplane.limits.backends = 1;
        let mut second = config.services.values().next().unwrap().clone();
        second.port = 443;
        config.services.insert("tls".parse().unwrap(), second);
    });
    assert_eq!(over.len(), 1, "{over:?}");
    assert!(
        over[0].contains("the configuration has 2 backends"),
        "{}",
        over[0]
    );
}
