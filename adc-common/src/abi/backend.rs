//! Backends as the packet walk sees them.

use super::{Addr16, GroupSlot, Hop, Port, ServiceId, abi_newtype, abi_struct};

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

    /// The service's ring names it. Nothing to the packet walk: it tells an agent that adopts the tables who took new
    /// flows, for which it would otherwise have to open the rings, and that takes CAP_SYS_ADMIN
    /// (`bpf_map_get_fd_by_id`, kernel/bpf/syscall.c).
    pub const IN_RING: Self = Self(2);

    /// Its monitors say that it is down, and its pool's `on_down` is `reset`: TCP segments of its flows are answered
    /// with a RST, datagrams are scheduled anew.
    pub const DOWN_RESET: Self = Self(4);

    /// Its monitors say that it is down, and its pool's `on_down` is `reselect`: what clients send in its flows is
    /// scheduled anew.
    pub const DOWN_RESELECT: Self = Self(8);

    /// Whether its flows are to leave it.
    #[inline(always)]
    pub const fn is_down(self) -> bool {
        self.0 & (Self::DOWN_RESET.0 | Self::DOWN_RESELECT.0) != 0
    }

    /// Whether packets may be sent to it: its next hop is known, and its flows are not to leave it. One comparison.
    #[inline(always)]
    pub const fn is_usable(self) -> bool {
        self.0 & (Self::HOP_RESOLVED.0 | Self::DOWN_RESET.0 | Self::DOWN_RESELECT.0)
            == Self::HOP_RESOLVED.0
    }

    /// With the bits of `other` set, or cleared.
    #[inline(always)]
    pub const fn with(self, other: Self, set: bool) -> Self {
        if set {
            Self(self.0 | other.0)
        } else {
            Self(self.0 & !other.0)
        }
    }

    /// Whether all bits of `other` are set.
    #[inline(always)]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

abi_struct! {
    /// Value of `BACKENDS`.
    pub struct BackendEntry [52] {
        /// Address; [`Addr16::UNSET`] = slot unused.
        pub address: Addr16,
        /// Port that packets are translated to; 0 = they keep theirs.
        pub port: Port,
        /// The service this id belongs to.
        pub service: ServiceId,
        /// Next hop towards the backend; see [`BackendFlags::HOP_RESOLVED`].
        pub hop: Hop,
        /// See [`BackendFlags`].
        pub flags: BackendFlags,
        /// The HA group of its service's VIP.
        pub group: GroupSlot,
        /// Tunnel modes: UDP port that packets are sent to (GUE); 0 = IP in IP.
        pub tunnel_port: Port,
        /// Tunnel modes: source address of the outer packet, of the family of `address`; unset in other modes.
        pub tunnel_source: Addr16,
    }
}
