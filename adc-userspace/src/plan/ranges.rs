//! Services with many ports: how the prefixes in `SERVICE_RANGES` and the keys in [`Observed::index`] belong together.
//!
//! [`Observed::index`]: super::Observed::index

use std::collections::BTreeMap;

use adc_common::abi::{Addr16, Protocol, RangeKey, ServiceEntry, ServiceId, ServiceKey};

/// `SERVICE_INDEX` and `SERVICE_RANGES` in one.
type Index = BTreeMap<ServiceKey, ServiceId>;

/// The keys with many ports of a VIP.
pub fn ranges_of(index: &Index, vip: Addr16) -> impl Iterator<Item = &ServiceKey> {
    let first = ServiceKey::new(vip, adc_common::abi::Port::default(), Protocol(0));
    let of_vip = index.range(first..).map(|(key, _)| key);
    of_vip
        .take_while(move |key| key.vip == vip)
        .filter(|key| key.ports().is_some())
}

/// The prefixes that go when a key goes: those that no other key in the index has.
pub fn prefixes_only_of(key: &ServiceKey, index: &Index) -> Vec<RangeKey> {
    let others = ranges_of(index, key.vip).filter(|other| *other != key);
    let kept: Vec<RangeKey> = others.flat_map(RangeKey::of_service).collect();
    RangeKey::of_service(key)
        .filter(|prefix| !kept.contains(prefix))
        .collect()
}

/// Index keys of the prefixes that were found. A service has its key if all its prefixes name it, and the marker of
/// its VIP says that there are ranges. What is left over, of a change that was cut short, is a range of its own, which no
/// configuration wants.
pub fn keys_of(
    prefixes: &BTreeMap<RangeKey, ServiceId>,
    services: &BTreeMap<ServiceId, ServiceEntry>,
    has_ranges: impl Fn(Addr16) -> bool,
) -> Index {
    let mut left = prefixes.clone();
    let mut keys = Index::new();
    for (id, entry) in services {
        let mut own = RangeKey::of_service(&entry.key).peekable();
        let is_there = own.peek().is_some() && has_ranges(entry.key.vip);
        if is_there && own.all(|prefix| prefixes.get(&prefix) == Some(id)) {
            for prefix in RangeKey::of_service(&entry.key) {
                left.remove(&prefix);
            }
            keys.insert(entry.key, *id);
        }
    }
    for (prefix, id) in left {
        keys.entry(prefix.as_service()).or_insert(id);
    }
    keys
}
