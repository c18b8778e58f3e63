//! `[ha]`: what it may say and what not.

use std::time::Duration;

use super::{MINIMAL, read};
use crate::model::{Announce, Checksum, Tracked, VrrpVersion};

const GROUP: &str = r#"
[[ha.group]]
name = "front"
vrid = 51
interface = "eth0"
vips = ["203.0.113.10"]
"#;

const FULL: &str = r#"
[[ha.group]]
name = "front"
vrid = 51
interface = "eth0"
version = 3
priority = 150
advert_interval = "100ms"
preempt = false
preempt_delay = "30s"
checksum = "message-only"
unicast_peers = ["203.0.113.3", "fe80::3"]
vips = ["203.0.113.10", "2001:db8::10", { address = "10.0.0.1/24", interface = "eth1" }]
announce = { count = 3, repeat_after = "1s", repeat_count = 0, refresh = "1m" }
track = [
  { interface = "eth1" },
  { pool = "web", min_up = 2, weight = -50 },
  { script = ["/usr/bin/well", "-q"], interval = "5s", timeout = "1s", rise = 1, fall = 3, weight = 20 },
]
"#;

fn with(more: &str) -> String {
    format!("{MINIMAL}{more}")
}

#[track_caller]
fn one_error(from: &str, to: &str) -> String {
    let text = with(GROUP);
    assert!(text.contains(from), "{from} is not in the text");
    let errors = read(&text.replacen(from, to, 1)).expect_err("accepted");
    let text = errors.to_string();
    assert!(text.ends_with("\n1 error"), "{text}");
    text
}

#[test]
fn a_group_needs_little_and_has_defaults_for_the_rest() {
    let config = read(&with(GROUP)).unwrap();
    let group = &config.ha.groups[&"front".parse().unwrap()];
    assert_eq!(group.version, VrrpVersion::V3);
    assert_eq!((group.vrid, group.priority, group.preempt), (51, 100, true));
    assert_eq!(group.advert_interval, Duration::from_secs(1));
    assert_eq!(group.announce, Announce::default());
    assert_eq!(group.checksum, Checksum::Auto);
    let vip = config.services[&"www".parse().unwrap()].vip;
    assert_eq!(config.ha.group_of(vip).unwrap().as_str(), "front");
}

#[test]
fn everything_that_a_group_may_say_is_read() {
    let config = read(&with(FULL)).unwrap();
    let group = &config.ha.groups[&"front".parse().unwrap()];
    assert_eq!(group.priority, 150);
    assert!(!group.preempt);
    assert_eq!(group.checksum, Checksum::MessageOnly);
    assert_eq!(group.unicast_peers.len(), 2);
    let gateway = &group.vips[2];
    assert_eq!(gateway.prefix_length(), 24);
    assert_eq!(group.interface_of(gateway), "eth1");
    assert_eq!(group.interface_of(&group.vips[0]), "eth0");
    assert_eq!(group.vips[1].prefix_length(), 128);
    let [interface, pool, script] = &group.track[..] else {
        panic!("{:?}", group.track);
    };
    assert_eq!(interface.what, Tracked::Interface("eth1".into()));
    assert_eq!((interface.weight, pool.weight), (None, Some(-50)));
    let Tracked::Script(script) = &script.what else {
        panic!("{script:?}");
    };
    assert_eq!(script.args, ["-q"]);
}

#[test]
fn every_wrong_value_of_a_group_is_told_with_its_place() {
    let wrong = [
        (
            "vrid = 51",
            "vrid = 0",
            "ha.group[0].vrid: `0`: out of range; allowed: 1 to 255",
        ),
        (
            "vrid = 51",
            "vrid = 51\npriorty = 9",
            "did you mean `priority`?",
        ),
        ("vrid = 51", "", "ha.group[0].vrid: missing"),
        (
            "vrid = 51",
            "vrid = 51\nversion = 4",
            "ha.group[0].version: `4`",
        ),
        (
            "vrid = 51",
            "vrid = 51\nadvert_interval = \"15ms\"",
            "multiples of 10ms",
        ),
        (
            "vrid = 51",
            "vrid = 51\nversion = 2\nadvert_interval = \"1500ms\"",
            "whole seconds",
        ),
        (
            "vrid = 51",
            "vrid = 51\nadvert_interval = \"50s\"",
            "10ms to 40s 950ms",
        ),
        (
            "\"203.0.113.10\"]",
            "\"203.0.113.10\", \"203.0.113.10\"]",
            "ha.group[0].vips[1]: `203.0.113.10`: listed twice",
        ),
        (
            "\"203.0.113.10\"]",
            "\"203.0.113.10/33\"]",
            "length of a prefix",
        ),
        ("\"203.0.113.10\"]", "\"224.0.0.1\"]", "multicast"),
        (
            "\"203.0.113.10\"]",
            "\"10.0.0.11\"]",
            "pool.web.backends[0].address: `10.0.0.11:80`: its packets would come back to us: it is an address of HA group front",
        ),
        (
            "vips = [\"203.0.113.10\"]",
            "vips = []",
            "ha.group[0].vips: is empty",
        ),
        (
            "vrid = 51",
            "vrid = 51\ntrack = [{ pool = \"wbe\" }]",
            "ha.group[0].track: `wbe`: there is no pool of this name; did you mean `web`?",
        ),
        (
            "vrid = 51",
            "vrid = 51\ntrack = [{ weight = 5 }]",
            "names nothing to watch",
        ),
        (
            "vrid = 51",
            "vrid = 51\ntrack = [{ interface = \"a\", script = \"/b\" }]",
            "several things to watch: interface, script",
        ),
        (
            "vrid = 51",
            "vrid = 51\ntrack = [{ self_test = false }]",
            "self_test: `false`: is tested all the same",
        ),
        (
            "vrid = 51",
            "vrid = 51\ntrack = [{ script = \"well\" }]",
            "not an absolute path",
        ),
        (
            "vrid = 51",
            "vrid = 51\ntrack = [{ interface = \"eth1\", weight = 300 }]",
            "-253 to 253",
        ),
        (
            "vrid = 51",
            "vrid = 51\npriority = 255\ntrack = [{ interface = \"eth1\", weight = 3 }]",
            "never changes",
        ),
        (
            "vrid = 51",
            "vrid = 51\nunicast_peers = [\"fe80::1\"]",
            "no peer to tell of them",
        ),
        (
            "vrid = 51",
            "vrid = 51\nunicast_peers = [\"203.0.113.10\"]",
            "this one moves",
        ),
        (
            "vrid = 51",
            "vrid = 51\nchecksum = \"pseudo_header\"",
            "did you mean `pseudo-header`?",
        ),
    ];
    for (from, to, said) in wrong {
        let error = one_error(from, to);
        assert!(error.contains(said), "{to}: {error}");
    }
}

#[test]
fn version_two_has_no_ipv6() {
    let text = with(FULL).replace("version = 3", "version = 2");
    let text = text.replace("100ms", "1s");
    let errors = read(&text).unwrap_err().to_string();
    assert!(
        errors.contains("`2001:db8::10`: version 2 has no IPv6"),
        "{errors}"
    );
}

#[test]
fn two_groups_share_neither_name_nor_router_id_nor_address() {
    let text = with(GROUP) + GROUP;
    let errors = read(&text).unwrap_err().to_string();
    assert!(
        errors.contains("ha.group[1].name: `front`: ha.group[0] has this name already"),
        "{errors}"
    );
    let other = GROUP.replace("front", "other");
    let errors = read(&(with(GROUP) + &other)).unwrap_err().to_string();
    for said in ["that of HA group front", "one of HA group front"] {
        assert!(errors.contains(said), "{errors}");
    }
}

#[test]
fn a_link_local_vip_is_allowed_in_a_group() {
    let text = with(GROUP).replace("\"203.0.113.10\"]", "\"203.0.113.10\", \"fe80::10\"]");
    assert!(read(&text).is_ok());
}
