//! Self-check: two programs around the walk, with the packet handed on by tail calls. Not in a program's way if it is off.

use adc_common::{
    abi::{SELF_CHECK_JUDGE, SELF_CHECK_WALK},
    datapath::{Tables as _, judge, watch},
};
use aya_ebpf::{
    bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_REDIRECT, XDP_TX},
    macros::xdp,
    programs::XdpContext,
};

use crate::{maps::PROGRAMS, packet::XdpPacket, tables::KernelTables};

/// One packet of so many has its checksums verified as it comes and as it leaves; 0 = none. The agent sets it before the
/// programs are loaded. The map that holds it is frozen by then, so the verifier knows the value and drops what it excludes.
#[unsafe(no_mangle)]
static SELF_CHECK_EVERY: u32 = 0;

#[inline(always)]
fn every() -> u32 {
    // SAFETY: a static. Volatile, because the compiler takes the value above for the last word.
    unsafe { (&raw const SELF_CHECK_EVERY).read_volatile() }
}

/// Entry point in place of `adc_ingress` while packets are checked: looks at one of N, and hands it to the walk.
#[xdp]
#[expect(clippy::needless_pass_by_value, reason = "the macro hands it over")]
fn adc_watch(ctx: XdpContext) -> u32 {
    let every = every();
    if every != 0 {
        watch(&XdpPacket::new(&ctx), &KernelTables, every);
    }
    // SAFETY: nothing here is left to drop.
    unsafe { PROGRAMS.tail_call(&ctx, SELF_CHECK_WALK) };
    XDP_ABORTED
}

/// Looks at the packet again, and tells the driver what the walk has decided.
#[xdp]
#[expect(clippy::needless_pass_by_value, reason = "the macro hands it over")]
fn adc_judge(ctx: XdpContext) -> u32 {
    let Some(action) = KernelTables.self_check(|counters| counters.action) else {
        return XDP_DROP;
    };
    let leaves = action == u64::from(XDP_TX) || action == u64::from(XDP_REDIRECT);
    judge(&XdpPacket::new(&ctx), &KernelTables, leaves);
    #[expect(clippy::cast_possible_truncation, reason = "it was a u32")]
    {
        action as u32
    }
}

/// Hands the packet to [`adc_judge`] if packets are checked, and does not return then.
#[inline(always)]
pub(crate) fn hand_over(ctx: &XdpContext, action: u32) {
    if every() != 0 {
        let _noted = KernelTables.self_check(|counters| counters.action = u64::from(action));
        // SAFETY: nothing is left to drop. If the program is missing the caller goes on.
        unsafe { PROGRAMS.tail_call(ctx, SELF_CHECK_JUDGE) };
    }
}
