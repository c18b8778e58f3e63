//! What a map costs, by the kernel's own account.

use std::{fs, os::fd::AsRawFd as _};

use aya::maps::MapData;

/// Bytes that the kernel says a map takes (`memlock` in its fdinfo, `map_mem_usage` in kernel/bpf/hashtab.c).
pub(crate) fn of_map(map: &MapData) -> u64 {
    use std::os::fd::AsFd as _;
    let fd = map.fd().as_fd().as_raw_fd();
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).expect("fdinfo of a map");
    info.lines()
        .find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok())
        .expect("a memlock line in the map's fdinfo")
}
