//! `virtual_mac` of HA groups: what it may say and what not.

use std::time::Duration;

use super::{MINIMAL, read};

/// Groups `g0`, `g1`, ... with these virtual routers and VIPs, all with a virtual MAC.
fn groups(groups: &[(u8, &str)]) -> String {
    let text = groups.iter().enumerate().map(|(index, (vrid, vips))| {
        format!(
            "\n[[ha.group]]\nname = \"g{index}\"\nvrid = {vrid}\ninterface = \"eth{index}\"\nvips = [{vips}]\nvirtual_mac = true\n"
        )
    });
    format!("{MINIMAL}{}", text.collect::<String>())
}

fn on(address: &str, interface: &str) -> String {
    format!("{{ address = \"{address}\", interface = \"{interface}\" }}")
}

#[test]
fn a_virtual_mac_is_refreshed_at_switches_unless_the_file_says_how_often() {
    let refresh = |text: &str| {
        let config = read(text).unwrap();
        let group = &config.ha.groups[&"g0".parse().unwrap()];
        assert!(group.virtual_mac);
        group.refresh()
    };
    let text = groups(&[(51, "\"203.0.113.10\"")]);
    assert_eq!(refresh(&text), Some(Duration::from_mins(1)));
    let configured = format!("{text}announce = {{ refresh = \"5s\" }}\n");
    assert_eq!(refresh(&configured), Some(Duration::from_secs(5)));
    let without = text.replace("virtual_mac = true\n", "");
    let config = read(&without).unwrap();
    let group = &config.ha.groups[&"g0".parse().unwrap()];
    assert!(!group.virtual_mac);
    assert_eq!(group.refresh(), None);
}

#[test]
fn one_virtual_mac_is_one_group_on_an_interface() {
    let text = groups(&[(51, "\"203.0.113.10\""), (51, "\"203.0.113.11\"")]);
    read(&text).expect("each is on an interface of its own");
    let second = on("203.0.113.11", "eth0");
    let text = groups(&[(51, "\"203.0.113.10\""), (51, &second)]);
    let error = read(&text).expect_err("accepted").to_string();
    assert!(
        error.contains("one virtual MAC is one group on eth0"),
        "{error}"
    );
}

#[test]
fn more_than_two_groups_with_virtual_macs_on_an_interface_are_refused() {
    let on_eth9: Vec<_> = (10..13)
        .map(|n| on(&format!("203.0.113.{n}"), "eth9"))
        .collect();
    let two = groups(&[(51, &on_eth9[0]), (52, &on_eth9[1])]);
    read(&two).expect("there is room for two");
    let three = groups(&[(51, &on_eth9[0]), (52, &on_eth9[1]), (53, &on_eth9[2])]);
    let error = read(&three).expect_err("accepted").to_string();
    assert!(error.contains("virtual_mac"), "{error}");
    assert!(
        error.contains("eth9 has the virtual MACs of two other groups"),
        "{error}"
    );
    assert!(error.ends_with("\n1 error"), "{error}");
    let third_without = three.replacen("virtual_mac = true", "virtual_mac = false", 1);
    read(&third_without).expect("there is room for two");
}
