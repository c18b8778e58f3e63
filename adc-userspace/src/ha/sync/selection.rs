//! Which flows a walk through the table tells. Pure.
//!
//! A flow that was told once is told again while it lives, because the other node forgets what it has not heard of for the
//! flow's timeout. Once in a third of that is enough, and no list of what was told is needed: every flow has a moment of its
//! own in each third, by its key, and is told by the first walk after it if it was used since the one before.

use std::hash::{DefaultHasher, Hash, Hasher as _};

use adc_common::abi::{FlowEntry, FlowFlags, FlowKey, Tick};

use super::{names::Directory, record::Family};

/// What a walk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The other node has nothing: everything that lives and is this node's to tell.
    Everything,
    /// Some news was lost: what was used since then.
    Since(Tick),
    /// The other node must not forget: what is due since the last walk, at that time.
    Refresh(Tick),
}

/// What is to be done about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// Nothing.
    Leave,
    /// It is told.
    Tell,
    /// It is told if the other direction was seen since this time.
    IfOtherSince(Tick),
}

/// The choice for an entry that a walk at `now` comes by. Flows are chosen at their forward entry.
pub(super) fn choose<A: Family>(
    purpose: Purpose,
    key: &FlowKey<A>,
    entry: &FlowEntry<A>,
    directory: &Directory,
    now: Tick,
) -> Choice {
    let Some(backend) = directory.backend(entry.backend) else {
        return Choice::Leave;
    };
    if entry.flags.contains(FlowFlags::REPLY) || !backend.service.carried {
        return Choice::Leave;
    }
    let timeouts = &backend.service.timeouts;
    let timeout = timeouts.get(entry.phase.index()).copied();
    let timeout = timeout.unwrap_or_default();
    let third = Tick((timeout.0 / 3).max(1));
    let within = match purpose {
        Purpose::Everything => timeout,
        Purpose::Since(then) => now.since(then),
        Purpose::Refresh(before) => {
            if !is_due(key, third, before, now) {
                return Choice::Leave;
            }
            Tick(third.0.saturating_add(now.since(before).0))
        }
    };
    let idle = now.since(entry.last_seen);
    // Within a third of the timeout it does not matter which direction is newer.
    if idle.0 <= within.0.min(third.0) {
        return Choice::Tell;
    }
    if entry.flags.contains(FlowFlags::DIRECT) {
        return if idle.0 <= within.0 {
            Choice::Tell
        } else {
            Choice::Leave
        };
    }
    Choice::IfOtherSince(Tick(now.0.wrapping_sub(within.0)))
}

/// Whether the flow's moment lies between the two times.
fn is_due<A: Hash>(key: &FlowKey<A>, third: Tick, before: Tick, now: Tick) -> bool {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    #[expect(clippy::cast_possible_truncation, reason = "a part of a hash")]
    let moment = hasher.finish() as u32 % third.0;
    let passed = now.since(before).0;
    // Ticks since the last moment of this flow.
    now.0.wrapping_sub(moment) % third.0 < passed
}
