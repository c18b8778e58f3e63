//! The kernel's coarse clock.

use adc_common::{abi::Tick, datapath::Clock};
use aya_ebpf::helpers::generated::bpf_ktime_get_coarse_ns;

/// `CLOCK_MONOTONIC` as of the last timer tick: 6 ns to read where the exact clock costs 20.
pub(crate) struct KernelClock;

impl Clock for KernelClock {
    #[inline(always)]
    fn now(&self) -> Tick {
        // SAFETY: a helper without arguments or preconditions; XDP may call it since Linux 5.11.
        Tick::from_nanos(unsafe { bpf_ktime_get_coarse_ns() })
    }
}
