//! VLAN tags: IEEE 802.1Q, and two of them (802.1ad, or as it was done before).

use core::mem::MaybeUninit;

use super::{
    parse::offset16,
    ports::PacketBuf,
    wire::{EthernetHeader, VlanTag},
};
use crate::abi::VlanId;

/// Where the IP header starts in a frame without tags.
pub(super) const UNTAGGED: u16 = offset16(START);

/// Bytes of a tag.
const TAG: u16 = offset16(size_of::<VlanTag>());

/// Where tags start.
const START: usize = size_of::<EthernetHeader>();

/// Whether the EtherType is that of a tag.
#[inline(always)]
pub(super) const fn is_tagged(ethertype: [u8; 2]) -> bool {
    kind_of(ethertype).is_some()
}

#[inline(always)]
const fn kind_of(ethertype: [u8; 2]) -> Option<u16> {
    VlanId::kind_of(u16::from_be_bytes(ethertype))
}

/// What one or two tags say, in one number: a call that returns one is followed once by the verifier, and what comes behind
/// it too, where nine ways to be tagged would be followed to the end each.
#[derive(Clone, Copy)]
pub(super) struct Tags(u64);

#[expect(
    clippy::cast_possible_truncation,
    reason = "each takes its bits out of the number"
)]
impl Tags {
    /// Those of a frame that has one at least; `None` if it ends among them.
    #[inline(always)]
    pub(super) fn read<P: PacketBuf>(packet: &P) -> Option<Self> {
        let tags = tags(packet);
        (tags != 0).then_some(Self(tags))
    }

    const fn of(
        count: u64,
        vlan: VlanId,
        inner: VlanId,
        priorities: [u16; 2],
        ethertype: [u8; 2],
    ) -> Self {
        let [outer_priority, inner_priority] = priorities;
        Self(
            count << 56
                | ((outer_priority >> 12) as u64) << 52
                | ((inner_priority >> 12) as u64) << 48
                | (vlan.0 as u64) << 32
                | (inner.0 as u64) << 16
                | u16::from_be_bytes(ethertype) as u64,
        )
    }

    /// Where the IP header starts.
    pub(super) const fn end(self) -> u16 {
        UNTAGGED + TAG * (self.0 >> 56 & 3) as u16
    }

    /// Priority and drop-eligible bits of the outer tag, where they are in its TCI.
    pub(super) const fn outer_priority(self) -> u16 {
        (self.0 >> 40) as u16 & 0xf000
    }

    /// The same of the inner tag.
    pub(super) const fn inner_priority(self) -> u16 {
        (self.0 >> 36) as u16 & 0xf000
    }

    /// The outer VLAN.
    pub(super) const fn vlan(self) -> VlanId {
        VlanId((self.0 >> 32) as u16)
    }

    /// The inner VLAN; only ever with an outer one.
    pub(super) const fn inner_vlan(self) -> VlanId {
        VlanId((self.0 >> 16) as u16)
    }

    /// The EtherType behind the tags.
    pub(super) const fn ethertype(self) -> [u8; 2] {
        (self.0 as u16).to_be_bytes()
    }
}

/// Reads the tags of a frame that has one at least, as [`Tags`]; 0 if it ends among them.
#[inline(never)]
fn tags<P: PacketBuf>(packet: &P) -> u64 {
    let mut ethertype = MaybeUninit::<[u8; 2]>::uninit();
    let mut tag = MaybeUninit::<VlanTag>::uninit();
    let Some((tag, kind)) = packet.header(START, &mut tag).and_then(|tag| {
        let tpid = packet.header(START - size_of::<[u8; 2]>(), &mut ethertype)?;
        Some((*tag, kind_of(*tpid)?))
    }) else {
        return 0;
    };
    let outer_tci = u16::from_be_bytes(tag.tci);
    let outer = VlanId::of(outer_tci, kind);
    let Some(kind) = kind_of(tag.ethertype) else {
        return Tags::of(1, outer, VlanId::NONE, [outer_tci, 0], tag.ethertype).0;
    };
    let mut second = MaybeUninit::<VlanTag>::uninit();
    let Some(second) = packet.header(START + size_of::<VlanTag>(), &mut second) else {
        return 0;
    };
    let inner_tci = u16::from_be_bytes(second.tci);
    let inner = VlanId::of(inner_tci, kind);
    // Behind a tag that says only a priority it is the one that says the VLAN.
    let (outer, inner) = if outer == VlanId::NONE {
        (inner, VlanId::NONE)
    } else {
        (outer, inner)
    };
    Tags::of(2, outer, inner, [outer_tci, inner_tci], second.ethertype).0
}
