//! The kernel's coarse clock.

use adc_common::{
    abi::Tick,
    datapath::{Clock, Reading},
};
use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns};

/// `CLOCK_MONOTONIC` as of the last timer tick.
///
/// It stands still between ticks, so it is read once per tick and CPU: the call takes 10 ns, while the
/// count of ticks (jiffies) is a load that the kernel writes into the program (`kernel/bpf/verifier.c`, Linux 6.1).
/// The kernel counts the tick a moment before it moves the clock (`tick_do_update_jiffies64`), so a reading
/// may be one tick, at most 10 ms, late.
pub struct KernelClock;

impl Clock for KernelClock {
    #[inline(always)]
    fn now(&self, last: &mut Reading) -> Tick {
        // SAFETY: a helper without arguments or preconditions; XDP may call it since Linux 5.6.
        let jiffies = unsafe { bpf_jiffies64() };
        if last.stamp != jiffies {
            // SAFETY: the same; since Linux 5.11.
            last.now = Tick::from_nanos(unsafe { bpf_ktime_get_coarse_ns() });
            last.stamp = jiffies;
        }
        last.now
    }
}
