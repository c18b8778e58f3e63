//! IPv4 and IPv6 behind one trait, so that the walk is written once.

use core::mem::MaybeUninit;

use super::{
    checksum::{self, Delta},
    ports::PacketBuf,
    wire::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ipv4Tail, Ipv6Tail},
};
use crate::abi::{Addr4, Addr6, Addr16, Protocol, Tuple};
use network_types::ip::{Ipv4Hdr, Ipv6Hdr};

/// What of an IP header a packet around it, or about it, needs.
#[derive(Clone, Copy)]
pub struct Outline {
    /// Bytes of the packet, header and all.
    pub(super) length: u32,
    /// DSCP and ECN.
    pub(super) traffic_class: u8,
    /// Whether a router may fragment it.
    pub(super) may_fragment: bool,
    /// Identification; 0 in IPv6.
    pub(super) id: u16,
}

/// An address family of the packet walk.
pub trait Family: Copy + Default + Eq + Into<Addr16> {
    /// EtherType of its packets.
    const ETHERTYPE: [u8; 2];

    /// Its protocol number inside another packet (IANA).
    const CARRIED_AS: u8;

    /// Bytes of its header without options or extensions.
    const HEADER: u32;

    /// What of the header at `offset` a packet around or about this one needs.
    fn outline<P: PacketBuf>(packet: &P, offset: usize) -> Option<Outline>;
    /// Whether its flow tables hold flows of two families (NAT64).
    const MAY_CROSS: bool;

    /// The address as native-endian words, for checksums.
    fn checksum_words(self) -> Delta;

    /// The address as two words, for the flow hash.
    fn hash_words(self) -> [u64; 2];

    /// The address of this family inside `address`; `None` if it is of the other one.
    fn from_addr16(address: Addr16) -> Option<Self>;

    /// `address` as keys of this family's flow tables have it: an IPv4 address among IPv6 ones is v4-mapped.
    fn embed(address: Addr16) -> Option<Self>;

    /// Whether this is an IPv4 address, be it among IPv6 ones.
    fn is_v4(self) -> bool;

    /// Whether this is an IPv4 address among IPv6 ones.
    fn is_embedded(self) -> bool;

    /// Writes new addresses and a hop limit one lower. The IPv4 header checksum follows by RFC 1624;
    /// `addresses` is the change that the addresses make to a sum.
    fn rewrite<P: PacketBuf>(
        packet: &mut P,
        offset: usize,
        to: &Tuple<Self>,
        addresses: Delta,
    ) -> Option<()>
    where
        Self: Sized;

    /// Writes the address itself at `offset`.
    fn write<P: PacketBuf>(self, packet: &mut P, offset: usize) -> Option<()>;

    /// Adds `bytes` to the length in the header at `offset`; `None` if that is more than it can say, and nothing is
    /// written then.
    fn lengthen<P: PacketBuf>(packet: &mut P, offset: usize, bytes: u16) -> Option<()>;

    /// Writes such a header at `offset`, for a packet of our own that carries `length` bytes of `protocol`.
    fn write_bare<P: PacketBuf>(
        packet: &mut P,
        offset: usize,
        to: &Tuple<Self>,
        protocol: Protocol,
        length: usize,
    ) -> Option<()>
    where
        Self: Sized;
}

/// TTL of packets of our own (RFC 1700: 64).
const OWN_HOP_LIMIT: u8 = 64;

/// What one hop less does to the word of TTL and protocol: the TTL was not 0, so nothing is borrowed.
const TTL_DECREMENT: Delta = Delta::replace16(u16::from_ne_bytes([1, 0]), 0);

impl Family for Addr4 {
    const ETHERTYPE: [u8; 2] = ETHERTYPE_IPV4;
    const CARRIED_AS: u8 = 4;
    const HEADER: u32 = 20;

    #[inline(always)]
    fn outline<P: PacketBuf>(packet: &P, offset: usize) -> Option<Outline> {
        /// Don't fragment (RFC 791 §3.1).
        const DF: u16 = 0x4000;
        let mut ip = MaybeUninit::<Ipv4Hdr>::uninit();
        let ip = packet.header(offset, &mut ip)?;
        Some(Outline {
            length: u32::from(u16::from_be_bytes(ip.tot_len)),
            traffic_class: ip.tos,
            may_fragment: u16::from_be_bytes(ip.frags) & DF == 0,
            id: u16::from_be_bytes(ip.id),
        })
    }
    const MAY_CROSS: bool = false;

    #[inline(always)]
    fn checksum_words(self) -> Delta {
        Delta::of_word(u32::from_ne_bytes(self.0))
    }

    #[inline(always)]
    fn hash_words(self) -> [u64; 2] {
        [u64::from(u32::from_be_bytes(self.0)), 0]
    }

    #[inline(always)]
    fn from_addr16(address: Addr16) -> Option<Self> {
        address.v4()
    }

    #[inline(always)]
    fn embed(address: Addr16) -> Option<Self> {
        address.v4()
    }

    #[inline(always)]
    fn is_v4(self) -> bool {
        true
    }

    #[inline(always)]
    fn is_embedded(self) -> bool {
        false
    }

    #[inline(always)]
    fn rewrite<P: PacketBuf>(
        packet: &mut P,
        offset: usize,
        to: &Tuple<Self>,
        addresses: Delta,
    ) -> Option<()> {
        let offset = offset + Ipv4Tail::OFFSET;
        let mut tail = MaybeUninit::<Ipv4Tail>::uninit();
        let mut tail = *packet.header(offset, &mut tail)?;
        tail.ttl = tail.ttl.wrapping_sub(1);
        let change = addresses.plus(TTL_DECREMENT);
        tail.check = checksum::apply(tail.check, change);
        tail.src_addr = to.src.0;
        tail.dst_addr = to.dst.0;
        packet.set_header(offset, &tail)
    }

    #[inline(always)]
    fn write<P: PacketBuf>(self, packet: &mut P, offset: usize) -> Option<()> {
        packet.set_header(offset, &self.0)
    }

    #[inline(always)]
    fn lengthen<P: PacketBuf>(packet: &mut P, offset: usize, bytes: u16) -> Option<()> {
        const CHECKSUM: usize = core::mem::offset_of!(Ipv4Hdr, check);
        let mut ip = MaybeUninit::<Ipv4Hdr>::uninit();
        let ip = packet.header(offset, &mut ip)?;
        let (old, check) = (ip.tot_len, ip.check);
        let new = u16::from_be_bytes(old).checked_add(bytes)?.to_be_bytes();
        let change = Delta::replace16(u16::from_ne_bytes(old), u16::from_ne_bytes(new));
        packet.set_header(offset + core::mem::offset_of!(Ipv4Hdr, tot_len), &new)?;
        packet.set_header(offset + CHECKSUM, &checksum::apply(check, change))
    }

    /// Never fragmented, so its identification means nothing (RFC 6864 §4.1).
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "a few dozen bytes")]
    fn write_bare<P: PacketBuf>(
        packet: &mut P,
        offset: usize,
        to: &Tuple<Self>,
        protocol: Protocol,
        length: usize,
    ) -> Option<()> {
        let [high, low] = ((Self::HEADER as usize + length) as u16).to_be_bytes();
        let start = [0x45, 0, high, low];
        // Identification 0, DF.
        let middle = [0, 0, 0x40, 0];
        let mut tail = Ipv4Tail {
            ttl: OWN_HOP_LIMIT,
            proto: protocol.0,
            check: [0, 0],
            src_addr: to.src.0,
            dst_addr: to.dst.0,
        };
        let sum = (to.src.checksum_words())
            .plus(to.dst.checksum_words())
            .plus(Delta::of_word(u32::from_ne_bytes(start)))
            .plus(Delta::of_word(u32::from_ne_bytes(middle)))
            .plus(Delta::of_word(u32::from_ne_bytes([
                tail.ttl, tail.proto, 0, 0,
            ])));
        tail.check = checksum::of(sum);
        packet.set_header(offset, &start)?;
        packet.set_header(offset + 4, &middle)?;
        packet.set_header(offset + Ipv4Tail::OFFSET, &tail)
    }
}

impl Family for Addr6 {
    const ETHERTYPE: [u8; 2] = ETHERTYPE_IPV6;
    const CARRIED_AS: u8 = 41;
    const HEADER: u32 = 40;

    #[inline(always)]
    fn outline<P: PacketBuf>(packet: &P, offset: usize) -> Option<Outline> {
        let mut ip = MaybeUninit::<Ipv6Hdr>::uninit();
        let ip = packet.header(offset, &mut ip)?;
        let [high, low, ..] = ip.vcf;
        Some(Outline {
            length: Self::HEADER + u32::from(u16::from_be_bytes(ip.payload_len)),
            traffic_class: high << 4 | low >> 4,
            may_fragment: false,
            id: 0,
        })
    }
    const MAY_CROSS: bool = true;

    #[inline(always)]
    fn checksum_words(self) -> Delta {
        let [a, b] = bytemuck::cast::<[u8; 16], [u64; 2]>(self.0);
        Delta::of_long(a).plus(Delta::of_long(b))
    }

    #[inline(always)]
    fn hash_words(self) -> [u64; 2] {
        let [a, b] = bytemuck::cast::<[u8; 16], [u64; 2]>(self.0);
        [u64::from_be(a), u64::from_be(b)]
    }

    #[inline(always)]
    fn from_addr16(address: Addr16) -> Option<Self> {
        match address.v4() {
            Some(_) => None,
            None => Some(Self(address.0)),
        }
    }

    #[inline(always)]
    fn embed(address: Addr16) -> Option<Self> {
        Some(Self(address.0))
    }

    #[inline(always)]
    fn is_v4(self) -> bool {
        Addr16(self.0).v4().is_some()
    }

    #[inline(always)]
    fn is_embedded(self) -> bool {
        self.is_v4()
    }

    #[inline(always)]
    fn rewrite<P: PacketBuf>(
        packet: &mut P,
        offset: usize,
        to: &Tuple<Self>,
        _addresses: Delta,
    ) -> Option<()> {
        let offset = offset + Ipv6Tail::OFFSET;
        let mut tail = MaybeUninit::<Ipv6Tail>::uninit();
        let mut tail = *packet.header(offset, &mut tail)?;
        tail.hop_limit = tail.hop_limit.wrapping_sub(1);
        tail.src_addr = to.src.0;
        tail.dst_addr = to.dst.0;
        packet.set_header(offset, &tail)
    }

    #[inline(always)]
    fn write<P: PacketBuf>(self, packet: &mut P, offset: usize) -> Option<()> {
        packet.set_header(offset, &self.0)
    }

    #[inline(always)]
    fn lengthen<P: PacketBuf>(packet: &mut P, offset: usize, bytes: u16) -> Option<()> {
        let at = offset + core::mem::offset_of!(Ipv6Hdr, payload_len);
        let mut old = MaybeUninit::<[u8; 2]>::uninit();
        let old = *packet.header(at, &mut old)?;
        let new = u16::from_be_bytes(old).checked_add(bytes)?.to_be_bytes();
        packet.set_header(at, &new)
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "a few dozen bytes")]
    fn write_bare<P: PacketBuf>(
        packet: &mut P,
        offset: usize,
        to: &Tuple<Self>,
        protocol: Protocol,
        length: usize,
    ) -> Option<()> {
        let tail = Ipv6Tail {
            payload_len: (length as u16).to_be_bytes(),
            next_hdr: protocol.0,
            hop_limit: OWN_HOP_LIMIT,
            src_addr: to.src.0,
            dst_addr: to.dst.0,
        };
        // Version 6, no class, no label.
        packet.set_header(offset, &[0x60_u8, 0, 0, 0])?;
        packet.set_header(offset + Ipv6Tail::OFFSET, &tail)
    }
}
