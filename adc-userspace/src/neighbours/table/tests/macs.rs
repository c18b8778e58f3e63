//! MACs by which this machine is reached through an attached interface.

use adc_common::abi::Vrid;

use super::*;

#[test]
fn macs_of_vlans_and_bonds_above_an_interface_are_its_own_too_and_those_of_macvlans_are_not() {
    let mac = |n| Mac([2, 0, 0, 0, 9, n]);
    let with = |mut link: Link, mac| {
        link.mac = Some(mac);
        link
    };
    let eth0 = port(2, "eth0", 5);
    let bond = with(link(5, "bond0", LinkKind::Bond { active: None }), mac(5));
    let on_bond = with(vlan(6, "bond0.7", 7, false, 5), mac(6));
    let same = vlan(7, "eth0.8", 8, false, 2);
    let macvlan = with(
        link(8, "macvlan0", LinkKind::Macvlan { lower: Some(2) }),
        mac(8),
    );
    let elsewhere = with(vlan(9, "eth9.8", 8, false, 99), mac(9));
    let mut table = Table::new(["eth0".to_owned()]);
    for link in [eth0, bond, on_bond.clone(), same, macvlan, elsewhere] {
        table.apply(Fact::Link(link));
    }
    let facts = table.take_changes().interfaces["eth0"].clone().unwrap();
    assert_eq!(
        (facts.mac, facts.other_macs),
        (Some(MAC), vec![mac(5), mac(6)])
    );
    let names: Vec<_> = facts.stack.iter().map(String::as_str).collect();
    assert_eq!(names, ["bond0", "bond0.7", "eth0", "eth0.8"]);
    // A change above is a change of the interface.
    table.apply(Fact::Link(with(on_bond, mac(7))));
    let facts = table.take_changes().interfaces["eth0"].clone().unwrap();
    assert_eq!(facts.other_macs, vec![mac(5), mac(7)]);
}

#[test]
fn a_route_by_the_device_of_a_virtual_mac_leaves_by_the_interface_below() {
    let leaves = |name, mac| {
        let kind = LinkKind::Macvlan { lower: Some(2) };
        let device = Link {
            mac: Some(mac),
            ..link(9, name, kind)
        };
        let eth0 = link(2, "eth0", LinkKind::Plain);
        let mut table = table(vec![eth0, device], 9);
        table.apply(neighbour(key(9), Nud::Reachable, Some(MAC)));
        resolution(&mut table).hop().map(|hop| hop.ifindex)
    };
    assert_eq!(leaves("adc4-51-2", Vrid(51).mac_v4()), Some(2));
    assert_eq!(leaves("adc4-51-2", MAC), None, "somebody else's");
    assert_eq!(leaves("macvlan0", Vrid(51).mac_v4()), None);
}
