//! What has to be done.

use std::collections::BTreeMap;

use adc_common::abi::{BackendEntry, BackendId, ServiceEntry, ServiceId, ServiceKey};

use super::{GroupChange, RingSpec};
use crate::model::ServiceName;

/// One write to one map. Applying a change twice does no harm; clearing what is not there is no error.
///
/// `before` is what the table held, for people to read; applying does not look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Delete from `SERVICE_INDEX`, or from `SERVICE_RANGES` what only this key has: the service takes no new flows, or the address is no VIP any more.
    RemoveIndex {
        /// Key of a service, or of the marker of a VIP or SNAT address.
        key: ServiceKey,
        /// What it pointed to; 0 = a marker.
        id: ServiceId,
    },
    /// Write to `SERVICES`.
    PutService {
        /// Slot.
        id: ServiceId,
        /// New content.
        entry: Box<ServiceEntry>,
        /// Old content.
        before: Option<Box<ServiceEntry>>,
    },
    /// Write to `BACKENDS`.
    PutBackend {
        /// Slot.
        id: BackendId,
        /// New content.
        entry: BackendEntry,
        /// Old content, which has the same service, address and port; `None` = the slot was unused.
        before: Option<BackendEntry>,
    },
    /// Build the ring (see [`crate::ring::build_each`]) and swap it into `RINGS`.
    PutRing {
        /// Slot.
        service: ServiceId,
        /// What to build; never empty.
        spec: RingSpec,
        /// What was there; `None` = unknown.
        before: Option<RingSpec>,
    },
    /// Take the ring out of `RINGS`: no backend may take new flows.
    ClearRing {
        /// Slot.
        service: ServiceId,
        /// What was there; `None` = unknown.
        before: Option<RingSpec>,
    },
    /// Write to `SERVICE_INDEX`; for a service with many ports, all their prefixes to `SERVICE_RANGES`.
    PutIndex {
        /// Key of a service, or of the marker of a VIP or SNAT address.
        key: ServiceKey,
        /// The service; 0 = a marker.
        id: ServiceId,
    },
    /// Zero a slot of `BACKENDS`, and of `BACKEND_COUNTERS`: the id may be given out again.
    ClearBackend {
        /// Slot.
        id: BackendId,
        /// What was there.
        before: BackendEntry,
    },
    /// Zero a slot of `SERVICES`: the id may be given out again.
    ClearService {
        /// Slot.
        id: ServiceId,
    },
    /// Something about HA groups.
    Group(GroupChange),
}

/// Changes in the order in which they have to be made.
///
/// All [`Change::PutRing`] and [`Change::ClearRing`] stand together and do not depend on each other, so they
/// may be made at the same time. `Display` gives one line per change; `Serialize` gives the API's form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do.
    pub changes: Vec<Change>,
    /// What is only kept for the flows it may still have. Clearing it takes a later plan, with flows counted
    /// after this one was applied.
    pub draining_out: Vec<DrainingOut>,
    /// What the services of `changes` and `draining_out` are called.
    pub labels: BTreeMap<ServiceId, ServiceLabel>,
}

/// A backend that is no longer configured, but may still have flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainingOut {
    /// Slot in `BACKENDS`.
    pub id: BackendId,
    /// Its content, next hop kept fresh.
    pub entry: BackendEntry,
}

/// What a service id stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceLabel {
    /// VIP, port and protocol.
    pub key: ServiceKey,
    /// Configured name; `None` = no longer configured.
    pub name: Option<ServiceName>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}
