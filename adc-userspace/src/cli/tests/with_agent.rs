//! Verbs that talk to an agent.

use super::*;
use crate::api::proto::Difference;

#[test]
fn status_is_0_when_all_is_well_and_7_with_the_reason_first_when_not() {
    let ran = Agent::start().run("status");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert!(ran.out.starts_with("lb-a: all is well\n"), "{}", ran.out);
    for shown in [
        "version 0.1.0",
        "eth0 (native)",
        "192.0.2.1",
        "1/1",
        "generation 7",
    ] {
        assert!(ran.out.contains(shown), "{shown}: {}", ran.out);
    }
    let agent = Agent::of(FakeControl {
        down: true,
        ..FakeControl::default()
    });
    let ran = agent.run("status");
    assert_eq!(ran.exit.code(), 7);
    let mut lines = ran.out.lines();
    assert_eq!(lines.next(), Some("lb-a: degraded, 1 critical, 1 other"));
    assert!(lines.next().unwrap().contains("service www"), "{}", ran.out);
    let ran = agent.run("status -o json");
    assert_eq!(ran.exit.code(), 7);
    assert_eq!(ran.json()["warnings"][0]["severity"], "critical");
}

#[test]
fn status_shows_what_people_changed_but_not_without_end() {
    let difference = |n: u16| Difference {
        thing: format!("pool web backend web{n}"),
        key: Some("weight".into()),
        file: Some("100".into()),
        running: Some("50".into()),
    };
    let agent = Agent::of(FakeControl {
        differences: (1..=12).map(difference).collect(),
        ..FakeControl::default()
    });
    let ran = agent.run("status");
    assert_eq!(ran.exit, Exit::Ok, "a change people made is nothing wrong");
    let line = "weight of pool web backend web10: file 100, running 50";
    assert!(ran.out.contains(line), "{}", ran.out);
    assert!(
        ran.out.contains("and 2 more: `adc config diff`"),
        "{}",
        ran.out
    );
    assert!(!ran.out.contains("web11"), "{}", ran.out);
}

#[test]
fn tables_show_whole_addresses_and_reasons() {
    let agent = Agent::start();
    for line in ["backend list", "service show www", "backend show web web1"] {
        let ran = agent.run(line);
        assert_eq!(ran.exit, Exit::Ok, "{line}: {}", ran.err);
        assert!(
            ran.out.contains("[2001:db8::11]:8080"),
            "{line}: {}",
            ran.out
        );
    }
    let ran = agent.run("flow list --limit 1");
    assert!(ran.out.contains("192.0.2.7:40000"), "{}", ran.out);
    assert!(ran.out.contains("1 of 2 flows"), "{}", ran.out);
    let ran = agent.run("config show");
    assert!(
        ran.out
            .contains("#   set admin state of pool web backend web1 to draining"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("[node]"), "{}", ran.out);
    assert!(agent.run("pool list").out.contains("http"));
    assert!(agent.run("config diff").out.contains("is what runs"));
}

#[test]
fn drops_show_what_was_dropped_and_all_shows_every_reason() {
    let agent = Agent::start();
    let few = agent.run("drops").out;
    assert!(
        few.contains("no_backend") && !few.contains("not_ip"),
        "{few}"
    );
    let all = agent.run("drops --all").out;
    assert_eq!(all.lines().count(), adc_common::abi::Reason::COUNT + 1);
    let rows = agent.run("drops -o json").json();
    assert_eq!(
        rows.as_array().map(Vec::len),
        Some(adc_common::abi::Reason::COUNT)
    );
}

#[test]
fn counts_have_a_total_with_and_without_a_filter() {
    let agent = Agent::start();
    assert_eq!(agent.run("flow count -o json").json()["total"], 3);
    let filtered = agent.run("flow count --client 192.0.2.8 -o json").json();
    assert_eq!(filtered, json!({"total": 1}));
}

#[test]
fn changes_reach_the_agent_and_show_the_plan() {
    let agent = Agent::start();
    let lines = [
        (
            "service add dns --vip 192.0.2.1 --port 53 --protocol udp --pool dns",
            "add service dns",
        ),
        ("service remove www", "remove service www"),
        ("pool add dns", "add pool dns"),
        ("pool remove dns", "remove pool dns"),
        (
            "backend add web 10.0.0.5:80 --weight 7",
            "add pool web backend 10.0.0.5:80",
        ),
        (
            "backend weight web web1 50",
            "set weight of pool web backend web1 to 50",
        ),
        (
            "backend drain web web1",
            "set admin state of pool web backend web1 to draining",
        ),
        (
            "backend enable web web1",
            "set admin state of pool web backend web1 to enabled",
        ),
        (
            "backend maintenance web web1",
            "set admin state of pool web backend web1 to maintenance",
        ),
        ("backend remove web web1", "remove pool web backend web1"),
    ];
    for (line, edit) in lines {
        for dry in [false, true] {
            let ran = agent.run(&if dry {
                format!("{line} --dry-run")
            } else {
                line.into()
            });
            assert_eq!(ran.exit, Exit::Ok, "{line}: {}", ran.err);
            assert!(ran.out.contains("ring www: rebuild"), "{}", ran.out);
            assert_eq!(ran.out.starts_with("dry run"), dry, "{}", ran.out);
            let (done, was_dry) = agent.control.edits.lock().unwrap().pop().unwrap();
            assert_eq!((done.to_string().as_str(), was_dry), (edit, dry));
        }
    }
    assert!(agent.control.edits.lock().unwrap().is_empty());
}

#[test]
fn refused_changes_have_the_exit_code_of_their_kind() {
    let agent = Agent::start();
    let ran = agent.run("service remove taken");
    assert_eq!((ran.exit.code(), ran.out.as_str()), (4, ""));
    assert!(ran.err.contains("service taken exists"), "{}", ran.err);
    assert_eq!(agent.run("service show nothing").exit.code(), 1);
    assert_eq!(agent.run("backend show web nothing").exit.code(), 1);
}

#[test]
fn apply_sends_the_file_or_asks_for_the_agents_own() {
    let agent = Agent::start();
    let path = agent.file("adc.toml", "[node]\n");
    let words = format!("config apply {} --reset-edits", path.display());
    assert_eq!(agent.run(&words).exit, Exit::Ok);
    assert_eq!(agent.run("config apply --dry-run").exit, Exit::Ok);
    let applied = agent.control.applied.lock().unwrap();
    let (first, dry) = &applied[0];
    let source = first.source.as_ref().unwrap();
    assert_eq!((source.text.as_str(), &source.path), ("[node]\n", &path));
    assert!(first.reset_edits && !dry);
    let (second, dry) = &applied[1];
    assert!(second.source.is_none() && !second.reset_edits && *dry);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let ran = Agent::start().run("config apply /nonexistent/adc.toml");
    assert_eq!(ran.exit, Exit::InvalidConfig);
    assert!(ran.err.contains("/nonexistent/adc.toml"), "{}", ran.err);
}

#[test]
fn explain_sends_the_packet_as_typed_and_shows_the_verdict_first() {
    let agent = Agent::start();
    let ran = agent.run("explain tcp 192.0.2.1:40000 10.1.0.100:80 --flags syn|ack --in eth0");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    for shown in [
        "192.0.2.1:40000",
        "TcpFlags(18)",
        "no_backend",
        "eth0",
        "hint",
    ] {
        assert!(ran.out.contains(shown), "{shown}: {}", ran.out);
    }
    let ran = agent.run("explain tcp 192.0.2.1:40000 10.1.0.100:80 -o json");
    assert_eq!(ran.json()["verdict"], "drop");
    for wrong in [
        "explain",
        "explain tcp 192.0.2.1:40000",
        "explain tcp 192.0.2.1 10.1.0.100:80",
        "explain --packet 2 tcp 192.0.2.1:1 10.1.0.100:80",
        "explain tcp 192.0.2.1:1 10.1.0.100:80 --pcap x",
    ] {
        assert_eq!(agent.run(wrong).exit, Exit::Usage, "{wrong}");
    }
    let ran = agent.run("explain --pcap /nowhere/dump.pcap");
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.err.contains("/nowhere/dump.pcap"), "{}", ran.err);
}

#[test]
fn a_capture_refuses_what_it_does_not_understand_before_it_makes_a_file() {
    let agent = Agent::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("x.pcapng");
    let ran = agent.run(&format!("capture port 80 or vip -w {}", file.display()));
    assert_eq!(ran.exit, Exit::Failed, "{}", ran.err);
    assert!(ran.err.contains("`or` "), "{}", ran.err);
    assert!(!file.exists());
    let ran = agent.run(&format!("capture --duration 2h -w {}", file.display()));
    assert!(ran.err.contains("3600"), "{}", ran.err);
    assert_eq!(agent.run("capture port 80").exit, Exit::Usage);
}

#[test]
fn bfd_status_says_what_was_agreed_with_whom_and_why_the_rest_is_down() {
    let agent = Agent::start();
    let ran = agent.run("bfd status");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    for said in [
        "router1",
        "sends every 50ms, down after 150ms of silence",
        "4711 here, 815 there",
        "hop_limit 3",
        "the peer was not heard yet",
    ] {
        assert!(ran.out.contains(said), "{said}: {}", ran.out);
    }
    assert!(!ran.out.contains("version 0"), "{}", ran.out);
    let json = agent.run("bfd status -o json").json();
    assert_eq!(json["sessions"][1]["state"], "up");
    assert_eq!(json["sessions"][0]["detection_micros"], json!(null));
}

#[test]
fn announce_status_says_what_has_its_route_and_why_the_rest_has_none() {
    let agent = Agent::start();
    let ran = agent.run("announce status");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    let line = |vip: &str| {
        let mut lines = ran.out.lines();
        lines.find(|line| line.starts_with(vip)).unwrap_or_default()
    };
    let yes = line("192.0.2.1 ");
    assert!(
        yes.contains("yes") && yes.ends_with("served"),
        "{}",
        ran.out
    );
    let no = line("2001:db8::1 ");
    assert!(no.contains("no") && no.ends_with("1 wanted"), "{}", ran.out);
    let json = agent.run("announce status -o json").json();
    assert_eq!(json[0]["announced"], true);
    assert_eq!(json[1]["since"], json!(null));
}

#[test]
fn ha_status_says_who_has_a_group_and_why() {
    let ran = Agent::start().run("ha status");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    for shown in [
        "active: 192.0.2.3 has been silent for 3.6s",
        "100 (file: 150)",
        "last seen 420 ms ago, with other VIPs than ours",
        "pool web (at least 1 up): not well, priority -50",
        "refused: 3 checksum",
        "eth0: 5 vrid",
        ", its agent does not work",
        "lb-b: heard since",
        "eth2 to 192.168.99.2: heard, 500 sent (1 not sent), 498 received, longest gap 41.250 ms",
        "2 hmac",
    ] {
        assert!(ran.out.contains(shown), "{shown}: {}", ran.out);
    }
    let json = Agent::start().run("ha status -o json").json();
    let group = &json["groups"][0];
    assert_eq!(group["role"], "active");
    assert_eq!(group["counters"]["adverts_refused"]["checksum"], 3);
    assert_eq!(json["heartbeat"]["paths"][0]["received"], 498);
}

#[test]
fn an_order_shows_the_group_as_it_is_then_and_a_wrong_name_is_told() {
    let agent = Agent::start();
    let ran = agent.run("ha hold front");
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert!(ran.out.contains("held"), "{}", ran.out);
    for order in ["failover", "release"] {
        assert_eq!(agent.run(&format!("ha {order} front")).exit, Exit::Ok);
    }
    let ran = agent.run("ha failover front --wait");
    assert_eq!(
        ran.exit,
        Exit::Conflict,
        "the fake keeps the role: {}",
        ran.err
    );
    let ran = agent.run("ha failover back");
    assert_ne!(ran.exit, Exit::Ok);
    assert!(ran.err.contains("no HA group back"), "{}", ran.err);
}
