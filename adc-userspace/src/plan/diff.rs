//! Which id everything has, and what the tables should hold then.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use adc_common::abi::{
    Addr16, BackendEntry, BackendFlags, BackendId, ForwardingMode, GroupSlot, Port, ServiceEntry,
    ServiceId, ServiceKey,
};

use super::{
    Desired, DesiredService, DrainingOut, Hops, Observed, Plan, PlanError, RingSpec, ServiceLabel,
    emit::emit, groups::Groups, ids::FreeIds, observed::identity,
};
use crate::{
    model::{Limits, Tunnel, Weight},
    ring::Member,
};

/// What turns `observed` into `desired`.
///
/// What is no longer desired goes in two plans: the first takes it out of index and ring, a later one clears it,
/// once flows that were counted in between no longer name it.
///
/// # Errors
/// [`PlanError`] if there are more services or backends than `limits` has ids for. Nothing is planned then.
pub fn diff(desired: &Desired, observed: &Observed, limits: &Limits) -> Result<Plan, PlanError> {
    let service_ids = service_ids(desired, observed, limits)?;
    let backend_ids = backend_ids(desired, observed, limits, &service_ids)?;

    let mut target = Target {
        groups: Groups::of(desired, observed)?,
        ..Target::default()
    };
    let mut labels = BTreeMap::new();
    for (key, service) in &desired.services {
        let Some(&id) = service_ids.get(key) else {
            continue;
        };
        target.add_service(id, *key, service, &backend_ids, desired);
        labels.insert(id, label(*key, Some(service)));
    }
    for (id, entry) in &observed.services {
        labels.entry(*id).or_insert_with(|| label(entry.key, None));
    }
    let draining_out = target.keep_what_may_have_flows(observed, &desired.hops);
    target.mark_snat_addresses(observed);
    Ok(Plan {
        changes: emit(&target, observed),
        draining_out,
        labels,
    })
}

fn label(key: ServiceKey, service: Option<&DesiredService>) -> ServiceLabel {
    ServiceLabel {
        key,
        name: service.map(|service| service.name.clone()),
    }
}

/// The id of each desired service: the one it has, or a free one.
fn service_ids(
    desired: &Desired,
    observed: &Observed,
    limits: &Limits,
) -> Result<BTreeMap<ServiceKey, ServiceId>, PlanError> {
    let mut known: BTreeMap<ServiceKey, ServiceId> = BTreeMap::new();
    for (id, entry) in &observed.services {
        let indexed = observed.index.get(&entry.key) == Some(id);
        // Should two slots have one key, the one that packets find is the service.
        if indexed || !known.contains_key(&entry.key) {
            known.insert(entry.key, *id);
        }
    }
    // A slot is used as long as a backend names it, even if it reads as empty.
    let used: BTreeSet<u16> = (observed.services.keys())
        .chain(observed.backends.values().map(|entry| &entry.service))
        .map(|id| id.0)
        .collect();
    let kept = used.len();
    let mut free = FreeIds::new(limits.services, used.into_iter());
    let mut ids = BTreeMap::new();
    for key in desired.services.keys() {
        let id = known.get(key).copied().or_else(|| free.service());
        let Some(id) = id else {
            let reused = desired
                .services
                .keys()
                .filter(|key| known.contains_key(key));
            return Err(PlanError::OutOfServiceIds {
                limit: limits.services,
                configured: desired.services.len(),
                kept: kept - reused.count(),
            });
        };
        ids.insert(*key, id);
    }
    Ok(ids)
}

type BackendIds = BTreeMap<(ServiceId, SocketAddr), BackendId>;

/// The id of each desired backend: the one it has, or a free one.
fn backend_ids(
    desired: &Desired,
    observed: &Observed,
    limits: &Limits,
    service_ids: &BTreeMap<ServiceKey, ServiceId>,
) -> Result<BackendIds, PlanError> {
    let mut known = BackendIds::new();
    for (id, entry) in &observed.backends {
        known.entry((entry.service, identity(entry))).or_insert(*id);
    }
    let with_flows = observed.backends_with_flows.iter().flatten();
    let used: BTreeSet<u16> = (observed.backends.keys())
        .chain(with_flows)
        .map(|id| id.0)
        .collect();
    let (total, mut reused) = (used.len(), 0);
    let mut free = FreeIds::new(limits.backends, used.into_iter());
    let mut ids = BackendIds::new();
    let mut missing = false;
    for (key, service) in &desired.services {
        let Some(&service_id) = service_ids.get(key) else {
            continue;
        };
        for address in service.backends.keys() {
            let place = (service_id, *address);
            let id = match known.get(&place) {
                Some(id) => {
                    reused += 1;
                    Some(*id)
                }
                None => free.backend(),
            };
            match id {
                Some(id) => {
                    ids.insert(place, id);
                }
                None => missing = true,
            }
        }
    }
    if missing {
        let backends = desired
            .services
            .values()
            .map(|service| service.backends.len());
        return Err(PlanError::OutOfBackendIds {
            limit: limits.backends,
            configured: backends.sum(),
            kept: total - reused,
        });
    }
    Ok(ids)
}

/// What the tables should hold after the plan.
#[derive(Default)]
pub(super) struct Target {
    /// Configured services. Others stay as they are while a backend names them: its flows need their timeouts.
    pub(super) services: BTreeMap<ServiceId, ServiceEntry>,
    pub(super) index: BTreeMap<ServiceKey, ServiceId>,
    pub(super) backends: BTreeMap<BackendId, BackendEntry>,
    /// Rings of configured services; all others are to be empty.
    pub(super) rings: BTreeMap<ServiceId, RingSpec>,
    pub(super) groups: Groups,
}

impl Target {
    fn add_service(
        &mut self,
        id: ServiceId,
        key: ServiceKey,
        service: &DesiredService,
        ids: &BackendIds,
        desired: &Desired,
    ) {
        let group = self.groups.slot_of(key.vip);
        self.services.insert(
            id,
            ServiceEntry {
                group,
                ..service.entry
            },
        );
        self.index.insert(key, id);
        self.index
            .insert(ServiceKey::vip_marker(key.vip), ServiceId(0));
        if !service.ping {
            self.index
                .insert(ServiceKey::ping_refusal(key.vip), ServiceId(0));
        }
        let mut members = Vec::with_capacity(service.backends.len());
        for (address, weight) in &service.backends {
            let Some(&backend) = ids.get(&(id, *address)) else {
                continue;
            };
            let entry = backend_entry(*address, id, &desired.hops);
            let mut entry = match &service.tunnel {
                Some(tunnel) => wrapped(entry, service.entry.mode, tunnel, &desired.sources),
                None => entry,
            };
            if let Some(down) = desired.down.get(&(key, *address)) {
                entry.flags = entry.flags.with(*down, true);
            }
            entry.group = group;
            self.backends.insert(backend, entry);
            // Without a next hop a backend would only be a way to lose packets.
            if *weight > Weight(0) && entry.flags.contains(BackendFlags::HOP_RESOLVED) {
                members.push(Member {
                    backend,
                    identity: *address,
                    weight: *weight,
                });
            }
        }
        self.rings.insert(id, RingSpec { members });
    }

    /// Marks the addresses that packets are sent from, for services that only drain out too: their answers still come.
    fn mark_snat_addresses(&mut self, observed: &Observed) {
        let draining = self.backends.values().map(|entry| entry.service);
        let draining: BTreeSet<_> = draining.collect();
        let gone = draining.iter().filter(|id| !self.services.contains_key(id));
        let draining = gone.filter_map(|id| observed.services.get(id));
        for service in self.services.values().chain(draining) {
            let set = service.snat.iter().filter(|address| !address.is_unset());
            let markers = set.map(|address| (ServiceKey::snat_marker(*address), ServiceId(0)));
            self.index.extend(markers);
        }
    }

    /// Keeps backends that are not desired but may have flows.
    fn keep_what_may_have_flows(&mut self, observed: &Observed, hops: &Hops) -> Vec<DrainingOut> {
        let mut kept = Vec::new();
        for (id, entry) in &observed.backends {
            if self.backends.contains_key(id) || has_no_flows(*id, entry, observed) {
                continue;
            }
            let before = entry.flags;
            let service = observed.services.get(&entry.service);
            let group = service.map(|service| self.groups.slot_of(service.key.vip));
            // Its flows go on as they are: the tunnel stays what it was.
            let mut entry = BackendEntry {
                tunnel_port: entry.tunnel_port,
                tunnel_source: entry.tunnel_source,
                group: group.unwrap_or_default(),
                ..backend_entry(identity(entry), entry.service, hops)
            };
            // Nobody checks it any more, so it stays what it was.
            for down in [BackendFlags::DOWN_RESET, BackendFlags::DOWN_RESELECT] {
                entry.flags = entry.flags.with(down, before.contains(down));
            }
            kept.push(DrainingOut { id: *id, entry });
        }
        self.backends
            .extend(kept.iter().map(|kept| (kept.id, kept.entry)));
        kept
    }
}

/// Whether no flow names the backend, and none can come: only if the ring was without it when flows were counted.
fn has_no_flows(id: BackendId, entry: &BackendEntry, observed: &Observed) -> bool {
    let flows = observed.backends_with_flows.as_ref();
    let ring = observed.rings.get(&entry.service);
    flows.is_some_and(|flows| !flows.contains(&id))
        && ring.is_some_and(|ring| !ring.names(id, entry))
}

fn backend_entry(address: SocketAddr, service: ServiceId, hops: &Hops) -> BackendEntry {
    let hop = hops.get(&address.ip()).copied();
    BackendEntry {
        address: Addr16::from(address.ip()),
        port: Port::new(address.port()),
        service,
        hop: hop.unwrap_or_default(),
        flags: match hop {
            Some(_) => BackendFlags::HOP_RESOLVED,
            None => BackendFlags::default(),
        },
        group: GroupSlot(0),
        tunnel_port: Port::default(),
        tunnel_source: Addr16::UNSET,
    }
}

/// A backend that is reached through a tunnel. Without an address to send from it is as unreachable as without a next
/// hop.
fn wrapped(
    mut entry: BackendEntry,
    mode: ForwardingMode,
    tunnel: &Tunnel,
    sources: &BTreeMap<IpAddr, IpAddr>,
) -> BackendEntry {
    let backend = IpAddr::from(entry.address);
    let source = tunnel
        .source_to(backend)
        .or_else(|| sources.get(&backend).copied());
    if mode == ForwardingMode::DSR_GUE {
        entry.tunnel_port = Port::new(tunnel.port);
    }
    match source {
        Some(source) => entry.tunnel_source = Addr16::from(source),
        None => entry.flags = BackendFlags::default(),
    }
    entry
}
