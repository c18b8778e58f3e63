//! Addresses, ports and protocol numbers, in network byte order by type.

use super::abi_newtype;

abi_newtype! {
    /// An IPv4 address, network order.
    pub struct Addr4(pub [u8; 4])
}

abi_newtype! {
    /// An IPv6 address, network order.
    pub struct Addr6(pub [u8; 16])
}

abi_newtype! {
    /// An address of either family in 16 bytes; IPv4 is stored v4-mapped (`::ffff:a.b.c.d`, RFC 4291 §2.5.5.2).
    pub struct Addr16(pub [u8; 16])
}

abi_newtype! {
    /// A TCP or UDP port, network order.
    pub struct Port(pub [u8; 2])
}

abi_newtype! {
    /// An Ethernet MAC address.
    pub struct Mac(pub [u8; 6])
}

abi_newtype! {
    /// A VLAN id (1..=4094), host order; 0 = untagged.
    pub struct VlanId(pub u16)
}

abi_newtype! {
    /// An IP protocol number (IANA).
    pub struct Protocol(pub u8)
}

impl Protocol {
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// ICMP for IPv4.
    pub const ICMP: Self = Self(1);
    /// ICMPv6.
    pub const ICMP6: Self = Self(58);
}

impl Port {
    /// From host order.
    #[inline(always)]
    pub const fn new(host: u16) -> Self {
        Self(host.to_be_bytes())
    }

    /// In host order.
    #[inline(always)]
    pub const fn host(self) -> u16 {
        u16::from_be_bytes(self.0)
    }
}

impl VlanId {
    /// No tag.
    pub const NONE: Self = Self(0);
}

impl Addr16 {
    /// The unspecified address, which no service or backend can have.
    pub const UNSET: Self = Self([0; 16]);

    const V4_PREFIX: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

    /// The IPv4 address inside, if this is a v4-mapped one.
    #[inline(always)]
    pub fn v4(self) -> Option<Addr4> {
        let [prefix @ .., a, b, c, d] = self.0;
        (prefix == Self::V4_PREFIX).then_some(Addr4([a, b, c, d]))
    }
}

impl From<Addr4> for Addr16 {
    #[inline(always)]
    fn from(Addr4([a, b, c, d]): Addr4) -> Self {
        Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d])
    }
}

impl From<Addr6> for Addr16 {
    #[inline(always)]
    fn from(Addr6(bytes): Addr6) -> Self {
        Self(bytes)
    }
}

impl From<core::net::IpAddr> for Addr16 {
    fn from(address: core::net::IpAddr) -> Self {
        match address {
            core::net::IpAddr::V4(v4) => Addr4(v4.octets()).into(),
            core::net::IpAddr::V6(v6) => Self(v6.octets()),
        }
    }
}

impl From<Addr16> for core::net::IpAddr {
    fn from(address: Addr16) -> Self {
        match address.v4() {
            Some(Addr4(octets)) => Self::V4(octets.into()),
            None => Self::V6(address.0.into()),
        }
    }
}
