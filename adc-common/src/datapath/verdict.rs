//! What becomes of a packet.

use crate::abi::{InterfaceId, Reason, ReasonClass};

/// What the hook has to do with the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Hand it to the kernel's stack.
    Pass,
    /// Drop it.
    Drop,
    /// Send it out of the interface it came in by.
    Transmit,
    /// Send it out of another interface.
    Redirect(InterfaceId),
}

/// The end of the walk: what to do, and why.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Why; already counted.
    pub reason: Reason,
    /// What to do.
    pub action: Action,
}

impl Verdict {
    /// The verdict of a packet that is not forwarded.
    #[inline(always)]
    pub(super) const fn stay(reason: Reason) -> Self {
        let action = match reason.class() {
            ReasonClass::Passed => Action::Pass,
            ReasonClass::Dropped | ReasonClass::Forwarded => Action::Drop,
        };
        Self { reason, action }
    }
}
