//! Giving out ids.

use adc_common::abi::{BackendId, ServiceId};

/// What can not be planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// More services than the tables hold.
    #[error(
        "{configured} services are configured and {kept} removed ones are kept for their last flows, \
         but dataplane.limits.services is {limit}: raise it (takes effect after a clean stop), remove \
         services, or wait for those flows to end"
    )]
    OutOfServiceIds {
        /// `dataplane.limits.services`.
        limit: u32,
        /// Services configured.
        configured: usize,
        /// Slots held by services that are not configured any more.
        kept: usize,
    },
    /// More backends than the tables hold.
    #[error(
        "{configured} backends are configured (a pool counts once per service that uses it) and \
         {kept} removed ones are kept for their last flows, but dataplane.limits.backends is {limit}: \
         raise it (takes effect after a clean stop), remove backends, or wait for those flows to end"
    )]
    OutOfBackendIds {
        /// `dataplane.limits.backends`.
        limit: u32,
        /// Backends configured, over all services.
        configured: usize,
        /// Slots held by backends that are not configured any more.
        kept: usize,
    },
    /// More HA groups than the tables hold.
    #[error(
        "{configured} HA groups are configured and {kept} removed ones are kept for their last flows, but the \
         data plane has room for {limit}: put VIPs that move together into one group, or wait for those flows to end"
    )]
    TooManyGroups {
        /// Slots.
        limit: u32,
        /// Groups configured.
        configured: usize,
        /// Slots held by groups that are not configured any more.
        kept: usize,
    },
}

/// Ids from 1 to a limit that nobody has.
pub(super) struct FreeIds {
    used: Vec<bool>,
    next: usize,
}

impl FreeIds {
    /// All ids from 1 to `limit` but those in `used`.
    pub(super) fn new(limit: u32, used: impl Iterator<Item = u16>) -> Self {
        // Ids are 16 bits wide; larger limits are refused by validation.
        let limit = usize::from(u16::try_from(limit).unwrap_or(u16::MAX));
        let mut slots = vec![false; limit + 1];
        for id in used {
            if let Some(slot) = slots.get_mut(usize::from(id)) {
                *slot = true;
            }
        }
        Self {
            used: slots,
            next: 1,
        }
    }

    /// The lowest one; it is no longer free then.
    fn take(&mut self) -> Option<u16> {
        let offset = self.used.get(self.next..)?.iter().position(|used| !used)?;
        let id = self.next + offset;
        self.next = id + 1;
        u16::try_from(id).ok()
    }

    pub(super) fn service(&mut self) -> Option<ServiceId> {
        self.take().map(ServiceId)
    }

    pub(super) fn backend(&mut self) -> Option<BackendId> {
        self.take().map(BackendId)
    }
}
