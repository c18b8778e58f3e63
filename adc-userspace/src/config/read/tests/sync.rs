//! `[ha.sync]`: what it may say, and what not.

use std::{path::Path, time::Duration};

use super::{MINIMAL, read};
use crate::model::SYNC_PORT;

const SYNC: &str = r#"
[node]
name = "lb-a"
[ha.sync]
interface = "eth2"
peer = "192.168.99.2"
key_file = "/etc/adc/ha.key"
"#;

const HEARTBEAT: &str = r#"
[ha.heartbeat]
peer = "lb-b"
key_file = "/etc/adc/heartbeat.key"
paths = [{ interface = "eth2", peer = "192.168.99.2" }]
"#;

#[test]
fn replication_is_read_with_its_defaults_and_a_node_alone_has_none() {
    let sync = read(&format!("{SYNC}{MINIMAL}")).unwrap().ha.sync.unwrap();
    assert_eq!((sync.interface.as_str(), sync.port), ("eth2", SYNC_PORT));
    assert_eq!(sync.wait_at_most, Duration::from_mins(1));
    assert_eq!(read(MINIMAL).unwrap().ha.sync, None);
}

#[test]
fn the_heartbeats_key_serves_where_no_other_is_given() {
    let keyless = SYNC.replace(r#"key_file = "/etc/adc/ha.key""#, "");
    let sync = read(&format!("{keyless}{HEARTBEAT}{MINIMAL}"));
    let sync = sync.unwrap().ha.sync.unwrap();
    assert_eq!(sync.key_file, Path::new("/etc/adc/heartbeat.key"));
    let errors = read(&format!("{keyless}{MINIMAL}"))
        .unwrap_err()
        .to_string();
    assert!(
        errors.contains("ha.sync.key_file: missing, and there is no"),
        "{errors}"
    );
    assert!(errors.ends_with("1 error"), "{errors}");
}

#[test]
fn each_mistake_is_named_with_what_is_allowed() {
    let cases = [
        (
            r#"interface = "eth2""#,
            "",
            "interface: missing, but required",
        ),
        (
            r#"peer = "192.168.99.2""#,
            "",
            "peer: missing, but required",
        ),
        (
            "192.168.99.2",
            "224.0.0.18",
            "peer: `224.0.0.18`: not the address of one host",
        ),
        (
            "/etc/adc/ha.key",
            "ha.key",
            "key_file: `ha.key`: not an absolute path",
        ),
        (
            "[ha.sync]",
            "[ha.sync]\nport = 0",
            "port: `0`: out of range",
        ),
        (
            "[ha.sync]",
            "[ha.sync]\nwait_at_most = \"2h\"",
            "wait_at_most: `2h`: out of range",
        ),
        ("[ha.sync]", "[ha.sync]\nwait = 1", "wait: unknown key"),
    ];
    for (from, to, said) in cases {
        assert!(SYNC.contains(from), "{from}");
        let text = format!("{}{MINIMAL}", SYNC.replacen(from, to, 1));
        let errors = read(&text).expect_err(said).to_string();
        assert!(errors.contains(&format!("ha.sync.{said}")), "{errors}");
        assert!(errors.ends_with("1 error"), "{errors}");
    }
}
