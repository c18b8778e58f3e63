//! Routes to VIPs in a real kernel.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    super::testnet::{Namespace, is_root},
    present, reconcile, remove_elsewhere,
};

fn set(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts
        .iter()
        .map(|text| text.parse().expect("an address"))
        .collect()
}

/// `ip route show` prints the number of a protocol without a name in decimal.
const MARK: &str = "proto 173";

#[test]
fn routes_of_a_table_become_those_wanted_and_other_peoples_stay() {
    if !is_root("routes_of_a_table_become_those_wanted_and_other_peoples_stay") {
        return;
    }
    let node = Namespace::new();
    node.ip("route add blackhole 203.0.113.10 table 300");
    node.ip("route add unreachable 203.0.113.99 table 300 proto static");
    node.block_on(|| async {
        assert_eq!(present(300).await.expect("root may"), set(&[]));
        let vips = set(&["203.0.113.10", "203.0.113.11", "2001:db8::11"]);
        let done = reconcile(300, &vips).await.expect("root may");
        assert_eq!(done.added, set(&["203.0.113.11", "2001:db8::11"]));
        assert_eq!(done.foreign, set(&["203.0.113.10"]));
        let shown = node.ip("-d route show table 300");
        let route = format!("blackhole 203.0.113.11 {MARK}");
        assert!(shown.contains(&route), "{shown}");
        let shown = node.ip("-6 -d route show table 300");
        let route = "blackhole 2001:db8::11 dev lo";
        assert!(shown.contains(route) && shown.contains(MARK), "{shown}");

        let again = reconcile(300, &vips).await.expect("root may");
        assert!(
            again.added.is_empty() && again.removed.is_empty(),
            "{again:?}"
        );
        node.ip("route del blackhole 203.0.113.11 table 300");
        let mended = reconcile(300, &vips).await.expect("root may");
        assert_eq!(mended.added, set(&["203.0.113.11"]));

        let fewer = reconcile(300, &set(&["2001:db8::11"])).await;
        let fewer = fewer.expect("root may");
        assert_eq!(fewer.removed, set(&["203.0.113.11"]));
        assert_eq!(
            present(300).await.expect("root may"),
            set(&["2001:db8::11"])
        );
    });
    let left = node.ip("route show table 300");
    for foreign in ["203.0.113.10", "203.0.113.99"] {
        assert!(left.contains(foreign), "{left}");
    }
    assert!(!node.ip("route show table all").contains("203.0.113.11"));
}

#[test]
fn routes_in_a_table_that_is_not_used_any_more_are_found_and_removed() {
    if !is_root("routes_in_a_table_that_is_not_used_any_more_are_found_and_removed") {
        return;
    }
    let node = Namespace::new();
    node.ip("route add blackhole 198.51.100.1 table 173 proto static");
    node.block_on(|| async {
        let vips = set(&["203.0.113.10", "2001:db8::10"]);
        for table in [173, 100_000] {
            reconcile(table, &vips).await.expect("root may");
        }
        let removed = remove_elsewhere(Some(100_000)).await.expect("root may");
        assert_eq!(
            removed.into_iter().collect::<Vec<_>>(),
            [(173, vips.clone())]
        );
        assert_eq!(present(100_000).await.expect("root may"), vips);
        assert_eq!(present(173).await.expect("root may"), set(&[]));
        let removed = remove_elsewhere(None).await.expect("root may");
        assert_eq!(removed.into_keys().collect::<Vec<_>>(), [100_000]);
    });
    assert!(node.ip("route show table 173").contains("198.51.100.1"));
}
