//! The scheduler's ring.

use super::BackendId;

/// Slots in a ring. A power of two, so that a hash becomes a slot with a mask the verifier can follow.
pub const RING_SLOTS: usize = 65_536;

/// Value of the one-element inner arrays of `RINGS`: which backend each slot of the hash space goes to.
///
/// An agent builds a whole ring aside and swaps it in; a packet sees the old ring or the new one,
/// never a mix. All slots 0 = the service has no backend that may take new flows.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Ring {
    /// Backend by slot.
    pub slots: [BackendId; RING_SLOTS],
}

const _: () = assert!(size_of::<Ring>() == 131_072);

impl Ring {
    /// The slot that a flow hash selects.
    #[inline(always)]
    pub const fn slot_of(hash: u32) -> usize {
        hash as usize & (RING_SLOTS - 1)
    }
}
