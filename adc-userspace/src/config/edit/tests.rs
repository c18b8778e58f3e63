//! What edits do, and what becomes of them when the file changes.

use std::path::Path;

use proptest::prelude::*;

use super::{Edit, EditError, Edits};
use crate::{
    config::{parse, rules, samples},
    model::{AdminState, Backend, Config, Weight},
};

const FILE: &str = r#"
dataplane.interfaces = ["eth0"]
[pool.web]
backends = [{ name = "web1", address = "10.0.0.1:80" }, { name = "web2", address = "10.0.0.2:80" }]
[pool.spare]
backends = [{ name = "one", address = "10.0.0.9:80" }]
[service.www]
vip = "203.0.113.10"
port = 80
pool = "web"
"#;

fn file() -> Config {
    parse(FILE, Path::new("adc.toml")).unwrap()
}

fn weight(name: &str, weight: u16) -> Edit {
    Edit::BackendWeight {
        pool: "web".parse().unwrap(),
        name: name.parse().unwrap(),
        weight: Weight(weight),
    }
}

fn admin(name: &str, state: AdminState) -> Edit {
    Edit::BackendAdmin {
        pool: "web".parse().unwrap(),
        name: name.parse().unwrap(),
        state,
    }
}

fn add(name: &str, address: &str) -> Edit {
    Edit::BackendAdd {
        pool: "web".parse().unwrap(),
        name: name.parse().unwrap(),
        backend: backend(address),
    }
}

fn remove(name: &str) -> Edit {
    Edit::BackendRemove {
        pool: "web".parse().unwrap(),
        name: name.parse().unwrap(),
    }
}

fn backend(address: &str) -> Backend {
    Backend {
        address: crate::model::BackendAddress(address.parse().unwrap()),
        weight: Weight(100),
        admin: AdminState::Enabled,
    }
}

fn service(name: &str, vip: &str, pool: &str) -> Edit {
    let mut service = file().services.into_values().next().unwrap();
    service.vip = vip.parse().unwrap();
    service.pool = pool.parse().unwrap();
    let name = name.parse().unwrap();
    Edit::ServiceAdd { name, service }
}

/// Edits over `file()`, all of which must be accepted.
#[track_caller]
fn edits(list: &[Edit]) -> Edits {
    let mut edits = Edits::default();
    for edit in list {
        edits.push(edit, &file()).unwrap();
    }
    edits
}

#[track_caller]
fn refusal(list: &[Edit], edit: &Edit) -> EditError {
    let mut edits = edits(list);
    let before = edits.clone();
    let error = edits.push(edit, &file()).expect_err("accepted");
    assert_eq!(edits, before, "a refused edit left a trace");
    error
}

fn differences(edits: &Edits, file: &Config) -> Vec<String> {
    edits
        .differences(file)
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn problems(edits: &Edits, file: &Config) -> Vec<String> {
    edits
        .apply(file)
        .problems
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn only_the_latest_change_of_a_value_is_kept() {
    let edits = edits(&[weight("web1", 10), weight("web2", 20), weight("web1", 30)]);
    assert_eq!(
        edits.iter().collect::<Vec<_>>(),
        [&weight("web1", 30), &weight("web2", 20)]
    );
}

#[test]
fn setting_a_value_back_removes_the_edit() {
    assert!(edits(&[weight("web1", 10), weight("web1", 100)]).is_empty());
    assert!(
        edits(&[
            admin("web1", AdminState::Draining),
            admin("web1", AdminState::Enabled)
        ])
        .is_empty()
    );
    assert!(edits(&[remove("web1"), add("web1", "10.0.0.1:80")]).is_empty());
    assert!(
        edits(&[
            add("web3", "10.0.0.3:80"),
            weight("web3", 7),
            remove("web3")
        ])
        .is_empty()
    );
}

#[test]
fn an_added_thing_carries_its_later_changes() {
    let edits = edits(&[add("web3", "10.0.0.3:80"), weight("web3", 7)]);
    let mut backend = backend("10.0.0.3:80");
    backend.weight = Weight(7);
    let expected = Edit::BackendAdd {
        pool: "web".parse().unwrap(),
        name: "web3".parse().unwrap(),
        backend,
    };
    assert_eq!(edits.iter().collect::<Vec<_>>(), [&expected]);
}

#[test]
fn differences_are_told_in_words() {
    let edits = edits(&[
        weight("web1", 50),
        admin("web2", AdminState::Draining),
        add("web3", "10.0.0.3:80"),
        service("api", "203.0.113.11", "spare"),
        Edit::ServiceRemove {
            name: "www".parse().unwrap(),
        },
    ]);
    assert_eq!(
        differences(&edits, &file()),
        [
            "weight of pool web backend web1: file 100, running 50",
            "admin of pool web backend web2: file enabled, running draining",
            "pool web backend web3: file nothing, running 10.0.0.3:80, weight 100",
            "service www: file VIP 203.0.113.10 port 80, pool web, running nothing",
            "service api: file nothing, running VIP 203.0.113.11 port 80, pool spare",
        ]
    );
    assert_eq!(differences(&Edits::default(), &file()), [""; 0]);
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_no_trace() {
    for (edit, expected) in [
        (
            weight("wbe1", 1),
            "there is no pool web backend wbe1; did you mean `web1`?",
        ),
        (remove("zzz"), "there is no pool web backend zzz"),
        (
            add("web1", "10.0.0.3:80"),
            "pool web backend web1 exists already; remove it first, or choose another name",
        ),
        (
            add("web3", "10.0.0.1:80"),
            "pool web backend web3 address: `10.0.0.1:80`: the same address and port as pool web backend web1",
        ),
        (
            service("www", "203.0.113.11", "web"),
            "service www exists already; remove it first, or choose another name",
        ),
        (
            service("api", "203.0.113.10", "web"),
            "service www vip: `203.0.113.10:80 tcp`: the same VIP, port and protocol as service api",
        ),
        (
            Edit::PoolRemove {
                name: "web".parse().unwrap(),
            },
            "pool web is still used by service www; remove what uses it first",
        ),
        (
            Edit::PoolRemove {
                name: "wob".parse().unwrap(),
            },
            "there is no pool wob; did you mean `web`?",
        ),
    ] {
        let error = refusal(&[], &edit);
        assert_eq!(error.to_string(), expected);
        assert!(error.is_conflict(), "{error}");
    }
    for (edit, expected) in [
        (
            weight("web1", 1001),
            "pool web backend web1 weight: `1001`: out of range; allowed: 0 to 1000",
        ),
        (
            service("api", "203.0.113.11", "wob"),
            "service api pool: `wob`: there is no pool of this name; did you mean `web`?",
        ),
    ] {
        let error = refusal(&[weight("web2", 3)], &edit);
        assert_eq!(error.to_string(), expected);
        assert!(!error.is_conflict(), "{error}");
    }
}

#[test]
fn an_edit_whose_target_left_the_file_is_reported_and_kept_for_its_return() {
    let mut edits = edits(&[weight("web1", 50), weight("web2", 60)]);
    let without = parse(&FILE.replace("web1", "other"), Path::new("adc.toml")).unwrap();
    assert_eq!(
        problems(&edits, &without),
        [
            "runtime change `set weight of pool web backend web1 to 50` has no effect: pool web backend web1 is no longer in the file"
        ]
    );
    edits.push(&weight("other", 70), &without).unwrap();
    let back = edits.apply(&file());
    let pool = &back.config.pools[&"web".parse().unwrap()];
    assert_eq!(pool.backends[&"web1".parse().unwrap()].weight, Weight(50));
    assert_eq!(back.problems.len(), 1, "`other` is gone with the old file");

    assert_eq!(edits.prune(&file()).len(), 1);
    assert_eq!(problems(&edits, &file()), [""; 0]);
    assert_eq!(edits.len(), 2);
}

#[test]
fn a_new_edit_replaces_an_idle_one_about_the_same_thing() {
    let mut edits = edits(&[weight("web1", 50)]);
    let without = parse(&FILE.replace("web1", "other"), Path::new("adc.toml")).unwrap();
    edits.push(&add("web1", "10.0.0.7:80"), &without).unwrap();
    assert_eq!(
        edits.iter().collect::<Vec<_>>(),
        [&add("web1", "10.0.0.7:80")]
    );
}

#[test]
fn an_edit_ends_when_the_file_catches_up() {
    let edits = edits(&[
        add("web3", "10.0.0.3:80"),
        Edit::PoolRemove {
            name: "spare".parse().unwrap(),
        },
    ]);
    let mut caught_up = edits.apply(&file()).config;
    assert_eq!(problems(&edits, &caught_up), [""; 0]);
    assert_eq!(differences(&edits, &caught_up), [""; 0]);
    caught_up.services.clear();
    assert_eq!(problems(&edits, &caught_up), [""; 0]);
}

#[test]
fn the_file_counts_where_it_contradicts_an_edit() {
    let edits = edits(&[
        service("api", "203.0.113.11", "web"),
        add("web3", "10.0.0.3:80"),
        Edit::PoolRemove {
            name: "spare".parse().unwrap(),
        },
    ]);
    let more = r#"
[service.mail]
vip = "203.0.113.11"
port = 80
pool = "spare"
"#;
    let changed = format!("{}{more}", FILE.replace("web2", "web3"));
    let file = parse(&changed, Path::new("adc.toml")).unwrap();
    let applied = edits.apply(&file);
    assert_eq!(applied.config, file);
    assert_eq!(
        applied
            .problems
            .iter()
            .map(|p| p.problem.as_str())
            .collect::<Vec<_>>(),
        [
            "the file now has a pool web backend web3 of its own, which counts",
            "service mail vip: `203.0.113.11:80 tcp`: the same VIP, port and protocol as service api",
            "service mail pool: `spare`: there is no pool of this name",
        ]
    );
}

#[test]
fn smaller_limits_in_the_file_leave_out_the_newest_additions() {
    let edits = edits(&[
        add("web3", "10.0.0.3:80"),
        add("web4", "10.0.0.4:80"),
        weight("web1", 5),
    ]);
    let mut smaller = file();
    smaller.dataplane.limits.backends = 3;
    let applied = edits.apply(&smaller);
    assert_eq!(applied.problems.len(), 1, "{:?}", applied.problems);
    assert_eq!(applied.problems[0].edit, add("web4", "10.0.0.4:80"));
    let pool = &applied.config.pools[&"web".parse().unwrap()];
    assert_eq!(pool.backends.len(), 3);
    assert_eq!(pool.backends[&"web1".parse().unwrap()].weight, Weight(5));
}

proptest! {
    #[test]
    fn edits_give_what_was_accepted_and_never_an_invalid_configuration(
        file in samples::config(),
        other in samples::config(),
        wanted in prop::collection::vec(samples::edit(), 0..12),
    ) {
        let mut edits = Edits::default();
        let mut running = file.clone();
        for edit in &wanted {
            let before = edits.clone();
            if let Ok(config) = edits.push(edit, &file) {
                running = config;
            } else {
                prop_assert_eq!(&edits, &before);
            }
            let applied = edits.apply(&file);
            prop_assert_eq!(&applied.config, &running);
            prop_assert!(applied.problems.is_empty(), "{:?}", applied.problems);
            prop_assert_eq!(edits.is_empty(), running == file);
        }
        prop_assert!(rules::check(&running).is_empty());
        let elsewhere = edits.apply(&other);
        prop_assert!(rules::check(&elsewhere.config).is_empty());
        prop_assert!(elsewhere.problems.len() <= edits.len());

        let dir = tempfile::tempdir().unwrap();
        edits.save(dir.path()).unwrap();
        prop_assert_eq!(Edits::load(dir.path()).unwrap(), edits);
    }
}
