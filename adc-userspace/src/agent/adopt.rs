//! What an earlier agent left, and what follows from it. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use adc_common::abi::{BackendId, InterfaceId, MAX_INTERFACES, ServiceId};

use crate::{
    dataplane::DataplaneError,
    health::TargetKey,
    model::{Config, Health, InitialState, Pool},
    plan::{Observed, key_of},
};

/// Ids of interfaces that flows of an earlier agent may refer to.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownIds {
    /// As noted beside the maps. An interface that was made anew while no agent ran has another index, but is the
    /// one that its flows leave by.
    pub(super) by_name: BTreeMap<String, InterfaceId>,
    /// As in the maps.
    pub(super) by_index: BTreeMap<u32, InterfaceId>,
}

/// Gives every interface an id: the one it had, else a free one. `index_of` = kernel index, `None` if it does not
/// exist.
pub(super) fn number_interfaces(
    names: &[String],
    index_of: impl Fn(&str) -> Option<u32>,
    known: &KnownIds,
) -> Result<BTreeMap<String, InterfaceId>, DataplaneError> {
    let too_many = || DataplaneError::TooManyInterfaces(names.len());
    if names.len() >= MAX_INTERFACES as usize {
        return Err(too_many());
    }
    let mut ids = BTreeMap::new();
    let mut taken: BTreeSet<InterfaceId> = BTreeSet::new();
    for name in names {
        let noted = known.by_name.get(name).copied();
        let found = || known.by_index.get(&index_of(name)?).copied();
        if let Some(id) = noted.or_else(found).filter(|id| taken.insert(*id)) {
            ids.insert(name.clone(), id);
        }
    }
    // Flows may still leave by interfaces that are not configured any more: their ids are the last to be given out.
    let mut reserved = taken.clone();
    reserved.extend(known.by_index.values().chain(known.by_name.values()));
    for name in names {
        if ids.contains_key(name) {
            continue;
        }
        let all = || (1..).map(InterfaceId).take(MAX_INTERFACES as usize - 1);
        // Where the program looks first.
        let likely = index_of(name).map(InterfaceId::likely);
        let id = likely
            .filter(|id| *id != InterfaceId(0))
            .into_iter()
            .chain(all())
            .find(|id| !reserved.contains(id))
            .or_else(|| all().find(|id| !taken.contains(id)))
            .ok_or_else(too_many)?;
        taken.insert(id);
        reserved.insert(id);
        ids.insert(name.clone(), id);
    }
    Ok(ids)
}

/// Health as the adopted rings tell it. A backend that took new flows was up, and stays so until checks say
/// otherwise: a restart empties no ring. Of the others nothing is known (draining looks the same), so checks decide
/// before they get any traffic, even where a monitor would begin with `up`.
pub(super) fn seeds(
    config: &Config,
    observed: &Observed,
    rings: &BTreeMap<ServiceId, BTreeSet<BackendId>>,
) -> BTreeMap<TargetKey, Health> {
    let mut seeds = BTreeMap::new();
    for service in config.services.values() {
        let Some(id) = observed.index.get(&key_of(service)) else {
            continue;
        };
        let Some(pool) = config.pools.get(&service.pool) else {
            continue;
        };
        let own = observed
            .backends
            .iter()
            .filter(|(_, entry)| entry.service == *id);
        let ring = rings.get(id);
        let in_ring = |backend| ring.is_some_and(|ring| ring.contains(backend));
        let known: BTreeMap<SocketAddr, bool> = own
            .map(|(id, entry)| {
                let address = SocketAddr::new(entry.address.into(), entry.port.host());
                (address, in_ring(id))
            })
            .collect();
        for backend in pool.backends.values() {
            let address =
                SocketAddr::new(backend.address.ip().to_canonical(), backend.address.port());
            let health = match known.get(&address) {
                Some(true) => Health::Up,
                Some(false) if begins_up(config, pool) => Health::Down,
                Some(false) | None => continue,
            };
            let key = TargetKey {
                pool: service.pool.clone(),
                backend: backend.address,
            };
            // Of two services with one pool, either may know.
            let seed = seeds.entry(key).or_insert(health);
            if health == Health::Up {
                *seed = health;
            }
        }
    }
    seeds
}

fn begins_up(config: &Config, pool: &Pool) -> bool {
    let monitors = pool.monitors.iter();
    monitors
        .filter_map(|name| config.monitors.get(name))
        .any(|monitor| monitor.initial == InitialState::Up)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use adc_common::abi::BackendEntry;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn number(
        configured: &[&str],
        existing: &[(&str, u32)],
        by_name: &[(&str, u16)],
        by_index: &[(u32, u16)],
    ) -> Vec<(String, u16)> {
        let known = KnownIds {
            by_name: by_name
                .iter()
                .map(|(name, id)| ((*name).to_owned(), InterfaceId(*id)))
                .collect(),
            by_index: by_index
                .iter()
                .map(|(index, id)| (*index, InterfaceId(*id)))
                .collect(),
        };
        let index_of = |name: &str| {
            let found = existing.iter().find(|(other, _)| *other == name);
            found.map(|(_, index)| *index)
        };
        let ids = number_interfaces(&names(configured), index_of, &known).unwrap();
        ids.into_iter().map(|(name, id)| (name, id.0)).collect()
    }

    fn ids(ids: &[(&str, u16)]) -> Vec<(String, u16)> {
        let ids = ids.iter().map(|(name, id)| ((*name).to_owned(), *id));
        ids.collect()
    }

    #[test]
    fn interfaces_stand_where_the_program_looks_first_and_elsewhere_if_that_is_taken() {
        let found = number(&["eth1", "eth0"], &[("eth0", 7), ("eth1", 8)], &[], &[]);
        assert_eq!(found, ids(&[("eth0", 7), ("eth1", 8)]));
        // 64 would be id 0, which means unset; 71 would be id 7; one that does not exist has no index.
        let found = number(
            &["eth0", "eth1", "eth2", "eth3"],
            &[("eth0", 7), ("eth1", 71), ("eth2", 64)],
            &[],
            &[],
        );
        assert_eq!(
            found,
            ids(&[("eth0", 7), ("eth1", 1), ("eth2", 2), ("eth3", 3)])
        );
    }

    #[test]
    fn an_interface_that_was_made_anew_keeps_the_id_that_flows_name() {
        let found = number(
            &["eth0", "eth1"],
            &[("eth0", 7), ("eth1", 30)],
            &[("eth0", 1), ("eth1", 2)],
            &[(7, 1), (8, 2)],
        );
        assert_eq!(found, ids(&[("eth0", 1), ("eth1", 2)]));
    }

    #[test]
    fn a_renamed_interface_keeps_its_id_by_its_index() {
        let found = number(&["wan"], &[("wan", 7)], &[("eth0", 1)], &[(7, 1)]);
        assert_eq!(found, ids(&[("wan", 1)]));
    }

    #[test]
    fn the_id_of_an_interface_that_left_the_configuration_is_not_given_away() {
        let found = number(
            &["eth1", "eth2"],
            &[("eth0", 7), ("eth1", 8), ("eth2", 65)],
            &[("eth0", 1), ("eth1", 2)],
            &[(7, 1), (8, 2)],
        );
        assert_eq!(found, ids(&[("eth1", 2), ("eth2", 3)]));
    }

    #[test]
    fn more_interfaces_than_the_tables_hold_are_refused() {
        let all: Vec<String> = (0..MAX_INTERFACES).map(|n| format!("eth{n}")).collect();
        assert!(number_interfaces(&all, |_| None, &KnownIds::default()).is_err());
        assert!(number_interfaces(&all[1..], |_| None, &KnownIds::default()).is_ok());
    }

    /// Pools a and b share a backend; service a is on pool a, service b on pool b.
    fn config(initial: &str) -> Config {
        let text = format!(
            r#"
[dataplane]
interfaces = ["eth0"]
[monitor.m]
type = "tcp"
initial = "{initial}"
[pool.a]
monitors = ["m"]
backends = [{{ address = "192.0.2.1:80" }}, {{ address = "192.0.2.2:80" }}, {{ address = "192.0.2.3:80" }}]
[pool.b]
monitors = ["m"]
backends = [{{ address = "192.0.2.1:80" }}]
[service.a]
vip = "198.51.100.1"
port = 80
pool = "a"
[service.b]
vip = "198.51.100.1"
port = 81
pool = "b"
"#
        );
        crate::config::parse(&text, Path::new("adc.toml")).unwrap()
    }

    /// Service a (id 1) had backends 1 (in the ring) and 2 (not); service b (id 2) had 3, which is not in its ring.
    fn left(config: &Config) -> (Observed, BTreeMap<ServiceId, BTreeSet<BackendId>>) {
        let mut observed = Observed::default();
        let entry = |service, address: &str| {
            let address: SocketAddr = address.parse().unwrap();
            BackendEntry {
                service: ServiceId(service),
                address: address.ip().into(),
                port: adc_common::abi::Port::new(address.port()),
                ..BackendEntry::default()
            }
        };
        let backends = [
            (1, entry(1, "192.0.2.1:80")),
            (2, entry(1, "192.0.2.2:80")),
            (3, entry(2, "192.0.2.1:80")),
        ];
        observed.backends = backends.map(|(id, entry)| (BackendId(id), entry)).into();
        for (id, service) in (1..).zip(config.services.values()) {
            observed.index.insert(key_of(service), ServiceId(id));
        }
        let rings = [(ServiceId(1), [BackendId(1)].into())].into();
        (observed, rings)
    }

    fn seeded(initial: &str) -> Vec<(String, Health)> {
        let config = config(initial);
        let (observed, rings) = left(&config);
        let seeds = seeds(&config, &observed, &rings);
        seeds
            .into_iter()
            .map(|(key, health)| (key.to_string(), health))
            .collect()
    }

    #[test]
    fn what_was_in_a_ring_was_up_for_that_pool_alone() {
        let expected = [("192.0.2.1:80 in pool a".to_owned(), Health::Up)];
        assert_eq!(seeded("down"), expected);
    }

    #[test]
    fn what_was_not_in_its_ring_waits_for_a_check_even_if_monitors_begin_with_up() {
        let expected = [
            ("192.0.2.1:80 in pool a".to_owned(), Health::Up),
            ("192.0.2.2:80 in pool a".to_owned(), Health::Down),
            ("192.0.2.1:80 in pool b".to_owned(), Health::Down),
        ];
        let mut found = seeded("up");
        found.sort_by_key(|(name, _)| (name.chars().last(), name.clone()));
        assert_eq!(found, expected);
    }
}
