//! Running the program on a frame, for real.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// include/uapi/linux/bpf.h, `enum bpf_cmd`.
const BPF_PROG_TEST_RUN: libc::c_long = 10;

/// What the program says is done: the frame is sent, or goes up the stack. Linux 5.18.
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 2;

/// `union bpf_attr`, member `test`. aya 0.14 knows it too, but only through a handle of the program that the agent
/// keeps behind its lock.
#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
struct TestAttr {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    _pad: u32,
}

/// `struct xdp_md`; what is not named must be zero (`bpf_prog_test_run_xdp`, net/bpf/test_run.c, Linux 6.1).
#[repr(C)]
#[derive(Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
struct XdpMd {
    data: u32,
    data_end: u32,
    data_meta: u32,
    ingress_ifindex: u32,
    rx_queue_index: u32,
    egress_ifindex: u32,
}

/// Lets `frame` come in by an interface, and be sent wherever the program says.
pub(super) fn live(program: BorrowedFd<'_>, frame: &[u8], ifindex: u32) -> io::Result<()> {
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    let context = XdpMd {
        data_end: length,
        ingress_ifindex: ifindex,
        ..XdpMd::default()
    };
    let mut attr = TestAttr {
        prog_fd: u32::try_from(program.as_raw_fd()).map_err(io::Error::other)?,
        data_size_in: length,
        data_in: frame.as_ptr() as u64,
        repeat: 1,
        ctx_size_in: 24,
        ctx_in: std::ptr::from_ref(&context) as u64,
        flags: BPF_F_TEST_XDP_LIVE_FRAMES,
        batch_size: 1,
        ..TestAttr::default()
    };
    // SAFETY: `attr` is a full, initialised `test` member; frame and context outlive the call and have the sizes given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_TEST_RUN,
            std::ptr::from_mut(&mut attr),
            size_of::<TestAttr>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

const _: () = assert!(size_of::<XdpMd>() == 24);
