//! The decapsulator for backends (`adc decap`). No decisions here either: `adc-common` decides.
#![no_std]
#![no_main]
// As in `main.rs`, for `packet`.
#![feature(asm_experimental_arch)]

mod freestanding;
mod packet;

use adc_common::{
    abi::{Addr16, DecapOutcome, DecapSettings, MAX_DECAP_VIPS, Mac, Port},
    datapath::{DecapTables, decapsulate},
};
use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS},
    btf_maps::{Array, HashMap, PerCpuArray},
    macros::{btf_map, xdp},
    programs::XdpContext,
};

#[btf_map]
static DECAP_SETTINGS: Array<DecapSettings, 1> = Array::new();

#[btf_map]
static DECAP_VIPS: HashMap<Addr16, u32, { MAX_DECAP_VIPS as usize }> = HashMap::new();

/// Packets by [`DecapOutcome`].
#[btf_map]
static DECAP_COUNTERS: PerCpuArray<u64, { DecapOutcome::COUNT }> = PerCpuArray::new();

struct Maps;

impl DecapTables for Maps {
    #[inline(always)]
    fn port(&self) -> Port {
        DECAP_SETTINGS
            .get(0)
            .map_or(Port([0, 0]), |settings| settings.port)
    }

    #[inline(always)]
    fn is_own(&self, destination: Mac) -> bool {
        DECAP_SETTINGS
            .get(0)
            .is_some_and(|settings| settings.is_own(destination))
    }

    #[inline(always)]
    fn wants(&self, vip: &Addr16) -> bool {
        let all = DECAP_SETTINGS
            .get(0)
            .is_none_or(|settings| settings.known_vips_only == 0);
        // SAFETY: the value is not looked at.
        all || unsafe { DECAP_VIPS.get(vip) }.is_some()
    }
}

/// Entry point.
#[xdp]
#[expect(clippy::needless_pass_by_value, reason = "the macro hands it over")]
fn adc_decap(ctx: XdpContext) -> u32 {
    let mut packet = packet::XdpPacket::new(&ctx);
    let outcome = decapsulate(&mut packet, &Maps);
    if let Some(counter) = DECAP_COUNTERS.get_ptr_mut(outcome as u32) {
        // SAFETY: per-CPU, and XDP runs with bottom halves off: nothing else on this CPU writes it.
        let counter = unsafe { &mut *counter };
        *counter = counter.wrapping_add(1);
    }
    match outcome {
        DecapOutcome::Decapsulated
        | DecapOutcome::NotTunnelled
        | DecapOutcome::OtherVip
        | DecapOutcome::OuterFragment
        | DecapOutcome::OtherHost => XDP_PASS,
        DecapOutcome::Malformed | DecapOutcome::Congestion | DecapOutcome::HeadroomError => {
            XDP_DROP
        }
    }
}
