//! Batched map operations, which aya 0.14 does not have: one system call for thousands of entries.
//!
//! Layout and semantics: `union bpf_attr`, member `batch`, include/uapi/linux/bpf.h (Linux 5.6; for
//! array-of-maps Linux 5.19).

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    thread,
};

use bytemuck::Pod;

const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;
const BPF_MAP_UPDATE_BATCH: libc::c_long = 26;

/// Entries asked for at once. A hash bucket is never split, so this must exceed the longest chain.
const CHUNK: usize = 4096;

/// Interruptions without progress after which a walk gives up. Each one is a bucket that another context on
/// the same CPU held for a moment.
const PATIENCE: u32 = 1_000;

/// Threads that write one batch between them: every write to an array of maps waits for an RCU grace period,
/// once per batch since Linux 6.8, once per *element* before (`maybe_wait_bpf_programs`, kernel/bpf/syscall.c).
/// Waits at the same time share their grace periods.
const WRITERS: usize = 32;

#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

fn bpf(command: libc::c_long, attr: &mut BatchAttr) -> io::Result<()> {
    // SAFETY: `attr` is a full, initialised `batch` member; the pointers in it are set by the callers below
    // to buffers that outlive the call and hold `count` elements.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attr),
            size_of::<BatchAttr>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn fd_number(map: BorrowedFd<'_>) -> io::Result<u32> {
    u32::try_from(map.as_raw_fd()).map_err(io::Error::other)
}

/// What the kernel's answer to one step of a walk means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Entries, and there are more.
    More,
    /// The last entries.
    Last,
    /// One bucket holds more than the buffer.
    NoRoom,
    /// Stopped early at a bucket that somebody held; what was read so far is good.
    Interrupted,
    /// Refused before it began.
    Again,
    /// Nothing was read.
    Failed,
}

impl Step {
    /// From the errno of the call (`__htab_map_lookup_and_delete_batch`, kernel/bpf/hashtab.c).
    fn of(errno: Option<i32>) -> Self {
        match errno {
            None => Self::More,
            Some(libc::ENOENT) => Self::Last,
            Some(libc::ENOSPC) => Self::NoRoom,
            // EBUSY up to Linux 6.14, EDEADLK and ETIMEDOUT (rqspinlock) since.
            Some(libc::EBUSY | libc::EDEADLK | libc::ETIMEDOUT) => Self::Interrupted,
            Some(libc::EAGAIN | libc::EINTR) => Self::Again,
            Some(_) => Self::Failed,
        }
    }
}

/// Visits every entry of a hash map. An entry that is there all the while is visited once; those inserted or
/// removed meanwhile may or may not be seen.
pub(super) fn for_each<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    mut visit: impl FnMut(&K, &V),
) -> io::Result<()> {
    let map_fd = fd_number(map)?;
    let mut room = CHUNK;
    let mut keys = vec![K::zeroed(); room];
    let mut values = vec![V::zeroed(); room];
    let (mut cursor, mut next) = (0_u32, 0_u32);
    let mut first = true;
    let mut patience = PATIENCE;
    loop {
        let mut attr = BatchAttr {
            in_batch: if first {
                0
            } else {
                std::ptr::from_mut(&mut cursor) as u64
            },
            out_batch: std::ptr::from_mut(&mut next) as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: u32::try_from(room).map_err(io::Error::other)?,
            map_fd,
            ..BatchAttr::default()
        };
        let outcome = bpf(BPF_MAP_LOOKUP_BATCH, &mut attr);
        let step = Step::of(outcome.as_ref().err().and_then(io::Error::raw_os_error));
        let stuck = match step {
            Step::More | Step::Last => false,
            Step::NoRoom => {
                // Same place again.
                room *= 2;
                keys.resize(room, K::zeroed());
                values.resize(room, V::zeroed());
                continue;
            }
            Step::Interrupted => attr.count == 0,
            Step::Again => true,
            Step::Failed => return outcome,
        };
        if stuck {
            patience = patience.saturating_sub(1);
            if patience == 0 {
                return outcome;
            }
        } else {
            patience = PATIENCE;
        }
        if step == Step::Again {
            continue;
        }
        for (key, value) in keys.iter().zip(&values).take(attr.count as usize) {
            visit(key, value);
        }
        if step == Step::Last {
            return Ok(());
        }
        cursor = next;
        first = false;
    }
}

/// Puts maps into the slots of an array of maps; on error any of them may have been written.
pub(super) fn put_maps(map: BorrowedFd<'_>, slots: &[u32], maps: &[i32]) -> io::Result<()> {
    let each = slots.len().div_ceil(WRITERS).max(1);
    thread::scope(|scope| {
        let writers: Vec<_> = slots
            .chunks(each)
            .zip(maps.chunks(each))
            .map(|(slots, maps)| scope.spawn(move || put_all(map, slots, maps)))
            .collect();
        let panicked = |_| Err(io::Error::other("a writing thread panicked"));
        let outcomes = writers
            .into_iter()
            .map(|writer| writer.join().unwrap_or_else(panicked));
        outcomes.collect()
    })
}

/// Inserts or overwrites many entries; on error some may have been written.
fn put_all<K: Pod, V: Pod>(map: BorrowedFd<'_>, keys: &[K], values: &[V]) -> io::Result<()> {
    let count = u32::try_from(keys.len().min(values.len())).map_err(io::Error::other)?;
    if count == 0 {
        return Ok(());
    }
    let mut attr = BatchAttr {
        keys: keys.as_ptr() as u64,
        values: values.as_ptr() as u64,
        count,
        map_fd: fd_number(map)?,
        ..BatchAttr::default()
    };
    bpf(BPF_MAP_UPDATE_BATCH, &mut attr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_goes_on_after_what_passes_and_stops_at_what_does_not() {
        assert_eq!(Step::of(None), Step::More);
        assert_eq!(Step::of(Some(libc::ENOENT)), Step::Last);
        assert_eq!(Step::of(Some(libc::ENOSPC)), Step::NoRoom);
        for passing in [libc::EBUSY, libc::EDEADLK, libc::ETIMEDOUT] {
            assert_eq!(Step::of(Some(passing)), Step::Interrupted);
        }
        for passing in [libc::EAGAIN, libc::EINTR] {
            assert_eq!(Step::of(Some(passing)), Step::Again);
        }
        for lasting in [libc::EBADF, libc::EPERM, libc::EFAULT, libc::EINVAL] {
            assert_eq!(Step::of(Some(lasting)), Step::Failed);
        }
    }
}
