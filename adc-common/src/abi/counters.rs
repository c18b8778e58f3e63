//! Per-CPU counters. Every field only grows; readers sum over CPUs.

use super::abi_struct;

abi_struct! {
    /// Value of `REASON_COUNTERS`, by [`super::Reason`].
    pub struct ReasonCounters [16] {
        /// Packets that ended with this reason.
        pub packets: u64,
        /// Their bytes, Ethernet header included.
        pub bytes: u64,
    }
}

abi_struct! {
    /// Value of `BACKEND_COUNTERS`, by [`super::BackendId`].
    pub struct BackendCounters [72] {
        /// Packets sent to the backend.
        pub forward_packets: u64,
        /// Bytes sent to the backend, Ethernet header included, as received from the client.
        pub forward_bytes: u64,
        /// Packets returned to clients.
        pub reply_packets: u64,
        /// Bytes returned to clients, Ethernet header included, as received from the backend.
        pub reply_bytes: u64,
        /// New flows scheduled to the backend (a retransmitted SYN of a half-open flow is not new).
        pub flows_scheduled: u64,
        /// Flows whose handshake (TCP) or first reply (UDP) was seen.
        pub flows_established: u64,
        /// New flows dropped because every local address and port tried was in use towards this backend.
        pub snat_exhausted: u64,
        /// TCP segments to the backend with which a client said that it has no room for more data.
        pub forward_zero_windows: u64,
        /// TCP segments to clients with which the backend said so.
        pub reply_zero_windows: u64,
    }
}

abi_struct! {
    /// Value of `SELF_CHECKS` (one element): packets whose checksums were verified on their way through.
    pub struct SelfCheckCounters [56] {
        /// Packets seen; one of N of them is checked.
        pub seen: u64,
        /// Came with right checksums and left with right ones.
        pub sound: u64,
        /// Came with right checksums and left with a wrong one: an error of this program.
        pub failed: u64,
        /// Came with a wrong checksum (a bad cable, or a sender that leaves checksums to hardware there is none of), and went on with it.
        pub arrived_broken: u64,
        /// Has no checksum that can be verified, or did not go on.
        pub not_checked: u64,
        /// No counter: 1 while the walk works on a packet that came with right checksums.
        pub watching: u64,
        /// No counter: what the walk told the driver to do, while the last program looks at the packet.
        pub action: u64,
    }
}

/// Bytes of a value of `TABLE_COUNTERS` that only the layout has which tests of the migration begin with.
const DROPPED: usize = if cfg!(feature = "earlier-layout") {
    16
} else {
    0
};

abi_struct! {
    /// Value of `TABLE_COUNTERS` (one element): what the packet walk did to the flow tables.
    pub struct TableCounters [40] plus DROPPED {
        /// Flows inserted into the main tables.
        pub inserted: u64,
        /// Flows removed from the main tables by the packet walk (expired on read, or a reused 5-tuple).
        pub removed: u64,
        /// Promotions refused because a main table was full; the flow stays half-open.
        pub full: u64,
        /// Half-open entries found without their other direction (evicted by the LRU) and ignored.
        pub orphans: u64,
        /// News of flows that did not fit into `FLOW_NEWS`.
        pub untold: u64,
        /// What this release does without.
        #[cfg(feature = "earlier-layout")]
        pub dropped: [u64; 2],
    }
}

/// Programs in `PROGRAMS`, which hand packets to each other while some are checked.
pub const SELF_CHECK_PROGRAMS: u32 = 2;
/// Index of the walk itself in `PROGRAMS`.
pub const SELF_CHECK_WALK: u32 = 0;
/// Index of the program that looks at what leaves.
pub const SELF_CHECK_JUDGE: u32 = 1;
