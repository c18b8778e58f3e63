//! The program that stands in for `adc_ingress` while somebody captures: the same walk over the same maps, and a copy
//! of what it saw for the agent.
//!
//! An object of its own, so that a node where nobody captures has not a byte of it in the kernel, and so that the
//! normal program is the same with and without it (docs/adr/0018-capture-by-a-second-program.md).
#![no_std]
#![no_main]
// As in `main`.
#![feature(asm_experimental_arch)]

mod action;
mod clock;
mod freestanding;
mod maps;
mod packet;
mod tables;

use core::arch::asm;

use adc_common::{
    abi::{
        BackendId, CaptureBits, CaptureCounters, CaptureRecord, CaptureSetup, CaptureSpace,
        CaptureVerdict, InterfaceId, MAX_SNAPLEN,
    },
    datapath::{Action, PacketBuf as _, Verdict, may_match, process},
};
use aya_ebpf::{
    btf_maps::{Array, PerCpuArray, RingBuf},
    helpers::generated::{bpf_ktime_get_ns, bpf_ringbuf_output, bpf_xdp_load_bytes},
    macros::{btf_map, xdp},
    programs::XdpContext,
};

use packet::XdpPacket;

/// Room for records that the agent has not read yet: 4 MiB.
const RING_BYTES: usize = 4 << 20;

/// Shortest frame that gets here: an Ethernet header. Also what tells the verifier that a length is not 0.
const SHORTEST: u64 = 14;

/// Records, in the order they were made.
#[btf_map]
static CAPTURE_RING: RingBuf<u8, RING_BYTES> = RingBuf::new();

/// What is asked for. Written once, before the program is attached.
#[btf_map]
static CAPTURE_SETUP: Array<CaptureSetup, 1> = Array::new();

/// A record being put together: too large for the stack.
#[btf_map]
static CAPTURE_SPACE: PerCpuArray<CaptureSpace, 1> = PerCpuArray::new();

#[btf_map]
static CAPTURE_COUNTERS: PerCpuArray<CaptureCounters, 1> = PerCpuArray::new();

/// Entry point, attached in place of `adc_ingress` for as long as a capture runs.
///
/// Inlined into what the macro makes: a frame of its own counts for 32 bytes of the stack (Linux 6.1), which has none left.
#[xdp]
#[inline(always)]
#[expect(clippy::needless_pass_by_value, reason = "the macro hands it over")]
fn adc_ingress_capture(ctx: XdpContext) -> u32 {
    note_arrival(&ctx);
    let mut packet = XdpPacket::new(&ctx);
    let verdict = process(&mut packet, &tables::KernelTables, &clock::KernelClock);
    note_departure(&ctx, verdict);
    action::of(verdict)
}

/// Copies the head of the frame before the walk changes it. Whether there is a record is told by its `captured`, in the map:
/// a variable would have the verifier look at the whole walk twice.
#[inline(always)]
fn note_arrival(ctx: &XdpContext) {
    let Some(space) = space() else {
        return;
    };
    space.record.captured = 0;
    space.record.backend = BackendId(0);
    let Some(setup) = CAPTURE_SETUP.get(0) else {
        return;
    };
    let packet = XdpPacket::new(ctx);
    if may_match(&packet, setup) {
        space.record.ifindex = packet.ingress_ifindex();
        // SAFETY: a helper without arguments or preconditions.
        space.record.time = unsafe { bpf_ktime_get_ns() };
        copy_frame(ctx, space, setup.snaplen);
    }
}

/// Sends the record, now that it is known what became of the packet.
#[inline(always)]
fn note_departure(ctx: &XdpContext, verdict: Verdict) {
    let Some(space) = space().filter(|space| space.record.captured != 0) else {
        return;
    };
    let record = &mut space.record;
    record.reason = verdict.reason.index();
    record.egress = InterfaceId(0);
    record.shows = CaptureBits(0);
    record.verdict = match verdict.action {
        Action::Pass => CaptureVerdict::PASS,
        Action::Drop => CaptureVerdict::DROP,
        Action::Transmit => CaptureVerdict::TRANSMIT,
        Action::Redirect(interface) => {
            record.egress = interface;
            CaptureVerdict::REDIRECT
        }
    };
    let is_forwarded = record.verdict.0 >= CaptureVerdict::TRANSMIT.0;
    send(space);
    if let Some(setup) = CAPTURE_SETUP.get(0)
        && is_forwarded
        && setup.wants.contains(CaptureBits::LEFT)
    {
        space.record.shows = CaptureBits::LEFT;
        copy_frame(ctx, space, setup.snaplen);
        send(space);
    }
}

/// Which backend the packet is counted for.
#[inline(always)]
fn note_backend(id: BackendId) {
    if let Some(space) = space() {
        space.record.backend = id;
    }
}

#[inline(always)]
fn space() -> Option<&'static mut CaptureSpace> {
    let space = CAPTURE_SPACE.get_ptr_mut(0)?;
    // SAFETY: per-CPU, and XDP runs with bottom halves off: this run is alone with it, and asks for it anew only after
    // it has let go of it.
    Some(unsafe { &mut *space })
}

/// Copies at most `snaplen` bytes of the frame and notes both lengths; `captured` is 0 if that fails.
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a frame is shorter than 4 GiB"
)]
fn copy_frame(ctx: &XdpContext, space: &mut CaptureSpace, snaplen: u32) {
    let length = XdpPacket::new(ctx).length() as u64;
    space.record.length = length as u32;
    space.record.captured = 0;
    let wanted = bounded(length.min(u64::from(snaplen)).min(u64::from(MAX_SNAPLEN)));
    if wanted < SHORTEST {
        return;
    }
    let to = space.bytes.as_mut_ptr();
    // SAFETY: at most MAX_SNAPLEN bytes, for which there is room.
    if unsafe { bpf_xdp_load_bytes(ctx.ctx, 0, to.cast(), wanted as u32) } == 0 {
        space.record.captured = wanted as u32;
    }
}

#[inline(always)]
fn send(space: &CaptureSpace) {
    let captured = bounded(u64::from(space.record.captured));
    let length = size_of::<CaptureRecord>() as u64 + captured;
    let record = (&raw const *space).cast_mut();
    let ring = (&raw const CAPTURE_RING).cast_mut();
    // SAFETY: head and frame follow each other, and `bounded` keeps the length within them.
    let sent = unsafe { bpf_ringbuf_output(ring.cast(), record.cast(), length, 0) };
    if let Some(counters) = CAPTURE_COUNTERS.get_ptr_mut(0) {
        // SAFETY: as for `space`.
        let counters = unsafe { &mut *counters };
        if sent == 0 {
            counters.sent = counters.sent.wrapping_add(1);
        } else {
            counters.lost = counters.lost.wrapping_add(1);
        }
    }
}

/// A length that the verifier sees to be at most [`MAX_SNAPLEN`]: the compiler, which knows that already, would leave the
/// mask out.
#[inline(always)]
fn bounded(length: u64) -> u64 {
    const { assert!((MAX_SNAPLEN + 1).is_power_of_two()) };
    let mut opaque = length;
    // SAFETY: an addition of zero; no memory, no flags.
    unsafe {
        asm!("{0} += 0", inout(reg) opaque, options(pure, nomem, nostack, preserves_flags));
    };
    opaque & u64::from(MAX_SNAPLEN)
}
