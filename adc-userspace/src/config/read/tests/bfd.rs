//! `[[bfd]]`, monitors of type `bfd`, and groups that track a session.

use std::time::Duration;

use super::{MINIMAL, read};
use crate::{
    bfd::wanted,
    model::{BfdTiming, MonitorKind},
};

fn one(text: &str) -> String {
    format!("{MINIMAL}\n[[bfd]]\nname = \"r1\"\npeer = \"192.0.2.1\"\n{text}\n")
}

#[test]
fn a_session_needs_a_name_and_a_peer_and_has_the_timings_of_routing_daemons() {
    let config = read(&one("")).unwrap();
    let session = &config.bfd[&"r1".parse().unwrap()];
    assert_eq!(session.timing, BfdTiming::DEFAULT);
    assert_eq!((session.passive, &session.interface), (false, &None));
    let text = "interface = \"eth0\"\nlocal = \"192.0.2.2\"\ninterval = \"50ms\"\nmultiplier = 5\npassive = true";
    let config = read(&one(text)).unwrap();
    let session = &config.bfd[&"r1".parse().unwrap()];
    assert_eq!(session.timing.interval, Duration::from_millis(50));
    assert_eq!((session.timing.multiplier, session.passive), (5, true));
    assert_eq!(session.local, Some("192.0.2.2".parse().unwrap()));
}

#[test]
fn each_mistake_is_named_with_what_is_allowed() {
    let cases = [
        ("interval = \"5ms\"", "bfd[0].interval: `5ms`: out of range"),
        ("multiplier = 0", "bfd[0].multiplier: `0`: out of range"),
        (
            "local = \"fe80::1\"",
            "bfd[0].local: `fe80::1`: is not of the peer's family",
        ),
        ("local = \"x\"", "bfd[0].local: `x`: not an IP address"),
        ("interval_ms = 50", "bfd[0].interval_ms: unknown key"),
        (
            "[[bfd]]\nname = \"r1\"\npeer = \"192.0.2.3\"",
            "bfd[1].name: `r1`: bfd[0] has this name already",
        ),
        (
            "[[bfd]]\nname = \"r2\"\npeer = \"192.0.2.1\"",
            "bfd[1].peer: `192.0.2.1`: two systems have one session on a link",
        ),
        (
            "[[bfd]]\nname = \"r2\"\npeer = \"fe80::1\"",
            "bfd[1].peer: `fe80::1`: is link-local",
        ),
        (
            "[[bfd]]\nname = \"r2\"\npeer = \"127.0.0.1\"",
            "bfd[1].peer: `127.0.0.1`: is a loopback address",
        ),
    ];
    for (text, said) in cases {
        let errors = read(&one(text)).expect_err(said).to_string();
        assert!(errors.contains(said), "{errors}");
        assert!(errors.ends_with("1 error"), "{errors}");
    }
}

#[test]
fn a_group_tracks_sessions_that_are_there() {
    let group = |track: &str| {
        let track = format!("track = [{{ {track} }}]");
        one(&format!(
            "[[ha.group]]\nname = \"front\"\nvrid = 1\ninterface = \"eth0\"\nvips = [\"192.0.2.9\"]\n{track}"
        ))
    };
    assert!(read(&group("bfd = \"r1\", weight = -20")).is_ok());
    let errors = read(&group("bfd = \"r2\"")).unwrap_err().to_string();
    let said = "there is no session [[bfd]] of this name";
    assert!(errors.contains(said) && errors.contains("r1"), "{errors}");
}

const BACKENDS: &str = "
[monitor.quick]
type = \"bfd\"
interval = \"50ms\"
multiplier = 4
[monitor.slow]
type = \"bfd\"
[pool.a]
monitors = [\"slow\"]
backends = [{ address = \"10.0.0.1:80\" }, { address = \"10.0.0.2:80\" }]
[pool.b]
monitors = [\"slow\", \"quick\"]
backends = [{ address = \"10.0.0.1:81\" }, { address = \"192.0.2.1:80\" }]
";

#[test]
fn each_address_of_backends_has_one_session_as_quick_as_the_quickest_monitor() {
    let config = read(&(one("") + BACKENDS)).unwrap();
    let sessions = wanted(&config);
    let of = |peer: &str| {
        let mut found = sessions.iter();
        let found = found.find(|(path, _)| path.peer.to_string() == peer);
        let (_, wanted) = found.unwrap();
        let millis = wanted.timing.interval.as_millis();
        (wanted.name.as_str(), millis, wanted.timing.multiplier)
    };
    assert_eq!(sessions.len(), 3);
    assert_eq!(of("10.0.0.1"), ("backend 10.0.0.1", 50, 4));
    assert_eq!(of("10.0.0.2"), ("backend 10.0.0.2", 300, 3));
    assert_eq!(of("192.0.2.1"), ("r1", 300, 3), "that of [[bfd]]");
}

#[test]
fn a_monitor_that_follows_a_session_has_no_keys_of_probes() {
    let monitor = |text: &str| read(&format!("{MINIMAL}\n[monitor.m]\ntype = {text}\n"));
    let config = monitor("\"bfd\"").unwrap();
    let monitor_m = &config.monitors[&"m".parse().unwrap()];
    assert!(matches!(&monitor_m.kind, MonitorKind::Bfd(check) if check.multiplier == 3));
    for key in ["fall = 3", "port = 80", "timeout = \"1s\"", "path = \"/\""] {
        let errors = monitor(&format!("\"bfd\"\n{key}")).unwrap_err().to_string();
        assert!(errors.ends_with("1 error"), "{errors}");
    }
    let errors = monitor("\"icmp\"\nmultiplier = 3").unwrap_err().to_string();
    assert!(errors.contains("only monitors of type bfd"), "{errors}");
}
