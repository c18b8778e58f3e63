//! Batched map operations, which aya 0.14 does not have: one system call for thousands of entries.
//!
//! Layout and semantics: `union bpf_attr`, member `batch`, include/uapi/linux/bpf.h (Linux 5.6).

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

use bytemuck::Pod;

const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;
const BPF_MAP_UPDATE_BATCH: libc::c_long = 26;

/// Entries asked for at once. A hash bucket is never split, so this must exceed the longest chain.
const CHUNK: usize = 4096;

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

/// Visits every entry of a hash map. Entries inserted or removed meanwhile may or may not be seen.
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
        let error = outcome.as_ref().err().and_then(io::Error::raw_os_error);
        if error == Some(libc::ENOSPC) {
            // One bucket holds more than the buffer: more room, same place.
            room *= 2;
            keys.resize(room, K::zeroed());
            values.resize(room, V::zeroed());
            continue;
        }
        // ENOENT: that was the last of it, and `count` is still right.
        if error != Some(libc::ENOENT) {
            outcome?;
        }
        for (key, value) in keys.iter().zip(&values).take(attr.count as usize) {
            visit(key, value);
        }
        if error == Some(libc::ENOENT) {
            return Ok(());
        }
        cursor = next;
        first = false;
    }
}

/// Inserts or overwrites many entries; on error some may have been written.
pub(super) fn put_all<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    keys: &[K],
    values: &[V],
) -> io::Result<()> {
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
