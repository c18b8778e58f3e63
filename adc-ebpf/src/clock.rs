//! The kernel's clock, read once per timer tick.

use adc_common::{
    abi::Tick,
    datapath::{Clock, Reading},
};
use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_ns};

/// `CLOCK_MONOTONIC` as of the first packet after the last timer tick.
///
/// It is read once per tick and CPU: the call takes 20 ns, while the count of ticks (jiffies) is a load that the kernel
/// writes into the program (`kernel/bpf/verifier.c`, Linux 6.1). So a reading is late by as long as the kernel counts no
/// tick: one, at most 10 ms, and up to six where the CPU that counts them stands still (a virtual machine's may): from then
/// on another counts (`MAX_STALLED_JIFFIES`, kernel/time/tick-sched.c). The coarse clock would do no better, as it is
/// moved a moment after the count (`tick_do_update_jiffies64`), and by whole intervals of its own.
pub(crate) struct KernelClock;

impl Clock for KernelClock {
    #[inline(always)]
    fn now(&self, last: &mut Reading) -> Tick {
        // SAFETY: a helper without arguments or preconditions; XDP may call it since Linux 5.6.
        let jiffies = unsafe { bpf_jiffies64() };
        if last.stamp != jiffies {
            // SAFETY: the same.
            last.nanos = unsafe { bpf_ktime_get_ns() };
            last.now = Tick::from_nanos(last.nanos);
            last.stamp = jiffies;
        }
        last.now
    }
}
