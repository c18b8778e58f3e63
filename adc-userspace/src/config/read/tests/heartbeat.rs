//! `[ha.heartbeat]`: what it may say, and what not.

use super::{MINIMAL, read};
use crate::model::{Election, HEARTBEAT_PORT, Profile};

const PAIR: &str = r#"
[node]
name = "lb-a"
[ha.heartbeat]
peer = "lb-b"
profile = "fast"
key_file = "/etc/adc/ha.key"
paths = [{ interface = "eth2", peer = "192.168.99.2" }, { interface = "eth0", peer = "fe80::2" }]
"#;

#[test]
fn a_pair_is_read_with_its_defaults_and_a_node_alone_has_none() {
    let config = read(&format!("{PAIR}{MINIMAL}")).unwrap();
    let heartbeat = config.ha.heartbeat.unwrap();
    assert_eq!(heartbeat.peer, "lb-b");
    assert_eq!(heartbeat.profile, Profile::Fast);
    assert_eq!(heartbeat.port, HEARTBEAT_PORT);
    assert_eq!(heartbeat.witness, None);
    let interfaces = heartbeat.paths.iter().map(|path| path.interface.as_str());
    assert_eq!(interfaces.collect::<Vec<_>>(), ["eth2", "eth0"]);
    assert_eq!(read(MINIMAL).unwrap().ha.heartbeat, None);
}

#[test]
fn each_mistake_is_named_with_what_is_allowed() {
    let cases = [
        (
            r#"peer = "lb-b""#,
            r#"peer = "lb-a""#,
            "peer: `lb-a`: is this node's own name",
        ),
        (r#"peer = "lb-b""#, "", "peer: missing, but required"),
        (
            r#""fast""#,
            r#""quick""#,
            "profile: `quick`: unknown value; allowed: standard, fast, ultra",
        ),
        (
            r#""/etc/adc/ha.key""#,
            r#""ha.key""#,
            "key_file: `ha.key`: not an absolute path",
        ),
        (
            r#""eth0""#,
            r#""eth2""#,
            "paths[1].interface: `eth2`: another path goes by it",
        ),
        (
            "192.168.99.2",
            "224.0.0.18",
            "paths[0].peer: `224.0.0.18`: not the address of one host",
        ),
        (
            "192.168.99.2",
            "127.0.0.1",
            "paths[0].peer: `127.0.0.1`: is this machine's own",
        ),
        (
            "fe80::2",
            "lb-b",
            "paths[1].peer: `lb-b`: not an IP address",
        ),
        (r#"profile = "fast""#, "port = 0", "port: `0`: out of range"),
        (
            r#"profile = "fast""#,
            r#"wittness = "10.0.0.1""#,
            "wittness: unknown key",
        ),
    ];
    for (from, to, said) in cases {
        assert!(PAIR.contains(from), "{from}");
        let text = format!("{}{MINIMAL}", PAIR.replacen(from, to, 1));
        let errors = read(&text).expect_err(said).to_string();
        assert!(errors.contains(&format!("ha.heartbeat.{said}")), "{errors}");
        assert!(errors.ends_with("1 error"), "{errors}");
    }
    let empty = PAIR.split("paths").next().unwrap();
    let text = format!("{empty}paths = []\n{MINIMAL}");
    let errors = read(&text).unwrap_err().to_string();
    assert!(errors.contains("ha.heartbeat.paths: is empty"), "{errors}");
}

#[test]
fn a_heartbeat_decides_about_groups_unless_they_say_otherwise_and_only_where_there_is_one() {
    let group = |more: &str| {
        format!(
            "[[ha.group]]\nname = \"front\"\nvrid = 51\ninterface = \"eth0\"\nvips = [\"203.0.113.10\"]\n{more}\n"
        )
    };
    let election = |text: &str| {
        let config = read(text).unwrap();
        config.ha.groups.values().next().unwrap().election
    };
    let alone = format!("{MINIMAL}{}", group(""));
    assert_eq!(election(&alone), Election::Vrrp);
    let pair = |more| format!("{PAIR}{MINIMAL}{}", group(more));
    assert_eq!(election(&pair("")), Election::Heartbeat);
    assert_eq!(election(&pair("election = \"vrrp\"")), Election::Vrrp);
    let errors = read(&format!("{MINIMAL}{}", group("election = \"heartbeat\""))).unwrap_err();
    let text = errors.to_string();
    assert!(
        text.contains("there is no heartbeat that could decide"),
        "{text}"
    );
}
