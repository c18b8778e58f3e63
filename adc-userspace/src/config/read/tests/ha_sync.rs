//! `[[ha.sync_group]]`: which groups may move together.

use super::{MINIMAL, read};
use crate::{config::render, model::GroupName};

const GROUPS: &str = r#"
[[ha.group]]
name = "front"
vrid = 51
interface = "eth0"
vips = ["203.0.113.10"]

[[ha.group]]
name = "back"
vrid = 52
interface = "eth1"
vips = ["10.0.0.1/24"]
"#;

const EDGE: &str = r#"
[[ha.sync_group]]
name = "edge"
groups = ["front", "back"]
"#;

fn text() -> String {
    format!("{MINIMAL}{GROUPS}{EDGE}")
}

#[test]
fn each_member_knows_its_sync_group_and_the_others() {
    let config = read(&text()).unwrap();
    let front = "front".parse().unwrap();
    let (name, members) = config.ha.sync_group_of(&front).unwrap();
    let members: Vec<_> = members.iter().map(GroupName::as_str).collect();
    assert_eq!((name.as_str(), members), ("edge", vec!["front", "back"]));
    let other = "other".parse().unwrap();
    assert_eq!(config.ha.sync_group_of(&other), None);
    assert_eq!(read(&render(&config)).unwrap(), config);
}

#[test]
fn what_can_not_move_together_is_told_with_its_place() {
    let again = EDGE.replace("edge", "again");
    let twice = format!("\"back\"]\n{again}");
    let wrong = [
        (
            "\"back\"]",
            "\"bakc\"]",
            "ha.sync_group[0].groups: `bakc`: there is no HA group of this name; did you mean `back`?",
        ),
        (
            ", \"back\"]",
            "]",
            "ha.sync_group[0].groups: `1`: two groups at least can move together",
        ),
        (
            "\"back\"]",
            "\"back\", \"front\"]",
            "ha.sync_group[0].groups[2]: `front`: listed twice",
        ),
        (
            "\"back\"]",
            &twice,
            "a group moves with one sync group, and this is one of HA sync group again",
        ),
        (
            "vrid = 52",
            "vrid = 52\npriority = 150",
            "ha.group[1].priority: `150`: groups that move together have the same, unlike HA group front",
        ),
        (
            "vrid = 52",
            "vrid = 52\nelection = \"heartbeat\"",
            "ha.group[1].election: `heartbeat`: groups that move together have the same, unlike HA group front",
        ),
        ("name = \"edge\"", "", "ha.sync_group[0].name: missing"),
        (
            "name = \"edge\"",
            "name = \"edge\"\ngruops = 1",
            "did you mean `groups`?",
        ),
    ];
    for (from, to, said) in wrong {
        assert!(text().contains(from), "{from}");
        let errors = read(&text().replacen(from, to, 1)).expect_err(to);
        let errors = errors.to_string();
        assert!(errors.contains(said), "{to}: {errors}");
    }
}

#[test]
fn an_owner_waits_for_no_other_group() {
    let text = text().replace("vrid = 5", "priority = 255\nvrid = 5");
    let errors = read(&text).unwrap_err().to_string();
    assert!(
        errors.contains("an owner waits for no other group"),
        "{errors}"
    );
}
