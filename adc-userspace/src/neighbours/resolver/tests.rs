//! The resolver against a real kernel, in network namespaces.

use std::{collections::BTreeSet, fmt::Write, net::IpAddr, time::Duration};

use adc_common::abi::{Mac, VlanId};
use tokio::sync::mpsc;

use super::{
    super::{
        NextHop, Obstacle, Resolution,
        testnet::{Namespace, is_root},
    },
    NextHopEvent, Resolver, Snapshot,
};

/// Longer than anything here takes, kernel timers included.
const PATIENCE: Duration = Duration::from_secs(30);

const BACKEND: &str = "198.51.100.7";
const BACKEND_V6: &str = "2001:db8:9::7";

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// `node` with the devices `a0` and `a1`; `gateways` with `b0` and `b1`, each the way to the backends.
fn two_gateways() -> (Namespace, Namespace) {
    let (node, gateways) = (Namespace::new(), Namespace::new());
    for i in 0..2 {
        node.cable(&format!("a{i}"), &gateways, &format!("b{i}"));
        node.ip(&format!("addr add 10.{i}.0.1/24 dev a{i}"));
        node.ip(&format!("addr add 2001:db8:{i}::1/64 dev a{i} nodad"));
        gateways.ip(&format!("addr add 10.{i}.0.2/24 dev b{i}"));
        gateways.ip(&format!("addr add 2001:db8:{i}::2/64 dev b{i} nodad"));
    }
    node.ip(&format!("route add {BACKEND}/32 via 10.0.0.2"));
    node.ip(&format!("route add {BACKEND_V6}/128 via 2001:db8::2"));
    (node, gateways)
}

/// Shortens the kernel's patience with neighbours on a0. Without `delay_first_probe_time` it goes from REACHABLE
/// straight to STALE, so that nothing but our own questions ever confirms an entry.
fn impatient(node: &Namespace) {
    for family in ["ipv4", "ipv6"] {
        for (setting, value) in [
            ("base_reachable_time_ms", "1000"),
            ("retrans_time_ms", "100"),
            ("delay_first_probe_time", "0"),
        ] {
            node.sysctl(&format!("net/{family}/neigh/a0/{setting}"), value);
        }
    }
}

async fn started(want: &[&str]) -> (Resolver, mpsc::Receiver<NextHopEvent>) {
    let (resolver, events) = Resolver::start(vec!["a0".into(), "a1".into()])
        .await
        .expect("netlink");
    resolver.want(want.iter().map(|ip| address(ip)).collect());
    (resolver, events)
}

/// Waits until an event gives `ip` a resolution that `fits`.
async fn until(
    events: &mut mpsc::Receiver<NextHopEvent>,
    ip: &str,
    fits: impl Fn(&Resolution) -> bool,
) -> Resolution {
    let mut last = None;
    let wait = async {
        while let Some(event) = events.recv().await {
            let NextHopEvent::Hops(mut hops) = event else {
                continue;
            };
            last = hops.remove(&address(ip)).or(last.take());
            if let Some(resolution) = last.take_if(|resolution| fits(resolution)) {
                return resolution;
            }
        }
        panic!("the resolver stopped");
    };
    let found = tokio::time::timeout(PATIENCE, wait).await.ok();
    found.unwrap_or_else(|| panic!("{ip} stayed at {last:?}"))
}

async fn until_mac(events: &mut mpsc::Receiver<NextHopEvent>, ip: &str, mac: Mac) -> NextHop {
    let resolution = until(events, ip, |found| {
        found.hop().is_some_and(|hop| hop.mac == mac)
    })
    .await;
    resolution.hop().expect("a hop").clone()
}

async fn until_snapshot(resolver: &Resolver, fits: impl Fn(&Snapshot) -> bool) {
    let mut snapshot = resolver.snapshot.clone();
    let wait = snapshot.wait_for(fits);
    let waited = tokio::time::timeout(PATIENCE, wait)
        .await
        .map(|seen| seen.is_ok());
    assert_eq!(waited, Ok(true), "{:?}", resolver.snapshot());
}

#[test]
fn a_new_gateway_is_followed() {
    if !is_root("a_new_gateway_is_followed") {
        return;
    }
    let (node, gateways) = two_gateways();
    let macs = [gateways.mac("b0"), gateways.mac("b1")];
    node.block_on(|| async {
        let (resolver, mut events) = started(&[BACKEND, BACKEND_V6]).await;
        let first = until_mac(&mut events, BACKEND, macs[0]).await;
        assert_eq!(first.via, address("10.0.0.2"));
        assert_eq!(first.source, Some(address("10.0.0.1")));
        assert_eq!((first.vlan, first.inner_vlan), (VlanId::NONE, VlanId::NONE));
        let facts = resolver.snapshot().interfaces;
        assert_eq!(first.ifindex, facts["a0"].ifindex);
        until_snapshot(&resolver, |known| {
            known
                .hops
                .values()
                .filter(|found| found.hop().is_some())
                .count()
                == 2
        })
        .await;

        node.ip(&format!("route replace {BACKEND}/32 via 10.1.0.2"));
        let second = until_mac(&mut events, BACKEND, macs[1]).await;
        assert_eq!(second.ifindex, facts["a1"].ifindex);
        node.ip(&format!("route replace {BACKEND_V6}/128 via 2001:db8:1::2"));
        until_mac(&mut events, BACKEND_V6, macs[1]).await;
    });
}

#[test]
fn a_policy_rule_is_followed() {
    if !is_root("a_policy_rule_is_followed") {
        return;
    }
    let (node, gateways) = two_gateways();
    let macs = [gateways.mac("b0"), gateways.mac("b1")];
    node.ip("route add default via 10.1.0.2 table 77");
    node.block_on(|| async {
        let (_resolver, mut events) = started(&[BACKEND]).await;
        until_mac(&mut events, BACKEND, macs[0]).await;
        node.ip(&format!("rule add to {BACKEND} lookup 77"));
        until_mac(&mut events, BACKEND, macs[1]).await;
    });
}

#[test]
fn a_neighbours_new_mac_is_noticed_without_traffic_and_without_a_gap() {
    if !is_root("a_neighbours_new_mac_is_noticed_without_traffic_and_without_a_gap") {
        return;
    }
    let (node, gateways) = two_gateways();
    impatient(&node);
    let old = gateways.mac("b0");
    let new = Mac([0x02, 0xad, 0, 0, 0, 0x77]);
    node.block_on(|| async {
        let (_resolver, mut events) = started(&[BACKEND, BACKEND_V6]).await;
        until_mac(&mut events, BACKEND, old).await;
        // Silently: nobody announces the new MAC, so only asking again finds it.
        gateways.sysctl("net/ipv4/conf/b0/arp_notify", "0");
        gateways.ip("link set b0 address 02:ad:00:00:00:77");
        let next = until(&mut events, BACKEND, |found| {
            found.hop().is_none_or(|hop| hop.mac != old)
        });
        let found = next.await;
        assert_eq!(
            found.hop().map(|hop| hop.mac),
            Some(new),
            "no gap: {found:?}"
        );
    });
}

#[test]
fn a_dead_neighbour_is_given_up_and_found_again() {
    if !is_root("a_dead_neighbour_is_given_up_and_found_again") {
        return;
    }
    let (node, gateways) = two_gateways();
    impatient(&node);
    let mac = gateways.mac("b0");
    node.block_on(|| async {
        let (_resolver, mut events) = started(&[BACKEND]).await;
        until_mac(&mut events, BACKEND, mac).await;
        gateways.ip("addr del 10.0.0.2/24 dev b0");
        let dead = until(&mut events, BACKEND, |found| found.hop().is_none()).await;
        let Resolution::Unresolved(obstacle) = dead else {
            panic!("{dead:?}");
        };
        let text = obstacle.to_string();
        // Given up; perhaps already asked again by the time the text is made.
        assert!(text.starts_with("neighbour 10.0.0.2 on a0: "), "{text}");
        gateways.ip("addr add 10.0.0.2/24 dev b0");
        until_mac(&mut events, BACKEND, mac).await;
    });
}

#[test]
fn an_interface_that_goes_down_or_away_takes_its_next_hops_along() {
    if !is_root("an_interface_that_goes_down_or_away_takes_its_next_hops_along") {
        return;
    }
    let (node, gateways) = two_gateways();
    let mac = gateways.mac("b0");
    node.block_on(|| async {
        let (resolver, mut events) = started(&[BACKEND]).await;
        until_mac(&mut events, BACKEND, mac).await;
        node.ip("link set a0 down");
        until(&mut events, BACKEND, |found| found.hop().is_none()).await;
        until_snapshot(&resolver, |known| !known.interfaces["a0"].up).await;

        node.ip("link set a0 up");
        node.ip(&format!("route replace {BACKEND}/32 via 10.0.0.2"));
        until_mac(&mut events, BACKEND, mac).await;
        until_snapshot(&resolver, |known| known.interfaces["a0"].up).await;

        let before = resolver.snapshot().interfaces["a0"].ifindex;
        node.ip("link del a0");
        until(&mut events, BACKEND, |found| found.hop().is_none()).await;
        until_snapshot(&resolver, |known| !known.interfaces.contains_key("a0")).await;
        node.cable("a0", &gateways, "b0");
        until_snapshot(&resolver, |known| {
            known
                .interfaces
                .get("a0")
                .is_some_and(|facts| facts.ifindex != before)
        })
        .await;
    });
}

#[test]
fn a_changed_mtu_and_mac_of_an_attached_interface_are_told() {
    if !is_root("a_changed_mtu_and_mac_of_an_attached_interface_are_told") {
        return;
    }
    let (node, _gateways) = two_gateways();
    node.block_on(|| async {
        let (_resolver, mut events) = started(&[]).await;
        node.ip("link set a1 mtu 1400");
        node.ip("link set a1 address 02:00:00:00:00:99");
        let told = async {
            while let Some(event) = events.recv().await {
                let NextHopEvent::Interface { name, facts } = event else {
                    continue;
                };
                let facts = facts.expect("it exists");
                let mac = Some(Mac([2, 0, 0, 0, 0, 0x99]));
                if name == "a1" && facts.mtu == 1400 && facts.mac == mac {
                    return;
                }
            }
            panic!("the resolver stopped");
        };
        tokio::time::timeout(PATIENCE, told).await.expect("told");
    });
}

#[test]
fn every_obstacle_is_named() {
    if !is_root("every_obstacle_is_named") {
        return;
    }
    let (node, _gateways) = two_gateways();
    node.ip("link add c0 type veth peer name c1");
    node.ip("link set c0 up");
    node.ip("link set c1 up");
    node.ip("addr add 10.2.0.1/24 dev c0");
    node.ip("route add blackhole 203.0.113.1/32");
    node.ip("route add prohibit 203.0.113.2/32");
    node.ip("route add unreachable 203.0.113.3/32");
    node.ip("-6 route add blackhole 2001:db8:ff::1/128");
    let cases = [
        ("192.0.2.9", "no route to 192.0.2.9"),
        ("2001:db8:77::1", "no route to 2001:db8:77::1"),
        ("10.0.0.1", "this machine's own address"),
        ("2001:db8::1", "this machine's own address"),
        (
            "10.2.0.9",
            "leaves by c0, which is not in dataplane.interfaces",
        ),
        ("203.0.113.1", "type `blackhole`"),
        ("203.0.113.2", "type `prohibit`"),
        ("203.0.113.3", "type `unreachable`"),
        ("2001:db8:ff::1", "type `blackhole`"),
        ("10.0.0.255", "type `broadcast`"),
    ];
    node.block_on(|| async {
        let wanted: Vec<&str> = cases.iter().map(|(ip, _)| *ip).collect();
        let (resolver, _events) = started(&wanted).await;
        until_snapshot(&resolver, |known| {
            let pending =
                |found: &Resolution| matches!(found, Resolution::Unresolved(Obstacle::Pending(_)));
            known.hops.len() == cases.len() && !known.hops.values().any(pending)
        })
        .await;
        let known = resolver.snapshot().hops;
        for (ip, expected) in cases {
            let Resolution::Unresolved(obstacle) = &known[&address(ip)] else {
                panic!("{ip}: {:?}", known[&address(ip)]);
            };
            assert!(obstacle.to_string().contains(expected), "{ip}: {obstacle}");
        }
        resolver.want(BTreeSet::new());
        until_snapshot(&resolver, |known| known.hops.is_empty()).await;
    });
}

#[test]
fn changes_lost_in_an_overflow_are_found_by_a_full_dump() {
    if !is_root("changes_lost_in_an_overflow_are_found_by_a_full_dump") {
        return;
    }
    let (node, gateways) = two_gateways();
    let macs = [gateways.mac("b0"), gateways.mac("b1")];
    node.block_on(|| async {
        let (_resolver, mut events) = started(&[BACKEND]).await;
        until_mac(&mut events, BACKEND, macs[0]).await;
        // The runtime has this one thread, so the resolver reads nothing while it is blocked here, and
        // tens of thousands of route changes are more than any receive queue allowed holds.
        let mut storm = String::new();
        for i in 0..40_000 {
            let (high, low) = (i / 256 % 256, i % 256);
            writeln!(storm, "route add 172.16.{high}.{low}/32 dev a0").expect("memory");
        }
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), storm).expect("written");
        node.ip(&format!("-batch {}", file.path().display()));
        node.ip(&format!("route replace {BACKEND}/32 via 10.1.0.2"));
        until_mac(&mut events, BACKEND, macs[1]).await;
    });
}
