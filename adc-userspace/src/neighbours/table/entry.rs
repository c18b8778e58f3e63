//! One neighbour, as the table remembers it.

use adc_common::abi::Mac;

use super::super::{Neighbour, Nud};

/// What is known of one neighbour.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) state: Nud,
    /// The MAC to use, possibly held over from before the last failure.
    pub(super) mac: Option<Mac>,
    /// `mac` is held over.
    pub(super) held: bool,
    /// The kernel was asked to resolve again since `mac` has been held.
    pub(super) asked: bool,
}

/// The entry after the kernel reported `now`.
pub(super) fn successor(before: Option<Entry>, now: Neighbour) -> Entry {
    let fresh = Entry {
        state: now.state,
        mac: None,
        held: false,
        asked: false,
    };
    if now.state.is_valid() {
        return Entry {
            mac: now.mac,
            ..fresh
        };
    }
    let Some(last) = before.filter(|entry| entry.mac.is_some()) else {
        // Asked for again after a failure, it is still failed until it answers.
        let failed = before.is_some_and(|entry| entry.state == Nud::Failed);
        return Entry {
            state: if failed { Nud::Failed } else { now.state },
            ..fresh
        };
    };
    if now.state == Nud::Failed && last.held && last.asked {
        return fresh;
    }
    Entry {
        state: now.state,
        mac: last.mac,
        held: true,
        asked: last.asked,
    }
}
