//! Which port of a bond sends for one that the bond does not send by.

use super::*;

const BOND: u32 = 5;

fn bond(active: Option<u32>) -> Link {
    link(BOND, "bond0", LinkKind::Bond { active })
}

/// adc attached to all of eth0, eth1 and eth2, of which the first two are ports of the bond.
fn attached(bond: Link) -> Table {
    let names = ["eth0", "eth1", "eth2"];
    let mut table = Table::new(names.map(str::to_owned));
    for link in [
        bond,
        port(2, "eth0", BOND),
        port(3, "eth1", BOND),
        link(4, "eth2", LinkKind::Plain),
    ] {
        table.apply(Fact::Link(link));
    }
    table
}

/// Names of the deputies of eth0, eth1 and eth2, of those among them whose facts changed.
fn deputies(table: &mut Table) -> Vec<(String, Option<String>)> {
    let changed = table.take_changes().interfaces.into_iter();
    changed
        .map(|(name, facts)| (name, facts.unwrap().deputy.map(|deputy| deputy.name)))
        .collect()
}

fn row(name: &str, deputy: Option<&str>) -> (String, Option<String>) {
    (name.to_owned(), deputy.map(str::to_owned))
}

#[test]
fn packets_for_a_port_in_reserve_leave_by_the_active_one() {
    let mut table = attached(bond(Some(2)));
    assert_eq!(
        deputies(&mut table),
        [
            row("eth0", None),
            row("eth1", Some("eth0")),
            row("eth2", None)
        ]
    );
    // The bond fails over, and tells of that itself.
    table.apply(Fact::Link(bond(Some(3))));
    assert_eq!(
        deputies(&mut table),
        [row("eth0", Some("eth1")), row("eth1", None)]
    );
}

#[test]
fn with_all_ports_in_use_only_one_that_is_cut_or_of_another_aggregator_has_a_deputy() {
    let mut table = attached(bond(None));
    assert_eq!(
        deputies(&mut table),
        [row("eth0", None), row("eth1", None), row("eth2", None)]
    );
    table.apply(Fact::Link(Link {
        carrier: false,
        ..port(2, "eth0", BOND)
    }));
    assert_eq!(deputies(&mut table), [row("eth0", Some("eth1"))]);
    table.apply(Fact::Link(port(2, "eth0", BOND)));
    table.apply(Fact::Link(Link {
        standby: true,
        ..port(3, "eth1", BOND)
    }));
    assert_eq!(
        deputies(&mut table),
        [row("eth0", None), row("eth1", Some("eth0"))]
    );
}

#[test]
fn a_deputy_is_attached_itself_and_there_is_none_when_no_port_is_left() {
    let mut table = Table::new(["eth0".to_owned()]);
    for link in [bond(Some(3)), port(2, "eth0", BOND), port(3, "eth1", BOND)] {
        table.apply(Fact::Link(link));
    }
    assert_eq!(deputies(&mut table), [row("eth0", None)]);
    let mut table = attached(bond(Some(3)));
    assert_eq!(deputies(&mut table)[0], row("eth0", Some("eth1")));
    let cut = |port| Link {
        carrier: false,
        ..port
    };
    table.apply(Fact::Link(cut(port(2, "eth0", BOND))));
    table.apply(Fact::Link(cut(port(3, "eth1", BOND))));
    assert_eq!(deputies(&mut table), [row("eth0", None), row("eth1", None)]);
}
