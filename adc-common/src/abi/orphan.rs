//! Orphans: later fragments that came before their first, on their way to the agent.

use super::{Addr16, Protocol, Tick, abi_struct};

/// Longest frame that is held, in bytes: of an MTU of 1500, with tags and room to spare.
pub const ORPHAN_BYTES: usize = 2048;

/// Size of the ring `ORPHANS`, in bytes: room for about 500 of them.
pub const ORPHAN_RING_BYTES: u32 = 1 << 20;

abi_struct! {
    /// What is known of an orphan.
    pub struct Orphan [48] {
        /// Source address.
        pub src: Addr16,
        /// Destination address.
        pub dst: Addr16,
        /// See [`super::FragmentKey`].
        pub id: u32,
        /// Kernel index of the interface it came in by.
        pub ifindex: u32,
        /// When it came.
        pub seen: Tick,
        /// Length of the frame in bytes.
        pub length: u16,
        /// See [`super::FragmentKey`].
        pub protocol: Protocol,
        /// Zero.
        pub _pad: u8,
    }
}

/// Record of the ring `ORPHANS`. Not a byte is changed before the first fragment is known.
#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct OrphanRecord {
    /// What is known of it.
    pub about: Orphan,
    /// The frame, `about.length` bytes of it.
    pub frame: [u8; ORPHAN_BYTES],
}

const _: () = assert!(size_of::<OrphanRecord>() == 2096 && align_of::<OrphanRecord>() <= 8);
