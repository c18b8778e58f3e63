//! Addresses, ports and protocol numbers, in network byte order by type.

use super::abi_newtype;

abi_newtype! {
    /// An IPv4 address, network order.
    pub struct Addr4(pub [u8; 4]) align 4
}

abi_newtype! {
    /// An IPv6 address, network order.
    pub struct Addr6(pub [u8; 16]) align 4
}

abi_newtype! {
    /// An address of either family in 16 bytes; IPv4 is stored v4-mapped (`::ffff:a.b.c.d`, RFC 4291 §2.5.5.2).
    pub struct Addr16(pub [u8; 16]) align 4
}

abi_newtype! {
    /// A TCP or UDP port, network order.
    pub struct Port(pub [u8; 2]) align 2
}

abi_newtype! {
    /// An Ethernet MAC address.
    pub struct Mac(pub [u8; 6]) align 2
}

abi_newtype! {
    /// A VLAN tag without its priority, host order; 0 = untagged. The low 12 bits are the VLAN id (1..=4094), the two above
    /// say with which TPID the tag is written: 0 = 0x8100, 1 = 0x88a8, 2 = 0x9100.
    pub struct VlanId(pub u16) align 2
}

abi_newtype! {
    /// An IP protocol number (IANA).
    pub struct Protocol(pub u8) align 1
}

impl Protocol {
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// ICMP for IPv4.
    pub const ICMP: Self = Self(1);
    /// The fragment header of IPv6 (RFC 8200 §4.5).
    pub const FRAGMENT: Self = Self(44);
    /// SCTP.
    pub const SCTP: Self = Self(132);
    /// ICMPv6.
    pub const ICMP6: Self = Self(58);
}

impl Addr6 {
    /// Overwrites `self`, word by word: an assignment becomes a call of `memmove` in the BPF program.
    #[inline(always)]
    pub fn assign(&mut self, from: &[u8; 16]) {
        let from = bytemuck::cast::<[u8; 16], [u32; 4]>(*from);
        let to = bytemuck::cast_mut::<Self, [u32; 4]>(self);
        [to[0], to[1], to[2], to[3]] = from;
    }
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

impl Mac {
    /// For comparisons: the derived one goes byte by byte in the BPF program.
    #[inline(always)]
    pub fn halves(self) -> [u16; 3] {
        bytemuck::cast(self.0)
    }

    /// The first six of eight bytes.
    #[inline(always)]
    pub fn at_front(front: [u8; 8]) -> Self {
        let [low, high]: [u32; 2] = bytemuck::cast(front);
        #[expect(clippy::cast_possible_truncation, reason = "halves of a word")]
        let halves = if cfg!(target_endian = "little") {
            [low as u16, (low >> 16) as u16, high as u16]
        } else {
            [(low >> 16) as u16, low as u16, (high >> 16) as u16]
        };
        Self(bytemuck::cast(halves))
    }

    /// Whether both are the same. One branch, where `==` of halves makes three, each of which the verifier follows.
    #[inline(always)]
    pub fn is(self, other: Self) -> bool {
        let (own, theirs) = (self.halves(), other.halves());
        (own[0] ^ theirs[0]) | (own[1] ^ theirs[1]) | (own[2] ^ theirs[2]) == 0
    }

    /// Whether it is that of a group of hosts, or of all (IEEE 802 §8.2.2: the lowest bit of the first octet).
    #[inline(always)]
    pub const fn is_group(self) -> bool {
        let [first, ..] = self.0;
        first & 1 == 1
    }
}

impl VlanId {
    /// No tag.
    pub const NONE: Self = Self(0);
    /// TPID of a customer tag (IEEE 802.1Q).
    pub const TPID_8021Q: u16 = 0x8100;
    /// TPID of a service tag (IEEE 802.1ad).
    pub const TPID_8021AD: u16 = 0x88a8;
    /// TPID of an outer tag, from before 802.1ad.
    pub const TPID_QINQ: u16 = 0x9100;

    const ID: u16 = 0x0fff;
    const SERVICE: u16 = 1 << 12;
    const OLD_SERVICE: u16 = 2 << 12;

    /// A service tag.
    pub const fn service(id: u16) -> Self {
        Self(id & Self::ID | Self::SERVICE)
    }

    /// The bits that stand for a TPID; `None` if it is none.
    #[inline(always)]
    pub const fn kind_of(tpid: u16) -> Option<u16> {
        match tpid {
            Self::TPID_8021Q => Some(0),
            Self::TPID_8021AD => Some(Self::SERVICE),
            Self::TPID_QINQ => Some(Self::OLD_SERVICE),
            _ => None,
        }
    }

    /// From the TCI and the kind of a tag as they came. An id of 0 says a priority and no VLAN (IEEE 802.1Q §6.9.1).
    #[inline(always)]
    pub const fn of(tci: u16, kind: u16) -> Self {
        match tci & Self::ID {
            0 => Self::NONE,
            id => Self(id | kind),
        }
    }

    /// The VLAN id; 0 = untagged.
    #[inline(always)]
    pub const fn id(self) -> u16 {
        self.0 & Self::ID
    }

    /// The TPID that the tag is written with. Without a branch, each of which the verifier would follow.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "one of four is wanted")]
    pub const fn tpid(self) -> u16 {
        const TPIDS: u64 = (VlanId::TPID_8021Q as u64)
            | (VlanId::TPID_8021AD as u64) << 16
            | (VlanId::TPID_QINQ as u64) << 32
            | (VlanId::TPID_8021Q as u64) << 48;
        let kind = (self.0 & !Self::ID) >> 12 & 3;
        (TPIDS >> (kind * 16)) as u16
    }
}

/// `100`, or `100 (0x88a8)` if the tag is no 802.1Q one.
impl core::fmt::Display for VlanId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.tpid() {
            Self::TPID_8021Q => write!(f, "{}", self.id()),
            tpid => write!(f, "{} ({tpid:#06x})", self.id()),
        }
    }
}

impl Addr16 {
    /// The unspecified address, which no service or backend can have.
    pub const UNSET: Self = Self([0; 16]);

    /// Whether this is [`Self::UNSET`]. In whole words, as below.
    #[inline(always)]
    pub fn is_unset(self) -> bool {
        let [a, b, c, d] = bytemuck::cast::<[u8; 16], [u32; 4]>(self.0);
        a | b | c | d == 0
    }

    /// Words 2 and 3 of a v4-mapped address before its own four bytes; words 0 and 1 are zero.
    const V4_MAPPED: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);

    /// The IPv4 address inside, if this is a v4-mapped one.
    ///
    /// Compared in whole words: byte-wise code becomes unaligned stack access in the BPF program, which
    /// the verifier refuses.
    #[inline(always)]
    pub fn v4(self) -> Option<Addr4> {
        let [a, b, c, d] = bytemuck::cast::<[u8; 16], [u32; 4]>(self.0);
        (a == 0 && b == 0 && c == Self::V4_MAPPED).then_some(Addr4(d.to_ne_bytes()))
    }
}

impl From<Addr4> for Addr16 {
    #[inline(always)]
    fn from(Addr4(octets): Addr4) -> Self {
        Self(bytemuck::cast([
            0,
            0,
            Self::V4_MAPPED,
            u32::from_ne_bytes(octets),
        ]))
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
