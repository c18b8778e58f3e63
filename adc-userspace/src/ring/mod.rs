//! The scheduler's ring: which backend each slot of the flow-hash space goes to.
//!
//! Maglev hashing (Eisenbud et al., NSDI 2016, §3.4) with weights: every member walks its own
//! permutation of the slots and, in its turns, takes the next free one. How often a member has its
//! turn follows its weight; how its permutation looks follows its identity alone. So the
//! same set of members gives the same ring on every node and in every release, whatever the order it is
//! written in and whatever the ids the backends happen to have (docs/adr/0004-ring.md).
//!
//! The result is an ABI between nodes: a peer that takes over, or a router that re-hashes, must find
//! the flows of this node. A change of the result needs an ADR, and the golden test holds it.

mod parallel;
mod permutation;
#[cfg(test)]
mod tests;
mod turns;

pub use parallel::build_each;

use std::net::SocketAddr;

use adc_common::abi::{BackendId, RING_SLOTS, Ring};

use crate::model::Weight;
use permutation::{Identity, Walk};
use turns::Turns;

/// One backend that may take new flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// What the slots are filled with. Has no influence on which slots those are.
    pub backend: BackendId,
    /// Address and port of the backend: what it is known by on every node. IPv6 scope and flow label
    /// do not count.
    pub identity: SocketAddr,
    /// Share of the slots, in proportion to the sum of all members' weights; 0 = none.
    pub weight: Weight,
}

/// The ring of `members`. All slots are unset if no member has a weight.
///
/// Every member with a weight has at least one slot; the number of slots is in proportion to the weight as
/// far as whole slots allow.
pub fn build(members: &[Member]) -> Box<Ring> {
    let mut builder = Builder::new();
    builder.build(members);
    builder.ring
}

/// Builds rings one after the other in the same memory.
pub struct Builder {
    ring: Box<Ring>,
    taken: Taken,
    walks: Vec<(Identity, Walk)>,
    turns: Turns,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// A builder with its memory (about 140 KiB).
    pub fn new() -> Self {
        Self {
            ring: bytemuck::zeroed_box(),
            taken: Taken::new(),
            walks: Vec::new(),
            turns: Turns::default(),
        }
    }

    /// The ring of `members`; see [`build`].
    pub fn build(&mut self, members: &[Member]) -> &Ring {
        self.walks.clear();
        self.walks.extend(
            members
                .iter()
                .filter(|member| member.weight > Weight(0))
                .map(|member| {
                    let identity = Identity::from(member.identity);
                    (identity, Walk::new(identity, member.backend, member.weight))
                }),
        );
        // Turns are taken in this order, so it must not depend on the order of `members`.
        self.walks
            .sort_unstable_by_key(|(identity, walk)| (*identity, walk.weight, walk.backend));
        if self.walks.is_empty() {
            self.ring.slots.fill(BackendId(0));
        } else {
            self.turns
                .of(self.walks.iter().map(|(_, walk)| walk.weight));
            self.fill();
        }
        &self.ring
    }

    /// One turn per slot: the member whose turn it is takes the next free slot of its permutation.
    fn fill(&mut self) {
        self.taken.clear();
        for turn in self.turns.iter().take(RING_SLOTS) {
            let Some((_, walk)) = self.walks.get_mut(turn) else {
                continue;
            };
            // Ends: a permutation reaches every slot, and there is one turn per slot.
            while self.taken.contains(walk.next) {
                walk.step();
            }
            self.taken.insert(walk.next);
            self.ring.slots[usize::from(walk.next)] = walk.backend;
            walk.step();
        }
    }
}

/// Which slots are taken: 8 KiB that stay in the first-level cache, where probing the 128 KiB of slots would
/// not.
struct Taken(Box<[u64; RING_SLOTS / 64]>);

impl Taken {
    fn new() -> Self {
        Self(bytemuck::zeroed_box())
    }

    fn clear(&mut self) {
        self.0.fill(0);
    }

    #[inline]
    fn contains(&self, slot: u16) -> bool {
        self.0[usize::from(slot >> 6)] & Self::bit(slot) != 0
    }

    #[inline]
    fn insert(&mut self, slot: u16) {
        self.0[usize::from(slot >> 6)] |= Self::bit(slot);
    }

    #[inline]
    const fn bit(slot: u16) -> u64 {
        1 << (slot & 63)
    }
}
