//! `PacketBuf` over an XDP context: the one bounds check and the one cast.

use core::{arch::asm, mem::MaybeUninit};

use adc_common::datapath::{MAX_HEADER_OFFSET, PacketBuf, WireHeader};
use aya_ebpf::{
    helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail},
    programs::XdpContext,
};

/// The packet behind an XDP context.
pub(crate) struct XdpPacket<'a> {
    ctx: &'a XdpContext,
}

impl<'a> XdpPacket<'a> {
    /// The packet of this run.
    #[inline(always)]
    pub(crate) fn new(ctx: &'a XdpContext) -> Self {
        Self { ctx }
    }

    /// Address of `H` at `offset`, if all of it lies inside the packet.
    ///
    /// The verifier believes an access only if the very register that was compared with the packet's end (or a
    /// copy of it) is used. The compiler knows better: it computes an address twice, or leaves out a comparison
    /// that an earlier one implies, and Linux 6.1 then refuses the program (newer ones follow some of that).
    /// So every address is added up by an instruction that the compiler can not see through. The mask
    /// bounds the offset without a branch; the walk asks for no offset above `MAX_HEADER_OFFSET`.
    #[inline(always)]
    fn at<H>(&self, offset: usize) -> Option<*mut H> {
        const { assert!((MAX_HEADER_OFFSET + 1).is_power_of_two()) };
        let mut start = self.ctx.data();
        // SAFETY: an addition of two registers; no memory, no flags.
        unsafe {
            asm!("{0} += {1}", inout(reg) start, in(reg) offset & MAX_HEADER_OFFSET, options(pure, nomem, nostack, preserves_flags));
        };
        (start + size_of::<H>() <= self.ctx.data_end()).then_some(start as *mut H)
    }

    #[inline(always)]
    fn adjust_head(&mut self, delta: i32) -> bool {
        // SAFETY: the context is the one this program was called with; every header is looked up anew
        // after this call, as the verifier demands.
        unsafe { bpf_xdp_adjust_head(self.ctx.ctx, delta) == 0 }
    }
}

/// A header as the compiler shall see it: as if it lay on a word boundary.
///
/// Headers lie on any even address in a packet. The kernel allows unaligned packet access on the machines
/// we build for (`CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS`: x86-64, arm64), but the compiler would split the
/// access to a byte-aligned header into single bytes. LLVM 22 can be told otherwise (`allows-misaligned-mem-access`),
/// yet then it does the same to the stack, where the verifier forbids it.
#[repr(C, align(4))]
struct OnWord<H>(H);

impl PacketBuf for XdpPacket<'_> {
    #[inline(always)]
    fn length(&self) -> usize {
        self.ctx.data_end() - self.ctx.data()
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "the context holds 32 bits")]
    fn ingress_ifindex(&self) -> u32 {
        self.ctx.ingress_ifindex() as u32
    }

    #[inline(always)]
    #[expect(
        clippy::multiple_unsafe_ops_per_block,
        reason = "one copy, read and written"
    )]
    fn header<'s, H: WireHeader>(
        &self,
        offset: usize,
        space: &'s mut MaybeUninit<H>,
    ) -> Option<&'s H> {
        let from = self.at::<H>(offset)?.cast::<OnWord<H>>();
        let to = space.as_mut_ptr();
        // SAFETY: `at` proved that all of it is there, and `WireHeader` promises that any bytes are valid. BPF has
        // no alignment fault, see `OnWord`.
        unsafe { *to = (*from).0 };
        // SAFETY: just written.
        Some(unsafe { &*to })
    }

    #[inline(always)]
    #[expect(
        clippy::multiple_unsafe_ops_per_block,
        reason = "one copy, read and written"
    )]
    fn set_header<H: WireHeader>(&mut self, offset: usize, header: &H) -> Option<()> {
        let to = self.at::<H>(offset)?.cast::<u32>();
        let from = (&raw const *header).cast::<u32>();
        let words = size_of::<H>() / 4;
        // Volatile: the compiler would put the words together again, into a call of `memmove`.
        for word in 0..words {
            // SAFETY: inside the header, here and there; BPF has no alignment fault, see `OnWord`.
            unsafe { to.add(word).write_volatile(from.add(word).read()) };
        }
        if size_of::<H>() % 4 == 2 {
            let (to, from) = (to.cast::<u16>(), from.cast::<u16>());
            // SAFETY: the last two bytes of the header.
            unsafe { to.add(2 * words).write_volatile(from.add(2 * words).read()) };
        }
        Some(())
    }

    #[inline(always)]
    fn grow_head(&mut self, bytes: usize) -> bool {
        i32::try_from(bytes).is_ok_and(|bytes| self.adjust_head(-bytes))
    }

    #[inline(always)]
    fn shrink_head(&mut self, bytes: usize) -> bool {
        i32::try_from(bytes).is_ok_and(|bytes| self.adjust_head(bytes))
    }

    #[inline(always)]
    fn shrink_tail(&mut self, bytes: usize) -> bool {
        // SAFETY: as for the head.
        i32::try_from(bytes)
            .is_ok_and(|bytes| unsafe { bpf_xdp_adjust_tail(self.ctx.ctx, -bytes) == 0 })
    }
}
