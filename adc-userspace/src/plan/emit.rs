//! In which order tables are changed.

use std::{cmp::Reverse, collections::BTreeSet};

use adc_common::abi::{Addr16, BackendEntry, ServiceId, ServiceKey};

use super::{
    Change, Observed, RingSpec,
    diff::Target,
    groups::{assign, claim, free},
};

/// The changes that turn `observed` into `target`, in an order in which every prefix is safe: what is named is
/// there before it is named, and goes after its name has gone.
pub(super) fn emit(target: &Target, observed: &Observed) -> Vec<Change> {
    let mut changes = Vec::new();
    // Where a VIP has ranges, a port that changes hands goes from one service to the other in one write: the old keys
    // go after the new ones have come, and what they name after that.
    let late = Late::of(target, observed);
    claim(target, observed, &mut changes);
    remove_index(target, observed, |key| !late.keeps(key), &mut changes);
    put_services(target, observed, &mut changes);
    // A backend that has its next hop comes before the ring that may name it, and one that has lost it, or whose
    // flows are to leave it, after the ring has let it go.
    put_backends(target, observed, usable, &mut changes);
    put_rings(
        target,
        observed,
        |id| !late.services.contains(&id),
        &mut changes,
    );
    let unusable = |entry: &BackendEntry| !usable(entry);
    let early = |entry: &BackendEntry| unusable(entry) && !late.services.contains(&entry.service);
    put_backends(target, observed, early, &mut changes);
    put_index(target, observed, &mut changes);
    remove_index(target, observed, |key| late.keeps(key), &mut changes);
    put_rings(
        target,
        observed,
        |id| late.services.contains(&id),
        &mut changes,
    );
    let rest = |entry: &BackendEntry| unusable(entry) && late.services.contains(&entry.service);
    put_backends(target, observed, rest, &mut changes);
    assign(target, observed, &mut changes);
    clear(target, observed, &mut changes);
    free(target, observed, &mut changes);
    changes
}

fn usable(entry: &BackendEntry) -> bool {
    entry.flags.is_usable()
}

/// What goes late.
struct Late {
    /// VIPs that have services with many ports, or will have.
    vips: BTreeSet<Addr16>,
    /// Services whose keys at these VIPs go.
    services: BTreeSet<ServiceId>,
}

impl Late {
    fn of(target: &Target, observed: &Observed) -> Self {
        let ranges = (target.index.keys())
            .chain(observed.index.keys())
            .filter(|key| key.ports().is_some());
        let mut late = Self {
            vips: ranges.map(|key| key.vip).collect(),
            services: BTreeSet::new(),
        };
        let gone = (observed.index.iter())
            .filter(|(key, _)| late.keeps(key) && !target.index.contains_key(key))
            .filter(|(_, id)| !target.rings.contains_key(id));
        late.services = gone.map(|(_, id)| *id).collect();
        late
    }

    fn keeps(&self, key: &ServiceKey) -> bool {
        self.vips.contains(&key.vip)
    }
}

/// The narrowest last: while keys go, no port falls to a service that never had it. A marker outlives the services of
/// its VIP.
fn remove_index(
    target: &Target,
    observed: &Observed,
    which: impl Fn(&ServiceKey) -> bool,
    changes: &mut Vec<Change>,
) {
    let mut gone: Vec<_> = (observed.index.iter())
        .filter(|(key, _)| which(key) && !target.index.contains_key(key))
        .collect();
    gone.sort_by_key(|(key, _)| (is_marker(key), Reverse(width(key))));
    let removals = gone.into_iter();
    changes.extend(removals.map(|(key, id)| Change::RemoveIndex { key: *key, id: *id }));
}

/// How many ports a key has, less one.
fn width(key: &ServiceKey) -> u16 {
    key.ports()
        .map_or(0, |(first, last)| last.saturating_sub(first))
}

fn is_marker(key: &ServiceKey) -> bool {
    *key == ServiceKey::vip_marker(key.vip)
        || *key == ServiceKey::snat_marker(key.vip)
        || *key == ServiceKey::ping_refusal(key.vip)
}

fn put_services(target: &Target, observed: &Observed, changes: &mut Vec<Change>) {
    for (id, entry) in &target.services {
        let before = observed.services.get(id);
        if before != Some(entry) {
            changes.push(Change::PutService {
                id: *id,
                entry: Box::new(*entry),
                before: before.map(|entry| Box::new(*entry)),
            });
        }
    }
}

fn put_backends(
    target: &Target,
    observed: &Observed,
    which: impl Fn(&BackendEntry) -> bool,
    changes: &mut Vec<Change>,
) {
    for (id, entry) in target.backends.iter().filter(|(_, entry)| which(entry)) {
        let before = observed.backends.get(id).copied();
        if before != Some(*entry) {
            changes.push(Change::PutBackend {
                id: *id,
                entry: *entry,
                before,
            });
        }
    }
}

fn put_rings(
    target: &Target,
    observed: &Observed,
    which: impl Fn(ServiceId) -> bool,
    changes: &mut Vec<Change>,
) {
    let none = RingSpec::default();
    let gone = services_gone(target, observed)
        .into_iter()
        .map(|id| (id, &none));
    let wanted = target.rings.iter().map(|(id, spec)| (*id, spec));
    for (service, spec) in gone.chain(wanted).filter(|(id, _)| which(*id)) {
        let before = observed.rings.get(&service);
        if before == Some(spec) {
            continue;
        }
        let before = before.cloned();
        changes.push(if spec.is_empty() {
            Change::ClearRing { service, before }
        } else {
            Change::PutRing {
                service,
                spec: spec.clone(),
                before,
            }
        });
    }
}

/// Every id that is, or may once have been, a service and is none now.
fn services_gone(target: &Target, observed: &Observed) -> BTreeSet<ServiceId> {
    (observed.services.keys())
        .chain(observed.backends.values().map(|entry| &entry.service))
        .chain(observed.rings.keys())
        .filter(|id| !target.rings.contains_key(id))
        .copied()
        .collect()
}

fn put_index(target: &Target, observed: &Observed, changes: &mut Vec<Change>) {
    let mut missing: Vec<_> = (target.index.iter())
        .filter(|(key, id)| observed.index.get(key) != Some(id))
        .collect();
    // The narrowest first, as above.
    missing.sort_by_key(|(key, _)| (!is_marker(key), width(key)));
    let puts = missing.into_iter();
    changes.extend(puts.map(|(key, id)| Change::PutIndex { key: *key, id: *id }));
}

fn clear(target: &Target, observed: &Observed, changes: &mut Vec<Change>) {
    for (id, before) in &observed.backends {
        if !target.backends.contains_key(id) {
            changes.push(Change::ClearBackend {
                id: *id,
                before: *before,
            });
        }
    }
    let in_use = services_in_use(target);
    for id in services_gone(target, observed) {
        if !in_use.contains(&id) {
            changes.push(Change::ClearService { id });
        }
    }
}

/// Services that a backend names.
pub(super) fn services_in_use(target: &Target) -> BTreeSet<ServiceId> {
    (target.backends.values())
        .map(|entry| entry.service)
        .collect()
}
