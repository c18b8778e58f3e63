//! Services as the packet walk sees them.

use super::{Addr16, FlowFlags, GroupSlot, Phase, Port, Protocol, Tick, abi_newtype, abi_struct};

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
    /// DNAT and SNAT: the backend sees one of the service's own local addresses.
    pub const FULL_NAT: Self = Self(2);
    /// The frame goes to the backend's MAC, the packet is unchanged; replies go straight to the client.
    pub const DSR_L2: Self = Self(3);
    /// The packet goes to the backend inside an IP packet; replies go straight to the client.
    pub const DSR_IPIP: Self = Self(4);
    /// The packet goes to the backend inside a GUE datagram; replies go straight to the client.
    pub const DSR_GUE: Self = Self(5);

    /// What a new flow of this mode is marked with.
    #[inline(always)]
    pub const fn flow_flags(self) -> FlowFlags {
        match self {
            Self::DSR_L2 => FlowFlags::DIRECT,
            Self::DSR_IPIP | Self::DSR_GUE => FlowFlags::DIRECT.with(FlowFlags::TUNNEL),
            Self(_) => FlowFlags(0),
        }
    }
}

/// Ports of a local address that flows to one backend may be given: 1024 to 65 535.
pub const SNAT_PORTS: u32 = 64_512;

/// Local addresses that one service may send from: a power of two, so that a mask bounds an index into them.
pub const MAX_SNAT_ADDRESSES: usize = 16;

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
    /// What a service is known by, and key of `SERVICE_INDEX` unless it has many ports: those are found through
    /// `SERVICE_RANGES` (see [`super::RangeKey`]). A VIP also has one marker entry with port 0 and protocol 0, whose id is
    /// unset: "this address is ours, whatever the port". A VIP that answers no echo requests has a second one, with
    /// protocol ICMP. An address that `full-nat` sends from has a marker entry with port 0 and protocol 255.
    pub struct ServiceKey [24] align 8 {
        /// The VIP.
        pub vip: Addr16,
        /// Port clients connect to; of many ports the first, 0 for any port.
        pub port: Port,
        /// TCP or UDP.
        pub protocol: Protocol,
        /// Zero.
        pub _pad: u8,
        /// Of many ports the last; 0 = `port` is the only one.
        pub last_port: Port,
        /// Zero.
        pub _pad2: [u8; 2],
    }
}

abi_newtype! {
    /// Bit set in [`ServiceIndexEntry::flags`].
    pub struct IndexFlags(pub u8) align 1
}

impl IndexFlags {
    /// Of the marker of a VIP: `SERVICE_RANGES` has ports of it.
    pub const RANGES: Self = Self(1);

    /// Whether all bits of `other` are set.
    #[inline(always)]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

abi_struct! {
    /// Value of `SERVICE_INDEX` and of `SERVICE_RANGES`.
    pub struct ServiceIndexEntry [4] {
        /// The service, or unset for a VIP marker.
        pub id: ServiceId,
        /// See [`IndexFlags`].
        pub flags: IndexFlags,
        /// Zero.
        pub _pad: u8,
    }
}

abi_struct! {
    /// Value of `SERVICES`, by [`ServiceId`].
    pub struct ServiceEntry [360] {
        /// What it is known by, so that an adopting agent can read its own tables back.
        pub key: ServiceKey,
        /// See [`ForwardingMode`].
        pub mode: ForwardingMode,
        /// See [`HashOn`].
        pub hash_on: HashOn,
        /// `full-nat`: how many of `snat` are IPv4; they come first.
        pub snat_v4: u8,
        /// `full-nat`: how many of `snat` are IPv6; they follow.
        pub snat_v6: u8,
        /// Seed of the flow hash; equal on nodes that must agree.
        pub hash_seed: u32,
        /// Idle timeout per [`Phase`], indexed by its number; the rest is zero.
        pub timeouts: [Tick; Phase::CAPACITY],
        /// `full-nat`: local addresses that packets to backends are sent from; the rest is unset.
        pub snat: [Addr16; MAX_SNAT_ADDRESSES],
        /// Largest TCP segment that a SYN may announce, in bytes; 0 = any, [`ServiceEntry::MSS_OF_MTU`] = what the
        /// interfaces' MTUs allow.
        pub mss_clamp: u16,
        /// 1 if each TCP stream to a backend begins with a PROXY protocol header (version 2), modes `nat` and `full-nat`.
        pub proxy_protocol: u8,
        /// The HA group of its VIP.
        pub group: GroupSlot,
        /// Zero.
        pub _pad: [u8; 4],
    }
}

impl ServiceEntry {
    /// Value of `mss_clamp`: as large as fits the MTU of the interfaces that the SYN comes in and leaves by.
    pub const MSS_OF_MTU: u16 = u16::MAX;
}

impl ServiceIndexEntry {
    /// The entry of a service; of a marker, if the id is unset.
    pub const fn of(id: ServiceId, flags: IndexFlags) -> Self {
        Self { id, flags, _pad: 0 }
    }
}

impl ServiceKey {
    /// The key of a service with the ports `first` to `last`; with 0 to 65 535, of one with any port.
    pub const fn range(vip: Addr16, first: Port, last: Port, protocol: Protocol) -> Self {
        Self {
            vip,
            port: first,
            protocol,
            _pad: 0,
            last_port: last,
            _pad2: [0; 2],
        }
    }

    /// The first and the last port, host order, of a service with many.
    pub fn ports(&self) -> Option<(u16, u16)> {
        let last = self.last_port.host();
        (last != 0).then(|| (self.port.host(), last))
    }

    /// Overwrites everything but the padding and the last port, for lookups; see [`super::FlowKey::set`].
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

    /// Makes it the marker that says packets are sent from the address.
    #[inline(always)]
    pub fn set_snat_marker(&mut self, address: Addr16) {
        self.set(address, Port([0, 0]), Protocol(u8::MAX));
    }

    /// The marker that says packets are sent from the address. IANA reserves protocol 255, so no service has it.
    #[inline(always)]
    pub fn snat_marker(address: Addr16) -> Self {
        Self::new(address, Port([0, 0]), Protocol(u8::MAX))
    }

    /// A service's key.
    #[inline(always)]
    pub fn new(vip: Addr16, port: Port, protocol: Protocol) -> Self {
        Self::range(vip, port, Port([0, 0]), protocol)
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
