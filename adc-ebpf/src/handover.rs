//! The program that is attached while flows move from the maps of an earlier layout to ours: it sends each packet to the
//! program that holds its flow. No decisions here either: `adc-common` decides.
//!
//! An object of its own: a node that migrates nothing has not a byte of it in the kernel, and neither walk knows of it
//! (docs/adr/0036-migration-of-flows.md).
#![no_std]
#![no_main]
// As in `main`, for `packet`.
#![feature(asm_experimental_arch)]

mod freestanding;
mod packet;

use adc_common::{
    abi::{Addr4, Addr6, FlowKey, HANDOVER_EARLIER, HANDOVER_OWN, HANDOVER_PROGRAMS},
    datapath::{EarlierFlows, is_held_by_earlier},
};
use aya_ebpf::{
    bindings::xdp_action::XDP_PASS,
    btf_maps::{HashMap, LruHashMap, ProgramArray},
    macros::{btf_map, xdp},
    programs::XdpContext,
};

/// Placeholder: the agent opens the maps of the earlier layout in place of these, whose values have any shape. Nothing here
/// looks at a value.
const PLACEHOLDER: usize = 1;

#[btf_map]
static EARLIER_FLOWS4: HashMap<FlowKey<Addr4>, u64, PLACEHOLDER> = HashMap::new();

#[btf_map]
static EARLIER_FLOWS6: HashMap<FlowKey<Addr6>, u64, PLACEHOLDER> = HashMap::new();

#[btf_map]
static EARLIER_HALF_OPEN4: LruHashMap<FlowKey<Addr4>, u64, PLACEHOLDER> = LruHashMap::new();

#[btf_map]
static EARLIER_HALF_OPEN6: LruHashMap<FlowKey<Addr6>, u64, PLACEHOLDER> = LruHashMap::new();

/// The two programs. While there is no program of ours the earlier one has every packet.
#[btf_map]
static HANDOVER: ProgramArray<{ HANDOVER_PROGRAMS as usize }> = ProgramArray::new();

struct Maps;

impl EarlierFlows<Addr4> for Maps {
    #[inline(always)]
    fn has(&self, key: &FlowKey<Addr4>) -> bool {
        EARLIER_FLOWS4.get_ptr(key).is_some() || EARLIER_HALF_OPEN4.get_ptr(key).is_some()
    }
}

impl EarlierFlows<Addr6> for Maps {
    #[inline(always)]
    fn has(&self, key: &FlowKey<Addr6>) -> bool {
        EARLIER_FLOWS6.get_ptr(key).is_some() || EARLIER_HALF_OPEN6.get_ptr(key).is_some()
    }
}

/// Entry point. The packet is as it came when the next program gets it.
#[xdp]
#[expect(clippy::needless_pass_by_value, reason = "the macro hands it over")]
fn adc_handover(ctx: XdpContext) -> u32 {
    if !is_held_by_earlier(&packet::XdpPacket::new(&ctx), &Maps) {
        // SAFETY: nothing here is left to drop.
        unsafe { HANDOVER.tail_call(&ctx, HANDOVER_OWN) };
    }
    // SAFETY: as above.
    unsafe { HANDOVER.tail_call(&ctx, HANDOVER_EARLIER) };
    // Neither program is there, which the agent does not do: the box at least stays manageable.
    XDP_PASS
}
