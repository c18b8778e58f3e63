//! The XDP program. No decisions here: `adc-common` decides, this crate adapts it to the kernel.
#![no_std]
#![no_main]
// One addition in `packet` that the compiler must not see through; aya-ebpf needs the same feature.
#![feature(asm_experimental_arch)]

mod action;
mod clock;
mod freestanding;
mod maps;
mod packet;
mod self_check;
mod tables;

use adc_common::{abi::BackendId, datapath::process};
use aya_ebpf::{macros::xdp, programs::XdpContext};

/// Entry point, attached to every interface in `dataplane.interfaces`.
#[xdp]
#[expect(clippy::needless_pass_by_value, reason = "the macro hands it over")]
fn adc_ingress(ctx: XdpContext) -> u32 {
    let mut packet = packet::XdpPacket::new(&ctx);
    let verdict = process(&mut packet, &tables::KernelTables, &clock::KernelClock);
    #[cfg(feature = "log")]
    aya_log_ebpf::debug!(
        &ctx,
        "interface {}: reason {}",
        ctx.ingress_ifindex(),
        verdict.reason.index()
    );
    let action = action::of(verdict);
    self_check::hand_over(&ctx, action);
    action
}

/// Which backend a packet is counted for. Only the program that captures has a use for it.
#[inline(always)]
const fn note_backend(_id: BackendId) {}
