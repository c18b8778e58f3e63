//! A packet in memory.

use crate::datapath::{MAX_HEADER_OFFSET, PacketBuf, WireHeader};

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

    /// The frame.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn range(&self, offset: usize, size: usize) -> Option<usize> {
        (offset <= MAX_HEADER_OFFSET && offset.checked_add(size)? <= self.bytes.len())
            .then_some(offset)
    }
}

impl PacketBuf for HostPacket {
    fn length(&self) -> usize {
        self.bytes.len()
    }

    fn ingress_ifindex(&self) -> u32 {
        self.ifindex
    }

    fn header<H: WireHeader>(&self, offset: usize) -> Option<H> {
        let at = self.range(offset, size_of::<H>())?;
        // SAFETY: `range` proved that the bytes are there; `WireHeader` promises alignment 1 and that any bytes are valid.
        Some(unsafe { self.bytes.as_ptr().add(at).cast::<H>().read_unaligned() })
    }

    fn set_header<H: WireHeader>(&mut self, offset: usize, header: H) -> Option<()> {
        let at = self.range(offset, size_of::<H>())?;
        // SAFETY: as in `header`; the bytes are ours to write.
        unsafe {
            self.bytes
                .as_mut_ptr()
                .add(at)
                .cast::<H>()
                .write_unaligned(header)
        };
        Some(())
    }

    fn grow_head(&mut self, bytes: usize) -> bool {
        let Some(left) = self.headroom.checked_sub(bytes) else {
            return false;
        };
        self.headroom = left;
        self.bytes.splice(0..0, std::iter::repeat_n(0, bytes));
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
}
