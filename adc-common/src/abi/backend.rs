//! Backends as the packet walk sees them.

use super::{Addr16, Hop, Port, ServiceId, abi_newtype, abi_struct};

abi_newtype! {
    /// Index into `BACKENDS` and `BACKEND_COUNTERS`; 0 = unset.
    ///
    /// One id stands for one backend *as seen by one service*: a pool shared by two services has two
    /// ids per backend. So a single counter lookup per packet serves both the service's and the
    /// backend's figures, and a flow needs only this id to find its service.
    pub struct BackendId(pub u16) align 2
}

abi_newtype! {
    /// Bit set in [`BackendEntry::flags`].
    pub struct BackendFlags(pub u8) align 1
}

impl BackendFlags {
    /// `hop` is known and fresh.
    pub const HOP_RESOLVED: Self = Self(1);

    /// Whether all bits of `other` are set.
    #[inline(always)]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

abi_struct! {
    /// Value of `BACKENDS`.
    pub struct BackendEntry [36] {
        /// Address; [`Addr16::UNSET`] = slot unused.
        pub address: Addr16,
        /// Port that packets are translated to.
        pub port: Port,
        /// The service this id belongs to.
        pub service: ServiceId,
        /// Next hop towards the backend; see [`BackendFlags::HOP_RESOLVED`].
        pub hop: Hop,
        /// See [`BackendFlags`].
        pub flags: BackendFlags,
        /// Zero.
        pub _pad: [u8; 3],
    }
}
