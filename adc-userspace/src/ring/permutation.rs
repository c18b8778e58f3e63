//! A member's own order of the slots.

use std::net::SocketAddr;

use adc_common::abi::{Addr16, BackendId, Port, RING_SLOTS};

use crate::model::Weight;

// Slot numbers are `u16` and wrap around by themselves.
const _: () = assert!(RING_SLOTS == 1 << u16::BITS);

/// What a backend is known by on every node: 16 address bytes (IPv4 as v4-mapped) and 2 port bytes,
/// network order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity([u8; 18]);

impl From<SocketAddr> for Identity {
    fn from(address: SocketAddr) -> Self {
        let mut bytes = [0; 18];
        let (ip, port) = bytes.split_at_mut(16);
        ip.copy_from_slice(&Addr16::from(address.ip()).0);
        port.copy_from_slice(&Port::new(address.port()).0);
        Self(bytes)
    }
}

impl Identity {
    /// 64 well-mixed bits: FNV-1a over the bytes, then the finaliser of SplitMix64, because the bits of FNV-1a
    /// alone hardly differ between neighbouring addresses. Part of the ABI: never changes.
    fn hash(self) -> u64 {
        const FNV_OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
        let fnv = self.0.iter().fold(FNV_OFFSET_BASIS, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
        });
        let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A member on its way through its permutation of the slots.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    /// The slot it looks at.
    pub(super) next: u16,
    skip: u16,
    pub(super) weight: Weight,
    pub(super) backend: BackendId,
}

impl Walk {
    /// At the start of the permutation that belongs to `identity`.
    pub(super) fn new(identity: Identity, backend: BackendId, weight: Weight) -> Self {
        let [a, b, c, d, ..] = identity.hash().to_le_bytes();
        Self {
            next: u16::from_le_bytes([a, b]),
            // Odd, so it has no factor in common with the power of two and the walk reaches every slot.
            skip: u16::from_le_bytes([c, d]) | 1,
            weight,
            backend,
        }
    }

    /// On to the next slot.
    #[inline]
    pub(super) fn step(&mut self) {
        self.next = self.next.wrapping_add(self.skip);
    }
}
