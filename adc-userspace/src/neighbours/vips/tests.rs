//! VIPs on a real interface, in network namespaces.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use super::{
    super::{
        NeighbourError, NextHopEvent, Resolver,
        testnet::{Namespace, is_root},
    },
    Kept, Reconciled, foreign, keep, put, reconcile, remove_all_kept, remove_all_ours, take,
};

fn set(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts
        .iter()
        .map(|text| text.parse().expect("an address"))
        .collect()
}

#[test]
fn only_our_own_addresses_are_ever_removed() {
    if !is_root("only_our_own_addresses_are_ever_removed") {
        return;
    }
    let (node, peer) = (Namespace::new(), Namespace::new());
    node.cable("a0", &peer, "b0");
    node.ip("addr add 10.0.0.1/24 dev a0");
    node.ip("addr add 10.0.0.50/32 dev a0");
    node.ip("addr add 2001:db8::1/64 dev a0 nodad");
    let vips = ["10.0.0.50", "10.0.0.51", "10.0.0.52", "2001:db8::51"];
    node.block_on(|| async {
        let first = reconcile("a0", &set(&vips)).await.expect("root may");
        let expected = Reconciled {
            added: set(&["10.0.0.51", "10.0.0.52", "2001:db8::51"]),
            removed: set(&[]),
            foreign: set(&["10.0.0.50"]),
        };
        assert_eq!(first, expected);
        let shown = node.ip("addr show dev a0");
        assert!(shown.contains("10.0.0.51/32"), "{shown}");
        assert!(shown.contains("2001:db8::51/128"), "{shown}");
        let v6 = shown.lines().find(|line| line.contains("2001:db8::51/128"));
        let v6 = v6.expect("shown");
        assert!(!v6.contains("tentative"), "usable at once: {v6}");
        assert!(
            v6.contains("deprecated"),
            "no source of our own connections: {v6}"
        );

        let again = reconcile("a0", &set(&vips)).await.expect("root may");
        assert_eq!(
            (again.added.len(), again.removed.len()),
            (0, 0),
            "{again:?}"
        );

        let fewer = reconcile("a0", &set(&["10.0.0.52"]))
            .await
            .expect("root may");
        assert_eq!(fewer.removed, set(&["10.0.0.51", "2001:db8::51"]));
        assert_eq!(
            remove_all_ours("a0").await.expect("root may"),
            set(&["10.0.0.52"])
        );
    });
    let left = node.ip("addr show dev a0");
    for foreign in ["10.0.0.1/24", "10.0.0.50/32", "2001:db8::1/64"] {
        assert!(left.contains(foreign), "{left}");
    }
    assert!(
        !left.contains("10.0.0.5/") && !left.contains("::51"),
        "{left}"
    );
}

#[test]
fn what_adc_put_somewhere_is_told_from_what_was_there() {
    if !is_root("what_adc_put_somewhere_is_told_from_what_was_there") {
        return;
    }
    let (node, peer) = (Namespace::new(), Namespace::new());
    node.cable("a0", &peer, "b0");
    node.ip("addr add 10.0.0.1/24 dev a0");
    node.ip("addr add 2001:db8::1/64 dev lo nodad");
    let asked = set(&["10.0.0.1", "10.0.0.2", "10.0.0.51", "2001:db8::1"]);
    let found = node.block_on(|| async {
        let ours = set(&["10.0.0.51"]);
        reconcile("a0", &ours).await.expect("root may");
        foreign(&asked).await.expect("anybody may")
    });
    let found: Vec<_> = found
        .into_iter()
        .map(|(address, interface)| format!("{address} {interface}"))
        .collect();
    assert_eq!(found, ["10.0.0.1 a0", "2001:db8::1 lo"]);
}

#[test]
fn a_host_that_knew_the_vip_elsewhere_learns_the_new_mac() {
    if !is_root("a_host_that_knew_the_vip_elsewhere_learns_the_new_mac") {
        return;
    }
    let (node, host) = (Namespace::new(), Namespace::new());
    node.cable("a0", &host, "b0");
    node.ip("addr add 10.0.0.1/24 dev a0");
    host.ip("addr add 10.0.0.2/24 dev b0");
    host.ip("addr add 2001:db8::2/64 dev b0 nodad");
    host.ip("neigh add 10.0.0.50 dev b0 lladdr 02:00:00:00:00:01 nud stale");
    host.ip("neigh add 2001:db8::50 dev b0 lladdr 02:00:00:00:00:01 nud stale");
    let mac = node.mac("a0");
    node.block_on(|| async {
        let vips = set(&["10.0.0.50", "2001:db8::50"]);
        reconcile("a0", &vips).await.expect("root may");
    });
    // The host's own kernel must have taken the new MAC in from the announcement alone.
    host.block_on(|| async {
        let (resolver, mut events) = Resolver::start(vec!["b0".into()]).await.expect("netlink");
        resolver.want(set(&["10.0.0.50", "2001:db8::50"]));
        let mut seen = BTreeSet::new();
        let learned = async {
            while let Some(event) = events.recv().await {
                let NextHopEvent::Hops(hops) = event else {
                    continue;
                };
                for (ip, found) in hops {
                    if let Some(hop) = found.hop() {
                        assert_eq!(
                            hop.mac, mac,
                            "{ip}: the first MAC known is the announced one"
                        );
                        seen.insert(ip);
                    }
                }
                if seen.len() == 2 {
                    return;
                }
            }
            panic!("the resolver stopped");
        };
        let patience = Duration::from_secs(20);
        tokio::time::timeout(patience, learned)
            .await
            .expect("learned");
    });
}

#[test]
fn a_missing_interface_is_named() {
    if !is_root("a_missing_interface_is_named") {
        return;
    }
    let node = Namespace::new();
    let error = node.block_on(|| async {
        reconcile("nope0", &BTreeSet::new())
            .await
            .expect_err("it is not there")
    });
    assert!(
        matches!(&error, NeighbourError::NoInterface(name) if name == "nope0"),
        "{error}"
    );
}

#[test]
fn addresses_of_a_group_come_and_go_and_leave_all_others_alone() {
    if !is_root("addresses_of_a_group_come_and_go_and_leave_all_others_alone") {
        return;
    }
    let (node, peer) = (Namespace::new(), Namespace::new());
    node.cable("a0", &peer, "b0");
    node.ip("addr add 10.0.0.1/24 dev a0");
    node.ip("addr add 10.0.0.50/32 dev a0");
    node.block_on(|| async {
        let others = set(&["10.0.0.60"]);
        reconcile("a0", &others).await.expect("root may");
        let group = [("10.0.0.50", 32), ("10.0.0.51", 24), ("2001:db8::51", 128)];
        let group = group.map(|(ip, length)| (ip.parse().expect("an address"), length));
        for _again in 0..2 {
            put("a0", &group.into()).await.expect("root may");
        }
        let shown = node.ip("addr show dev a0");
        for expected in ["10.0.0.51/24", "2001:db8::51/128", "10.0.0.60/32"] {
            assert!(shown.contains(expected), "{expected}: {shown}");
        }
        let unwanted = set(&["10.0.0.50", "10.0.0.51", "2001:db8::51"]);
        for _again in 0..2 {
            take("a0", &unwanted).await.expect("root may");
        }
        let shown = node.ip("addr show dev a0");
        for gone in ["10.0.0.51", "2001:db8::51"] {
            assert!(!shown.contains(gone), "{gone}: {shown}");
        }
        for kept in ["10.0.0.1/24", "10.0.0.50/32", "10.0.0.60/32"] {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
        let missing = put("a9", &group.into()).await;
        assert!(
            matches!(missing, Err(NeighbourError::NoInterface(_))),
            "{missing:?}"
        );
    });
}

#[test]
fn agent_and_keeper_never_take_each_others_addresses_off() {
    if !is_root("agent_and_keeper_never_take_each_others_addresses_off") {
        return;
    }
    let (node, peer) = (Namespace::new(), Namespace::new());
    node.cable("a0", &peer, "b0");
    let group = [("10.0.0.51", 32), ("2001:db8::51", 128)];
    let group = group.map(|(ip, length)| (ip.parse().expect("an address"), length));
    let moving = set(&["10.0.0.51", "2001:db8::51"]);
    node.block_on(|| async {
        // What was the agent's becomes the keeper's, in place.
        let both = set(&["10.0.0.51", "10.0.0.60", "2001:db8::51"]);
        reconcile("a0", &both).await.expect("root may");
        let added = put("a0", &group.into()).await.expect("root may");
        assert_eq!(added, set(&[]), "they were there");
        let own = reconcile("a0", &set(&["10.0.0.60"]))
            .await
            .expect("root may");
        assert_eq!(own.removed, set(&[]), "those are not the agent's any more");
        // The keeper takes off only its own.
        let kept = keep("a0", &BTreeMap::new(), &moving)
            .await
            .expect("root may");
        assert_eq!(kept, Kept::default(), "undecided ones stay");
        let kept = keep("a0", &BTreeMap::new(), &set(&[]))
            .await
            .expect("root may");
        assert_eq!(kept.removed, moving);
        let kept = keep("a0", &group.into(), &set(&[]))
            .await
            .expect("root may");
        assert_eq!(kept.added, moving, "and puts back what is missing");
        assert_eq!(remove_all_kept("a0").await.expect("root may"), moving);
        assert!(node.ip("addr show dev a0").contains("10.0.0.60/32"));
    });
}
