//! A packet in memory.

use std::{mem::MaybeUninit, ops::Range};

use crate::abi::ORPHAN_BYTES;
use crate::datapath::{MAX_FRONT, MAX_HEADER_OFFSET, MIN_FRONT, PacketBuf, WireHeader};

/// A frame, with the headroom that XDP guarantees (256 bytes, `XDP_PACKET_HEADROOM`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPacket {
    bytes: Vec<u8>,
    ifindex: u32,
    headroom: usize,
}

impl HostPacket {
    /// A frame that came in by `ifindex`.
    pub fn new(bytes: Vec<u8>, ifindex: u32) -> Self {
        Self {
            bytes,
            ifindex,
            headroom: 256,
        }
    }

    /// With so many bytes of headroom, as a driver may leave that gives a program less.
    #[must_use]
    pub fn with_headroom(mut self, bytes: usize) -> Self {
        self.headroom = bytes;
        self
    }

    /// The frame.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn range(&self, offset: usize, size: usize) -> Option<Range<usize>> {
        let end = offset.checked_add(size)?;
        (offset <= MAX_HEADER_OFFSET && end <= self.bytes.len()).then_some(offset..end)
    }
}

impl PacketBuf for HostPacket {
    fn length(&self) -> usize {
        self.bytes.len()
    }

    fn ingress_ifindex(&self) -> u32 {
        self.ifindex
    }

    fn header<'s, H: WireHeader>(
        &self,
        offset: usize,
        space: &'s mut MaybeUninit<H>,
    ) -> Option<&'s H> {
        let bytes = self.bytes.get(self.range(offset, size_of::<H>())?)?;
        // SAFETY: the slice has the size of `H`; `WireHeader` promises alignment 1 and that any bytes are valid.
        Some(space.write(unsafe { bytes.as_ptr().cast::<H>().read() }))
    }

    fn set_header<H: WireHeader>(&mut self, offset: usize, header: &H) -> Option<()> {
        let range = self.range(offset, size_of::<H>())?;
        let bytes = self.bytes.get_mut(range)?;
        // SAFETY: as in `header`; the slice is ours to write.
        unsafe { bytes.as_mut_ptr().cast::<H>().write(*header) };
        Some(())
    }

    fn copy_out(&self, into: &mut [u8; ORPHAN_BYTES]) -> Option<u16> {
        into.get_mut(..self.bytes.len())?
            .copy_from_slice(&self.bytes);
        u16::try_from(self.bytes.len()).ok()
    }

    fn grow_head(&mut self, bytes: usize) -> bool {
        let Some(left) = self.headroom.checked_sub(bytes) else {
            return false;
        };
        self.headroom = left;
        self.bytes.splice(0..0, std::iter::repeat_n(0, bytes));
        true
    }

    fn open_gap(&mut self, front: usize, bytes: usize, _space: &mut [u8; MAX_FRONT]) -> bool {
        if !(MIN_FRONT..=MAX_FRONT).contains(&front) || front > self.bytes.len() {
            return false;
        }
        let Some(left) = self.headroom.checked_sub(bytes) else {
            return false;
        };
        self.headroom = left;
        self.bytes
            .splice(front..front, std::iter::repeat_n(0, bytes));
        true
    }

    fn shrink_head(&mut self, bytes: usize) -> bool {
        // The kernel keeps at least an Ethernet header (`bpf_xdp_adjust_head`, net/core/filter.c, Linux 6.1).
        if self.bytes.len() < bytes + 14 {
            return false;
        }
        self.headroom += bytes;
        self.bytes.drain(..bytes);
        true
    }

    fn shrink_tail(&mut self, bytes: usize) -> bool {
        // The same (`bpf_xdp_adjust_tail`).
        let Some(length) = self
            .bytes
            .len()
            .checked_sub(bytes)
            .filter(|left| *left >= 14)
        else {
            return false;
        };
        self.bytes.truncate(length);
        true
    }
}
