//! What `adc_ingress_capture` tells the agent of each packet, and what the agent asks for.
//!
//! None of it is pinned: it lives as long as one capture, between one agent and the program that it embeds.

use super::{Addr16, BackendId, InterfaceId, Port, Protocol, abi_newtype, abi_struct};

/// Most bytes of a frame that are captured: one less than a page, so that a mask bounds the length. A frame that native
/// XDP takes is shorter (no multi-buffer).
pub const MAX_SNAPLEN: u32 = 4095;

abi_newtype! {
    /// What the hook told the driver, with the kernel's numbers (`enum xdp_action`, include/uapi/linux/bpf.h).
    pub struct CaptureVerdict(pub u8) align 1
}

impl CaptureVerdict {
    /// `XDP_DROP`.
    pub const DROP: Self = Self(1);
    /// `XDP_PASS`.
    pub const PASS: Self = Self(2);
    /// `XDP_TX`.
    pub const TRANSMIT: Self = Self(3);
    /// `XDP_REDIRECT`.
    pub const REDIRECT: Self = Self(4);
}

abi_newtype! {
    /// Bits of [`CaptureSetup::wants`] and, alone, what a record shows.
    pub struct CaptureBits(pub u8) align 1
}

impl CaptureBits {
    /// Only packets from or to `host`.
    pub const HOST: Self = Self(1);
    /// Only packets from or to `port`.
    pub const PORT: Self = Self(2);
    /// Only packets of `protocol`.
    pub const PROTOCOL: Self = Self(4);
    /// Rewritten packets once more, as they leave. In a record: this is one.
    pub const LEFT: Self = Self(8);

    /// Whether all bits of `other` are set.
    #[inline(always)]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With the bits of `other` set too.
    #[inline(always)]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

abi_struct! {
    /// Head of a record in `CAPTURE_RING`; `captured` bytes of the frame follow.
    pub struct CaptureRecord [32] align 8 {
        /// `CLOCK_MONOTONIC` when the packet came in, ns.
        pub time: u64,
        /// Bytes of the frame.
        pub length: u32,
        /// Bytes of it that follow.
        pub captured: u32,
        /// Kernel index of the interface it came in by.
        pub ifindex: u32,
        /// Number of its reason.
        pub reason: u32,
        /// The backend that it was counted for; unset if the walk came to none.
        pub backend: BackendId,
        /// The interface it is redirected to; unset if it is not.
        pub egress: InterfaceId,
        /// What became of it.
        pub verdict: CaptureVerdict,
        /// [`CaptureBits::LEFT`] or nothing: as it came.
        pub shows: CaptureBits,
        /// Zero.
        pub _pad: [u8; 2],
    }
}

abi_struct! {
    /// Value of `CAPTURE_SETUP` (one element).
    pub struct CaptureSetup [32] align 4 {
        /// Packets from or to this address, see [`CaptureBits::HOST`].
        pub host: Addr16,
        /// Bytes of a frame that are wanted, at most [`MAX_SNAPLEN`].
        pub snaplen: u32,
        /// See [`CaptureBits::PORT`].
        pub port: Port,
        /// See [`CaptureBits::PROTOCOL`].
        pub protocol: Protocol,
        /// What of this is asked for.
        pub wants: CaptureBits,
        /// Zero.
        pub _pad: [u8; 8],
    }
}

abi_struct! {
    /// Value of `CAPTURE_COUNTERS` (one element, per CPU).
    pub struct CaptureCounters [16] {
        /// Records handed to the agent.
        pub sent: u64,
        /// Records for which the ring had no room. The packets went their way.
        pub lost: u64,
    }
}

/// Where a record is put together: value of `CAPTURE_SPACE` (one element, per CPU).
#[repr(C, align(8))]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
pub struct CaptureSpace {
    /// Its head.
    pub record: CaptureRecord,
    /// The frame.
    pub bytes: [u8; MAX_SNAPLEN as usize + 1],
}

const _: () = assert!(size_of::<CaptureSpace>() == 32 + 4096);
