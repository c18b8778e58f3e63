//! Services as the packet walk sees them.

use super::{Addr16, Phase, Port, Protocol, Tick, abi_newtype, abi_struct};

abi_newtype! {
    /// Index into `SERVICES` and `RINGS`; 0 = unset.
    pub struct ServiceId(pub u16) align 2
}

abi_newtype! {
    /// How packets reach the backend.
    pub struct ForwardingMode(pub u8) align 1
}

impl ForwardingMode {
    /// DNAT: destination rewritten, replies return through us.
    pub const NAT: Self = Self(1);
}

abi_newtype! {
    /// What the scheduler hashes to find a ring slot.
    pub struct HashOn(pub u8) align 1
}

impl HashOn {
    /// Source and destination address and port, and protocol.
    pub const FIVE_TUPLE: Self = Self(0);
    /// Source address only: one client, one backend.
    pub const SOURCE: Self = Self(1);
}

abi_struct! {
    /// Key of `SERVICE_INDEX`. A VIP also has one marker entry with port 0 and protocol 0, whose id is
    /// unset: "this address is ours, whatever the port". A VIP that answers no echo requests has a second one, with
    /// protocol ICMP.
    pub struct ServiceKey [24] align 8 {
        /// The VIP.
        pub vip: Addr16,
        /// Port clients connect to.
        pub port: Port,
        /// TCP or UDP.
        pub protocol: Protocol,
        /// Zero.
        pub _pad: [u8; 5],
    }
}

abi_struct! {
    /// Value of `SERVICE_INDEX`.
    pub struct ServiceIndexEntry [4] {
        /// The service, or unset for a VIP marker.
        pub id: ServiceId,
        /// Zero.
        pub _pad: [u8; 2],
    }
}

abi_struct! {
    /// Value of `SERVICES`, by [`ServiceId`].
    pub struct ServiceEntry [96] {
        /// Its key in `SERVICE_INDEX`, so that an adopting agent can read its own tables back.
        pub key: ServiceKey,
        /// See [`ForwardingMode`].
        pub mode: ForwardingMode,
        /// See [`HashOn`].
        pub hash_on: HashOn,
        /// Zero.
        pub _pad: [u8; 2],
        /// Seed of the flow hash; equal on nodes that must agree.
        pub hash_seed: u32,
        /// Idle timeout per [`Phase`], indexed by its number; the rest is zero.
        pub timeouts: [Tick; Phase::CAPACITY],
    }
}

impl ServiceKey {
    /// Overwrites everything but the padding; see [`super::FlowKey::set`].
    #[inline(always)]
    pub fn set(&mut self, vip: Addr16, port: Port, protocol: Protocol) {
        self.vip = vip;
        self.port = port;
        self.protocol = protocol;
    }

    /// Makes it the marker that says the address is a VIP.
    #[inline(always)]
    pub fn set_vip_marker(&mut self, vip: Addr16) {
        self.set(vip, Port([0, 0]), Protocol(0));
    }

    /// Makes it the marker that says the VIP answers no echo requests.
    #[inline(always)]
    pub fn set_ping_refusal(&mut self, vip: Addr16) {
        self.set(vip, Port([0, 0]), Protocol::ICMP);
    }

    /// A service's key.
    #[inline(always)]
    pub fn new(vip: Addr16, port: Port, protocol: Protocol) -> Self {
        Self {
            vip,
            port,
            protocol,
            _pad: [0; 5],
        }
    }

    /// The marker that says the VIP answers no echo requests. The same for both families.
    #[inline(always)]
    pub fn ping_refusal(vip: Addr16) -> Self {
        Self::new(vip, Port([0, 0]), Protocol::ICMP)
    }

    /// The marker that says the address is a VIP.
    #[inline(always)]
    pub fn vip_marker(vip: Addr16) -> Self {
        Self::new(vip, Port([0, 0]), Protocol(0))
    }
}
