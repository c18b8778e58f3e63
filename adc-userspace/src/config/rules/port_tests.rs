//! One port, ranges of ports, any port.

use std::path::Path;

use crate::config::parse;

/// The errors of services at 203.0.113.10 with these ports, and of their pool.
fn ports(services: &[(&str, &str)], pool: &str) -> Vec<String> {
    let pool = format!("dataplane.interfaces = [\"eth0\"]\n[pool.web]\n{pool}\n");
    let vip = "vip = \"203.0.113.10\"";
    let services = services
        .iter()
        .map(|(name, keys)| format!("[service.{name}]\n{vip}\npool = \"web\"\n{keys}\n"));
    let text: String = std::iter::once(pool).chain(services).collect();
    match parse(&text, Path::new("adc.toml")) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.to_string().lines().map(str::to_owned).collect(),
    }
}

const WITH_PORT: &str = "backends = [{ address = \"10.0.0.1:80\" }]";
const WITHOUT: &str = "backends = [{ address = \"10.0.0.1\" }]";

#[test]
fn a_service_has_one_port_or_a_range_or_any() {
    for (keys, problem) in [
        (
            "port = \"5100-5000\"",
            "`5100-5000`: the range is empty, because its first port is above its last; allowed: 1 to 65535, a range such as \"5000-5100\", or \"any\"",
        ),
        ("port = \"0-90\"", "`0-90`: port 0 is no port; allowed: "),
        (
            "port = \"90-90\"",
            "`90-90`: a range of one port; write it as a number; allowed: ",
        ),
        (
            "port = \"90-65536\"",
            "`90-65536`: not a port, a range of ports or \"any\"; allowed: ",
        ),
        (
            "port = \"all\"",
            "`all`: not a port, a range of ports or \"any\"; allowed: ",
        ),
        ("port = 0", "`0`: out of range; allowed: 1 to 65535"),
    ] {
        let errors = ports(&[("ftp", keys)], WITH_PORT);
        let expected = format!("adc.toml:7: service.ftp.port: {problem}");
        assert!(errors[0].starts_with(&expected), "{errors:?}");
        assert_eq!(errors.len(), 2, "{errors:?}");
    }
    for fine in [
        "port = \"5000-5100\"",
        "port = \"any\"",
        "port = \"1-65535\"",
    ] {
        assert_eq!(ports(&[("ftp", fine)], WITH_PORT), [""; 0]);
        assert_eq!(ports(&[("ftp", fine)], WITHOUT), [""; 0]);
    }
}

#[test]
fn ranges_of_one_vip_and_protocol_do_not_overlap() {
    let clash = ports(
        &[
            ("a", "port = \"5000-5100\""),
            ("b", "port = \"5100-5200\""),
            ("c", "port = \"6000-6100\""),
        ],
        WITHOUT,
    );
    assert_eq!(
        clash,
        [
            "adc.toml:11: service.b.port: `203.0.113.10:5100-5200 tcp`: has ports in common with the range of another service; let ranges end before others begin. The other is service a (line 7)",
            "1 error"
        ]
    );
    let twice = ports(&[("a", "port = \"any\""), ("b", "port = \"any\"")], WITHOUT);
    assert!(
        twice[0].contains("`203.0.113.10:any tcp`: the same VIP, port and protocol as service a"),
        "{twice:?}"
    );
    // One within another that reaches further than the next.
    let inner = ports(
        &[
            ("a", "port = \"100-900\""),
            ("b", "port = \"200-300\""),
            ("c", "port = \"400-500\""),
        ],
        WITHOUT,
    );
    assert_eq!(inner.len(), 3, "{inner:?}");
    let beside = [
        ("a", "port = \"5000-5100\""),
        ("b", "port = \"5101-5200\""),
        ("c", "port = \"any\""),
        ("d", "port = \"5000-5100\"\nprotocol = \"udp\""),
    ];
    assert_eq!(ports(&beside, WITHOUT), [""; 0]);
    let single = [("a", "port = \"5000-5100\""), ("b", "port = 5050")];
    assert_eq!(ports(&single, WITH_PORT), [""; 0]);
}

#[test]
fn a_single_port_needs_a_backend_with_one() {
    let errors = ports(&[("www", "port = 80")], WITHOUT);
    assert_eq!(
        errors,
        [
            "adc.toml:3: pool.web.backends[0].address: `10.0.0.1`: has no port, and neither has the pool, but one is needed by a service with a single port: give it one; needed by service www (line 7)",
            "1 error"
        ]
    );
    assert_eq!(
        ports(&[("www", "port = 80")], &format!("port = 8080\n{WITHOUT}")),
        [""; 0]
    );
}

#[test]
fn direct_return_of_a_range_wants_backends_without_port() {
    let errors = ports(
        &[("www", "mode = \"dsr-l2\"\nport = \"5000-5100\"")],
        WITH_PORT,
    );
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(
        errors[0].contains("service.www.port: `5000-5100`: mode dsr-l2 does not translate ports, because backends answer clients directly: 10.0.0.1:80 of pool web has a port; give address and pool no port, or use mode nat or full-nat; first one: pool web backend 10.0.0.1:80"),
        "{errors:?}"
    );
    let fine = [("www", "mode = \"dsr-l2\"\nport = \"any\"")];
    assert_eq!(ports(&fine, WITHOUT), [""; 0]);
}

#[test]
fn a_monitor_of_backends_without_port_has_one_of_its_own() {
    let pool = |monitor: &str| format!("monitors = [\"m\"]\n{WITHOUT}\n[monitor.m]\n{monitor}");
    let any = [("www", "port = \"any\"")];
    let errors = ports(&any, &pool("type = \"tcp\""));
    assert_eq!(
        errors,
        [
            "adc.toml:3: pool.web.monitors: `m`: probes the backend's own port, and 10.0.0.1 has none; give the monitor a `port`, or use one of type icmp or bfd; first backend without: pool web backend 10.0.0.1 (line 4)",
            "1 error"
        ]
    );
    assert_eq!(ports(&any, &pool("type = \"tcp\"\nport = 22")), [""; 0]);
    assert_eq!(ports(&any, &pool("type = \"icmp\"")), [""; 0]);
}
