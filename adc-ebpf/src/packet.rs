//! `PacketBuf` over an XDP context: the one bounds check and the one cast.

use core::{
    arch::asm,
    mem::{MaybeUninit, offset_of},
};

use adc_common::{
    abi::ORPHAN_BYTES,
    datapath::{MAX_FRONT, MAX_HEADER_OFFSET, MIN_FRONT, PacketBuf, WireHeader},
};
use aya_ebpf::{
    bindings::xdp_md,
    helpers::generated::{
        bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_load_bytes, bpf_xdp_store_bytes,
    },
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

    /// A pointer of the context, offset 0 or 4: `data` or `data_end`.
    ///
    /// The context shows 32 bits of it, which the verifier makes a whole pointer of. The compiler, believing in 32
    /// bits, may copy it with a 32-bit move, and the verifier then sees a number. So it is loaded by an instruction
    /// whose result has 64.
    #[inline(always)]
    fn pointer<const OFFSET: usize>(&self) -> usize {
        let pointer: usize;
        // SAFETY: a load of a field of the context, which lives as long as the program runs.
        unsafe {
            asm!("{0} = *(u32 *)({1} + {2})", out(reg) pointer, in(reg) self.ctx.ctx, const OFFSET, options(pure, readonly, nostack, preserves_flags));
        };
        pointer
    }

    #[inline(always)]
    fn start(&self) -> usize {
        self.pointer::<{ offset_of!(xdp_md, data) }>()
    }

    #[inline(always)]
    fn end(&self) -> usize {
        self.pointer::<{ offset_of!(xdp_md, data_end) }>()
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
        let mut start = self.start();
        // SAFETY: an addition of two registers; no memory, no flags.
        unsafe {
            asm!("{0} += {1}", inout(reg) start, in(reg) offset & MAX_HEADER_OFFSET, options(pure, nomem, nostack, preserves_flags));
        };
        (start + size_of::<H>() <= self.end()).then_some(start as *mut H)
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
        self.end() - self.start()
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
    #[expect(clippy::cast_possible_truncation, reason = "at most ORPHAN_BYTES")]
    fn copy_out(&self, into: &mut [u8; ORPHAN_BYTES]) -> Option<u16> {
        let mut length = self.length();
        if length > ORPHAN_BYTES {
            return None;
        }
        // The two comparisons must stay two, of one register: the verifier wants to see a range.
        // SAFETY: a register is copied onto itself. (Not an empty template: it would give one instruction two lines of
        // debug information, which the kernel refuses.)
        unsafe {
            asm!("{0} = {0}", inout(reg) length, options(pure, nomem, nostack, preserves_flags));
        }
        if length < size_of::<u64>() {
            return None;
        }
        let to = into.as_mut_ptr().cast();
        // SAFETY: the context is the one of this run, and `into` has room for `length` bytes.
        let copied = unsafe { bpf_xdp_load_bytes(self.ctx.ctx, 0, to, length as u32) };
        (copied == 0).then_some(length as u16)
    }

    #[inline(always)]
    fn grow_head(&mut self, bytes: usize) -> bool {
        i32::try_from(bytes).is_ok_and(|bytes| self.adjust_head(-bytes))
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
    fn open_gap(&mut self, front: usize, bytes: usize, space: &mut [u8; MAX_FRONT]) -> bool {
        let mut length = front;
        if length > MAX_FRONT {
            return false;
        }
        // SAFETY: as in `copy_out`.
        unsafe {
            asm!("{0} = {0}", inout(reg) length, options(pure, nomem, nostack, preserves_flags));
        }
        // Not compared with 0: Linux 6.1 learns no range from that.
        if length < MIN_FRONT || !self.grow_head(bytes) {
            return false;
        }
        let space = space.as_mut_ptr().cast();
        // SAFETY: the context is the one of this run, and `space` has room for `length` bytes.
        let loaded =
            unsafe { bpf_xdp_load_bytes(self.ctx.ctx, bytes as u32, space, length as u32) };
        if loaded != 0 {
            return false;
        }
        // SAFETY: as above; the bytes were just read.
        unsafe { bpf_xdp_store_bytes(self.ctx.ctx, 0, space, length as u32) == 0 }
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
