//! Services with many ports: while they change, every port belongs to the service that had it or to the one that will.

use adc_common::abi::{Port, Protocol, RangeKey, ServiceEntry};
use proptest::{prelude::*, sample::subsequence};

use super::*;
use crate::plan::{Change, keys_of, prefixes_only_of};

const VIP: &str = "203.0.113.10";

/// Ports of services that may stand side by side, in one configuration or another.
const CHOICES: [&[&str]; 4] = [
    &["80", "5000-5100", "any"],
    &["80-90", "5000-5050", "5051", "any"],
    &["80", "443", "4900-5200", "1-79"],
    &["5099", "5050-5150", "32768-65535"],
];

/// One port from each part that any of them cuts off.
const PROBES: [u16; 19] = [
    1, 79, 80, 81, 90, 91, 443, 4899, 4900, 5000, 5049, 5050, 5051, 5099, 5100, 5150, 5200, 32_768,
    65_535,
];

fn config(ports: &[&str]) -> Desired {
    let mut config = empty_config();
    for ports in ports {
        let service = service(&format!("{VIP}:{ports}"), "web");
        config
            .services
            .insert(format!("at-{ports}").parse().expect("a name"), service);
    }
    config
        .pools
        .insert(name("web"), pool(&[("10.0.0.1:80", 100)]));
    let hops = [(ip("10.0.0.1"), hop(1))].into();
    desired(&config, &all_up(&config), &hops)
}

fn chosen() -> impl Strategy<Value = Desired> {
    let of = |ports: &'static [&'static str]| subsequence(ports, 0..=ports.len());
    prop_oneof![
        of(CHOICES[0]),
        of(CHOICES[1]),
        of(CHOICES[2]),
        of(CHOICES[3])
    ]
    .prop_map(|ports| config(&ports))
}

/// What the packet walk has before it.
#[derive(Default)]
struct Kernel {
    tables: Observed,
    trie: BTreeMap<RangeKey, ServiceId>,
}

impl Kernel {
    /// As the data plane does it.
    fn apply(&mut self, change: &Change) {
        match change {
            Change::PutIndex { key, id } => {
                let prefixes = RangeKey::of_service(key).map(|prefix| (prefix, *id));
                self.trie.extend(prefixes);
            }
            Change::RemoveIndex { key, .. } => {
                for prefix in prefixes_only_of(key, &self.tables.index) {
                    self.trie.remove(&prefix);
                }
            }
            Change::PutService { .. }
            | Change::PutBackend { .. }
            | Change::PutRing { .. }
            | Change::ClearRing { .. }
            | Change::ClearBackend { .. }
            | Change::ClearService { .. }
            | Change::Group(_) => {}
        }
        self.tables.record(change);
    }

    /// The service of a port.
    fn at(&self, port: u16) -> Option<ServiceId> {
        let vip = ip(VIP).into();
        let key = ServiceKey::new(vip, Port::new(port), Protocol::TCP);
        let index = &self.tables.index;
        index.get(&key).copied().or_else(|| {
            index.get(&ServiceKey::vip_marker(vip))?;
            let matching = self.trie.iter().filter(|(prefix, _)| {
                let own = prefix.as_service();
                let ports = own.ports();
                ports.is_some_and(|(first, last)| (first..=last).contains(&port))
            });
            let longest = matching.max_by_key(|(prefix, _)| prefix.prefix_len);
            longest.map(|(_, id)| *id)
        })
    }

    /// The service of each port, as it is configured, and whether it has backends.
    fn all(&self) -> Vec<Option<(ServiceId, bool)>> {
        let probe = |port| {
            let id = self.at(port)?;
            let ring = self.tables.rings.get(&id);
            Some((id, ring.is_some_and(|ring| !ring.is_empty())))
        };
        PROBES.into_iter().map(probe).collect()
    }

    fn run(&mut self, desired: &Desired) {
        for change in &plan(desired, &self.tables).changes {
            self.apply(change);
        }
    }
}

proptest! {
    #[test]
    fn a_port_is_never_without_a_service_nor_with_a_wrong_one(before in chosen(), after in chosen()) {
        let mut kernel = Kernel::default();
        kernel.run(&before);
        let had = kernel.all();
        let mut end = Kernel::default();
        end.run(&before);
        end.run(&after);
        let gets = end.all();
        for change in &plan(&after, &kernel.tables).changes {
            kernel.apply(change);
            for ((port, now), (had, gets)) in PROBES.iter().zip(kernel.all()).zip(had.iter().zip(&gets)) {
                let either = now == *had || now == *gets;
                prop_assert!(either, "port {port}: {now:?}, had {had:?}, gets {gets:?}, at {change:?}");
                let between = now.is_none() && had.is_some() && gets.is_some();
                prop_assert!(!between, "port {port} has no service at {change:?}");
            }
        }
        prop_assert_eq!(kernel.all(), gets);
    }

    #[test]
    fn what_an_agent_left_is_read_back_and_mended(
        before in chosen(),
        after in chosen(),
        stop in any::<prop::sample::Index>(),
    ) {
        let mut kernel = Kernel::default();
        kernel.run(&before);
        let changes = plan(&after, &kernel.tables).changes;
        for change in changes.iter().take(stop.index(changes.len() + 1)) {
            kernel.apply(change);
        }
        // The next agent finds prefixes.
        let tables = &mut kernel.tables;
        tables.index.retain(|key, _| key.ports().is_none());
        tables.index.extend(keys_of(&kernel.trie, &tables.services, |_| true));
        kernel.run(&after);
        let mut end = Kernel::default();
        end.run(&after);
        let prefixes = |kernel: &Kernel| kernel.trie.keys().copied().collect::<Vec<_>>();
        prop_assert_eq!(prefixes(&kernel), prefixes(&end));
        for (prefix, id) in &kernel.trie {
            let key = kernel.tables.services[id].key;
            prop_assert!(RangeKey::of_service(&key).any(|own| own == *prefix));
        }
        prop_assert_eq!(plan(&after, &kernel.tables).changes, []);
    }
}

#[test]
fn a_range_without_its_flag_or_with_a_prefix_of_another_is_not_taken_for_whole() {
    let vip = ip(VIP).into();
    let key = ServiceKey::range(vip, Port::new(5000), Port::new(5100), Protocol::TCP);
    let entry = ServiceEntry {
        key,
        ..ServiceEntry::default()
    };
    let services = BTreeMap::from([(ServiceId(1), entry)]);
    let whole: BTreeMap<_, _> = RangeKey::of_service(&key)
        .map(|prefix| (prefix, ServiceId(1)))
        .collect();
    let read = |prefixes: &BTreeMap<_, _>, flag| keys_of(prefixes, &services, |_| flag);
    assert_eq!(read(&whole, true), [(key, ServiceId(1))].into());
    assert!(!read(&whole, false).contains_key(&key));
    assert_eq!(read(&whole, false).len(), whole.len());
    let mut stolen = whole.clone();
    *stolen.values_mut().next().unwrap() = ServiceId(2);
    assert!(!read(&stolen, true).contains_key(&key));
    assert_eq!(read(&stolen, true).len(), whole.len());
}

#[test]
fn plans_name_ranges_as_people_write_them() {
    let text = plan(&config(&["5000-5100", "any"]), &Observed::default()).to_string();
    for line in [
        "+ index 203.0.113.10:5000-5100/tcp (id ",
        "+ index 203.0.113.10:any/tcp (id ",
    ] {
        assert!(text.contains(line), "{text}");
    }
}
