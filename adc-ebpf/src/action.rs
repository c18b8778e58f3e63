//! Verdict → XDP action.

use adc_common::datapath::{Action, Verdict};
use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX};

use crate::maps::REDIRECT;

/// What the driver is told.
#[inline(always)]
pub(crate) fn of(verdict: Verdict) -> u32 {
    match verdict.action {
        Action::Pass => XDP_PASS,
        Action::Drop => XDP_DROP,
        Action::Transmit => XDP_TX,
        // The lower flag bits are the action on a miss (include/uapi/linux/bpf.h, bpf_redirect_map).
        Action::Redirect(interface) => REDIRECT
            .redirect(u32::from(interface.0), u64::from(XDP_DROP))
            .unwrap_or(XDP_DROP),
    }
}
