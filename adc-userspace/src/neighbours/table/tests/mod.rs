//! Tables of facts and the resolutions that follow from them.

mod asking;
mod deputies;
mod macs;

use std::{collections::BTreeSet, net::IpAddr, time::Instant};

use adc_common::abi::{Mac, VlanId};

use super::{
    super::{
        HopKey, Link, LinkKind, Neighbour, NextHop, Nud, Obstacle, Resolution, RouteAnswer,
        facts::Fact,
    },
    Table,
};

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const OTHER_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn key(ifindex: u32) -> HopKey {
    HopKey {
        ifindex,
        address: ip("10.0.0.1"),
    }
}

fn link(index: u32, name: &str, kind: LinkKind) -> Link {
    Link {
        index,
        name: name.into(),
        mac: Some(MAC),
        mtu: 1500,
        up: true,
        carrier: true,
        kind,
        controller: None,
        standby: false,
    }
}

fn vlan(index: u32, name: &str, id: u16, service_tag: bool, lower: u32) -> Link {
    let kind = LinkKind::Vlan {
        id,
        service_tag,
        lower: Some(lower),
    };
    link(index, name, kind)
}

fn port(index: u32, name: &str, bond: u32) -> Link {
    Link {
        controller: Some(bond),
        ..link(index, name, LinkKind::Plain)
    }
}

fn neighbour(key: HopKey, state: Nud, mac: Option<Mac>) -> Fact {
    Fact::Neighbour(key, Neighbour { state, mac })
}

/// adc on eth0 (index 2), the backend behind 10.0.0.1 on `oif`.
fn table(links: Vec<Link>, oif: u32) -> Table {
    let mut table = Table::new(["eth0".to_owned()]);
    table.want(&BTreeSet::from([backend()]));
    for link in links {
        table.apply(Fact::Link(link));
    }
    table.take_unrouted();
    let source = Some(ip("10.0.0.9"));
    table.set_route(
        backend(),
        RouteAnswer::Hop {
            key: key(oif),
            source,
        },
    );
    table
}

fn on_eth0() -> Table {
    table(vec![link(2, "eth0", LinkKind::Plain)], 2)
}

fn backend() -> IpAddr {
    ip("192.0.2.1")
}

fn resolution(table: &mut Table) -> Resolution {
    table.take_changes();
    table.resolutions()[&backend()].clone()
}

fn obstacle(table: &mut Table) -> String {
    match resolution(table) {
        Resolution::Unresolved(obstacle) => obstacle.to_string(),
        Resolution::Resolved(hop) => panic!("resolved: {hop}"),
    }
}

fn mac(table: &mut Table) -> Option<Mac> {
    resolution(table).hop().map(|hop| hop.mac)
}

#[test]
fn a_route_and_a_reachable_neighbour_make_a_next_hop() {
    let mut table = on_eth0();
    table.apply(neighbour(key(2), Nud::Reachable, Some(MAC)));
    let hop = NextHop {
        ifindex: 2,
        device: "eth0".to_owned(),
        mac: MAC,
        vlan: VlanId::NONE,
        inner_vlan: VlanId::NONE,
        via: ip("10.0.0.1"),
        source: Some(ip("10.0.0.9")),
    };
    assert_eq!(resolution(&mut table), Resolution::Resolved(hop));
}

/// Name, devices, the route's device, and the exit (or a part of the obstacle's text).
type Case = (&'static str, Vec<Link>, u32, Result<Exit, &'static str>);
type Exit = (u32, VlanId, VlanId);

#[test]
fn devices_above_the_attached_interface_resolve_to_it_with_their_tags() {
    let eth0 = || link(2, "eth0", LinkKind::Plain);
    let bond = |active| link(5, "bond0", LinkKind::Bond { active });
    let cases: Vec<Case> = vec![
        (
            "vlan",
            vec![eth0(), vlan(3, "eth0.10", 10, false, 2)],
            3,
            Ok((2, VlanId(10), VlanId::NONE)),
        ),
        (
            "qinq",
            vec![
                eth0(),
                vlan(3, "s", 100, true, 2),
                vlan(4, "c", 10, false, 3),
            ],
            4,
            Ok((2, VlanId::service(100), VlanId(10))),
        ),
        (
            "service tag alone",
            vec![eth0(), vlan(3, "s", 100, true, 2)],
            3,
            Ok((2, VlanId::service(100), VlanId::NONE)),
        ),
        (
            "802.1Q twice",
            vec![
                eth0(),
                vlan(3, "s", 100, false, 2),
                vlan(4, "c", 10, false, 3),
            ],
            4,
            Ok((2, VlanId(100), VlanId(10))),
        ),
        (
            "three tags",
            vec![
                eth0(),
                vlan(3, "s", 100, true, 2),
                vlan(4, "c", 10, false, 3),
                vlan(5, "d", 11, false, 4),
            ],
            5,
            Err("more than two tags"),
        ),
        (
            "vlan in a loop",
            vec![vlan(3, "x", 1, false, 3)],
            3,
            Err("not in dataplane.interfaces"),
        ),
        (
            "vlan without lower device",
            vec![vlan(3, "x", 1, false, 9)],
            3,
            Err("index 9"),
        ),
        (
            "bond",
            vec![bond(None), port(2, "eth0", 5)],
            5,
            Ok((2, VlanId::NONE, VlanId::NONE)),
        ),
        (
            "vlan on bond",
            vec![bond(None), port(2, "eth0", 5), vlan(6, "v", 20, false, 5)],
            6,
            Ok((2, VlanId(20), VlanId::NONE)),
        ),
        (
            "bond whose active port is another",
            vec![bond(Some(7)), port(2, "eth0", 5), port(7, "eth1", 5)],
            5,
            Err("(eth0, eth1)"),
        ),
        (
            "bond active here",
            vec![bond(Some(2)), port(2, "eth0", 5)],
            5,
            Ok((2, VlanId::NONE, VlanId::NONE)),
        ),
        (
            "bond with LACP whose first port is of another aggregator",
            vec![
                bond(None),
                Link {
                    standby: true,
                    ..port(2, "eth0", 5)
                },
            ],
            5,
            Err("none that is up and active"),
        ),
        (
            "bridge",
            vec![link(8, "br0", LinkKind::Bridge)],
            8,
            Err("bridge br0"),
        ),
        (
            "elsewhere",
            vec![link(9, "docker0", LinkKind::Plain)],
            9,
            Err("docker0, which is not in dataplane.interfaces: add it"),
        ),
    ];
    for (name, links, oif, expected) in cases {
        let mut table = table(links, oif);
        table.apply(neighbour(key(oif), Nud::Reachable, Some(MAC)));
        match (resolution(&mut table), expected) {
            (Resolution::Resolved(hop), Ok(exit)) => {
                assert_eq!((hop.ifindex, hop.vlan, hop.inner_vlan), exit, "{name}");
            }
            (Resolution::Unresolved(obstacle), Err(part)) => {
                assert!(obstacle.to_string().contains(part), "{name}: {obstacle}");
            }
            (found, expected) => panic!("{name}: {found:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn only_valid_neighbour_states_resolve() {
    let valid = [
        Nud::Reachable,
        Nud::Stale,
        Nud::Delay,
        Nud::Probe,
        Nud::Permanent,
        Nud::Noarp,
    ];
    for state in valid {
        let mut table = on_eth0();
        table.apply(neighbour(key(2), state, Some(MAC)));
        assert_eq!(mac(&mut table), Some(MAC), "{state}");
    }
    for state in [Nud::None, Nud::Incomplete, Nud::Failed] {
        let mut table = on_eth0();
        table.apply(neighbour(key(2), state, None));
        assert_eq!(
            obstacle(&mut table),
            format!("neighbour 10.0.0.1 on eth0: {state}")
        );
    }
    let mut table = on_eth0();
    table.apply(neighbour(key(2), Nud::Noarp, None));
    assert!(obstacle(&mut table).contains("no Ethernet address"));
}

#[test]
fn route_answers_without_a_hop_are_explained() {
    let cases = [
        (RouteAnswer::Own, "192.0.2.1 is this machine's own address"),
        (RouteAnswer::Unreachable, "no route to 192.0.2.1"),
        (RouteAnswer::Refused("blackhole"), "type `blackhole`"),
        (RouteAnswer::Encapsulated, "encapsulates"),
        (RouteAnswer::Failed("boom".into()), "boom"),
    ];
    for (answer, expected) in cases {
        let mut table = on_eth0();
        table.set_route(backend(), answer);
        let text = obstacle(&mut table);
        assert!(text.contains(expected), "{text}");
    }
    let mut table = Table::new([]);
    table.want(&BTreeSet::from([backend()]));
    let pending = Resolution::Unresolved(Obstacle::Pending(backend()));
    assert_eq!(resolution(&mut table), pending);
}

#[test]
fn a_link_without_carrier_unresolves_and_forgets() {
    let mut table = on_eth0();
    table.apply(neighbour(key(2), Nud::Reachable, Some(MAC)));
    resolution(&mut table);
    let eth0 = link(2, "eth0", LinkKind::Plain);
    table.apply(Fact::Link(Link {
        carrier: false,
        ..eth0.clone()
    }));
    assert!(
        table.has_unrouted(),
        "IPv4 routes may have gone without a word"
    );
    assert!(obstacle(&mut table).contains("eth0 has no carrier"));
    assert!(
        table.questions(Instant::now(), 9).is_empty(),
        "no question into a dead link"
    );
    table.apply(Fact::Link(eth0));
    assert!(
        obstacle(&mut table).contains("no answer yet"),
        "what was known is void"
    );
    assert_eq!(table.questions(Instant::now(), 9).len(), 1);
}

#[test]
fn only_routes_that_cover_a_backend_are_looked_up_again() {
    let mut table = on_eth0();
    table.apply(Fact::RoutesChanged(Some(
        "198.51.100.0/24".parse().unwrap(),
    )));
    table.apply(Fact::RoutesChanged(Some("::/0".parse().unwrap())));
    assert!(!table.has_unrouted());
    for net in ["0.0.0.0/0", "192.0.2.0/24", "192.0.2.1/32"] {
        table.apply(Fact::RoutesChanged(Some(net.parse().unwrap())));
        assert_eq!(table.take_unrouted(), BTreeSet::from([backend()]), "{net}");
    }
    table.apply(Fact::RoutesChanged(None));
    assert_eq!(table.take_unrouted().len(), 1);
}

#[test]
fn interface_facts_change_once_and_tell_a_new_incarnation() {
    let mut table = Table::new(["eth0".to_owned()]);
    let eth0 = link(2, "eth0", LinkKind::Plain);
    table.apply(Fact::Link(eth0.clone()));
    let told = table.take_changes().interfaces;
    assert_eq!(told["eth0"].as_ref().map(|facts| facts.ifindex), Some(2));
    table.apply(Fact::Link(eth0.clone()));
    assert!(table.take_changes().interfaces.is_empty());
    table.apply(Fact::LinkGone(2));
    assert_eq!(table.take_changes().interfaces["eth0"], None);
    table.apply(Fact::Link(Link { index: 7, ..eth0 }));
    let told = table.take_changes().interfaces;
    assert_eq!(told["eth0"].as_ref().map(|facts| facts.ifindex), Some(7));
}

#[test]
fn a_resync_removes_what_is_gone_and_keeps_the_rest_quiet() {
    let mut table = on_eth0();
    let eth0 = link(2, "eth0", LinkKind::Plain);
    let known = Neighbour {
        state: Nud::Reachable,
        mac: Some(MAC),
    };
    table.apply(neighbour(key(2), Nud::Reachable, Some(MAC)));
    table.take_changes();
    table.resync(vec![eth0], vec![(key(2), known)]);
    assert_eq!(table.take_changes(), super::Changes::default());
    table.resync(vec![], vec![]);
    assert!(obstacle(&mut table).contains("does not exist"));
}

#[test]
fn what_is_no_longer_wanted_leaves_nothing_behind() {
    let mut table = on_eth0();
    table.apply(neighbour(key(2), Nud::Failed, None));
    table.take_changes();
    table.want(&BTreeSet::new());
    table.set_route(backend(), RouteAnswer::Own);
    assert!(table.resolutions().is_empty());
    assert!(table.users.is_empty() && table.attention.is_empty());
    assert!(table.asked_at.is_empty() && table.neighbours.is_empty());
    assert!(table.wanted.is_empty() && table.dirty.is_empty() && !table.has_unrouted());
}
