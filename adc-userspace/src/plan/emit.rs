//! In which order tables are changed.

use std::collections::BTreeSet;

use adc_common::abi::{BackendEntry, ServiceId, ServiceKey};

use super::{Change, Observed, RingSpec, diff::Target};

/// The changes that turn `observed` into `target`, in an order in which every prefix is safe: what is named is
/// there before it is named, and goes after its name has gone.
pub(super) fn emit(target: &Target, observed: &Observed) -> Vec<Change> {
    let mut changes = Vec::new();
    remove_index(target, observed, &mut changes);
    put_services(target, observed, &mut changes);
    // A backend that has its next hop comes before the ring that may name it, and one that has lost it, or whose
    // flows are to leave it, after the ring has let it go.
    put_backends(target, observed, usable, &mut changes);
    put_rings(target, observed, &mut changes);
    put_backends(target, observed, |entry| !usable(entry), &mut changes);
    put_index(target, observed, &mut changes);
    clear(target, observed, &mut changes);
    changes
}

fn usable(entry: &BackendEntry) -> bool {
    entry.flags.is_usable()
}

/// A marker outlives the services of its VIP.
fn remove_index(target: &Target, observed: &Observed, changes: &mut Vec<Change>) {
    let gone = |marker: bool| {
        (observed.index.iter())
            .filter(move |(key, _)| is_marker(key) == marker)
            .filter(|(key, _)| !target.index.contains_key(key))
            .map(|(key, id)| Change::RemoveIndex { key: *key, id: *id })
    };
    changes.extend(gone(false).chain(gone(true)));
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

fn put_rings(target: &Target, observed: &Observed, changes: &mut Vec<Change>) {
    let none = RingSpec::default();
    let gone = services_gone(target, observed)
        .into_iter()
        .map(|id| (id, &none));
    let wanted = target.rings.iter().map(|(id, spec)| (*id, spec));
    for (service, spec) in gone.chain(wanted) {
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
    let missing = |marker: bool| {
        (target.index.iter())
            .filter(move |(key, _)| is_marker(key) == marker)
            .filter(|(key, id)| observed.index.get(key) != Some(id))
            .map(|(key, id)| Change::PutIndex { key: *key, id: *id })
    };
    changes.extend(missing(true).chain(missing(false)));
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
    let in_use: BTreeSet<ServiceId> = (target.backends.values())
        .map(|entry| entry.service)
        .collect();
    for id in services_gone(target, observed) {
        if !in_use.contains(&id) {
            changes.push(Change::ClearService { id });
        }
    }
}
