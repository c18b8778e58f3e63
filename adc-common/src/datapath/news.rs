//! News for the other node of a pair: flows that were validated here, and those whose phase changed.

use super::ports::FlowTables;
use crate::abi::FlowKey;

/// Tells the agent how the flow of this key stands, for the other node. Never on the fast path, where nothing about a flow
/// changes. A function of its own: its callers have no registers to spare.
#[inline(never)]
pub(super) fn tell<A, T: FlowTables<A>>(tables: &T, key: &FlowKey<A>) {
    tables.tell(key);
}
