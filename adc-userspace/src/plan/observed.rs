//! What the maps hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use adc_common::abi::{
    Addr16, BackendEntry, BackendFlags, BackendId, GroupSlot, LeaseEntry, ServiceEntry, ServiceId,
    ServiceKey,
};

use super::{Change, GroupChange, Hops};
use crate::ring::Member;

/// The tables as read back from the kernel, kept up to date with [`Observed::record`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// `SERVICES`: slots in use.
    pub services: BTreeMap<ServiceId, ServiceEntry>,
    /// `SERVICE_INDEX`, markers (id 0) of VIPs and SNAT addresses included, and `SERVICE_RANGES` with one key for all
    /// ports of a service.
    pub index: BTreeMap<ServiceKey, ServiceId>,
    /// `BACKENDS`: slots in use.
    pub backends: BTreeMap<BackendId, BackendEntry>,
    /// `LEASES`: slots in use, each with [`LeaseEntry::group_id`] of its group.
    pub groups: BTreeMap<GroupSlot, u64>,
    /// `GROUP_VIPS`.
    pub group_vips: BTreeMap<Addr16, GroupSlot>,
    /// What this agent process last wrote into `RINGS`; an empty spec = cleared. A ring that is not here
    /// is unknown (adopted from an earlier process) and is written again.
    pub rings: BTreeMap<ServiceId, RingSpec>,
    /// Backends that a flow still names, half-open ones included: never cleared, never given to another
    /// backend. Must be counted after the last plan was applied. `None` = not counted this time:
    /// nothing is cleared. Counting is needed at the start and while a plan has
    /// [`draining_out`](super::Plan::draining_out).
    pub backends_with_flows: Option<BTreeSet<BackendId>>,
}

/// What a ring is built from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RingSpec {
    /// Backends with a weight above 0, sorted by identity.
    pub members: Vec<Member>,
}

impl Observed {
    /// Notes that `change` has been applied.
    pub fn record(&mut self, change: &Change) {
        match change {
            Change::RemoveIndex { key, .. } => {
                self.index.remove(key);
            }
            Change::PutService { id, entry, .. } => {
                self.services.insert(*id, **entry);
            }
            Change::PutBackend { id, entry, .. } => {
                self.backends.insert(*id, *entry);
            }
            Change::PutRing { service, spec, .. } => {
                self.rings.insert(*service, spec.clone());
            }
            Change::ClearRing { service, .. } => {
                self.rings.insert(*service, RingSpec::default());
            }
            Change::PutIndex { key, id } => {
                self.index.insert(*key, *id);
            }
            Change::ClearBackend { id, .. } => {
                self.backends.remove(id);
            }
            Change::ClearService { id } => {
                self.services.remove(id);
                self.rings.remove(id);
            }
            Change::Group(change) => self.record_group(change),
        }
    }

    fn record_group(&mut self, change: &GroupChange) {
        match change {
            GroupChange::Claim { slot, name } => {
                self.groups
                    .insert(*slot, LeaseEntry::group_id(name.as_str()));
            }
            GroupChange::PutVip { vip, slot } => {
                self.group_vips.insert(*vip, *slot);
            }
            GroupChange::RemoveVip { vip } => {
                self.group_vips.remove(vip);
            }
            GroupChange::Free { slot } => {
                self.groups.remove(slot);
            }
        }
    }

    /// Notes that nobody knows what the ring holds: it is written again by the next plan, and no backend of its
    /// service is cleared before.
    pub fn forget_ring(&mut self, service: ServiceId) {
        self.rings.remove(&service);
    }

    /// Next hops as the tables hold them. An agent that has just adopted its tables starts from these and
    /// puts fresh ones over them, so that its first plan does not take away what still works.
    pub fn hops(&self) -> Hops {
        self.backends
            .values()
            .filter(|entry| entry.flags.contains(BackendFlags::HOP_RESOLVED))
            .map(|entry| (entry.address.into(), entry.hop))
            .collect()
    }

    /// Outer source addresses of tunnels by backend address, for the same reason.
    pub fn sources(&self) -> BTreeMap<IpAddr, IpAddr> {
        self.backends
            .values()
            .filter(|entry| !entry.tunnel_source.is_unset())
            .map(|entry| (entry.address.into(), entry.tunnel_source.into()))
            .collect()
    }

    /// Addresses of all backends in the tables: their next hops have to be kept fresh even when the
    /// configuration no longer names them.
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        self.backends
            .values()
            .map(|entry| entry.address.into())
            .collect()
    }
}

impl RingSpec {
    /// Whether no backend may take new flows.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether the ring names this backend.
    pub(super) fn names(&self, id: BackendId, entry: &BackendEntry) -> bool {
        let place = self
            .members
            .binary_search_by_key(&identity(entry), |member| member.identity);
        place.is_ok_and(|place| {
            self.members
                .get(place)
                .is_some_and(|member| member.backend == id)
        })
    }
}

/// What a backend is known by within its service, as told from its entry.
pub(super) fn identity(entry: &BackendEntry) -> SocketAddr {
    SocketAddr::new(entry.address.into(), entry.port.host())
}
