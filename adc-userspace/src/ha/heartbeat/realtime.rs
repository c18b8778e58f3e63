//! Getting the processor on time.

use std::io;

/// Above ordinary real-time threads, below the kernel's own for interrupts (50 by default in threaded mode, they must run).
const PRIORITY: i32 = 40;

/// Nanoseconds by which the kernel may delay a timer of an ordinary thread to merge it with others; 50 000 by default.
const TIMER_SLACK: libc::c_ulong = 1;

/// Makes the calling thread real-time (`SCHED_FIFO`) and keeps the process's memory from being paged out, or, if `real_time`
/// is not set, only has its timers fire when they should.
///
/// # Errors
/// The kernel refuses: `CAP_SYS_NICE` or `CAP_IPC_LOCK` is missing, or a limit is too low.
pub(in crate::ha) fn prepare(real_time: bool) -> io::Result<()> {
    if !real_time {
        // SAFETY: takes no pointers; changes the calling thread only.
        return check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, TIMER_SLACK) });
    }
    // On fault: what is never touched, of stacks and arenas, takes no memory (Linux 4.4).
    let all = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    // SAFETY: takes no pointers; the memory stays what it is.
    check(unsafe { libc::mlockall(all) })?;
    let parameters = libc::sched_param {
        sched_priority: PRIORITY,
    };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the parameters live during the call; 0 is the calling thread.
    check(unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
