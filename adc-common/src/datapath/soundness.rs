//! Whether the checksums of a packet are right: computed from scratch, knowing nothing of what the walk did.
//!
//! The walk changes checksums by differences; an error in one of those leaves the machine looking like any other packet
//! and is dropped far away, by an endpoint that tells nobody. So one packet of N is looked at as it comes and as it
//! leaves. What came broken leaves broken, as it must, and proves nothing.

use core::mem::MaybeUninit;

use super::{
    checksum::{self, Delta},
    family::Family,
    parse::{self, Link, offset16, walk_extensions},
    ports::{PacketBuf, Tables},
    scratch::Scratch,
};
use crate::abi::{Addr4, Addr6, Protocol};
use network_types::{
    ip::{Ipv4Hdr, Ipv6Hdr},
    udp::UdpHdr,
};

/// Bytes that one round of a long sum takes.
const BLOCK: usize = 32;

/// What the checksums of a packet are like.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Soundness {
    /// Every checksum that can be verified is right.
    Sound = 0,
    /// One is wrong.
    Broken = 1,
    /// There is none that can be verified: not IP, malformed, or without a checksum that this code knows.
    Unknown = 2,
}

/// What an IP header leads to.
enum Inside {
    /// Another IP packet.
    Packet,
    /// A segment, a datagram or a message.
    Transport,
}

/// Where the parts of the packet are that is looked at. In memory between the steps, for the reason that
/// [`super::scratch::QuoteAt`] gives.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Layer {
    /// Offset of the IP header.
    network: u16,
    /// Offset of what is behind it.
    payload: u16,
    /// Offset of the first byte behind the packet.
    end: u16,
    protocol: Protocol,
    _pad: u8,
    /// The sum of the addresses.
    addresses: Delta,
}

/// Verifies the IP header's checksum and that of what is inside: TCP, UDP, ICMP, ICMPv6, or one more IP packet.
#[inline(never)]
pub(super) fn soundness<P: PacketBuf, T: Tables>(packet: &P, tables: &T) -> Soundness {
    let mut link = Link::default();
    if parse::link(packet, &mut link).is_err() {
        return Soundness::Unknown;
    }
    if !parse::is_ipv4(link.ethertype) && !parse::is_ipv6(link.ethertype) {
        return Soundness::Unknown;
    }
    let found = tables.with_scratch(|scratch: &mut Scratch<Addr4>| {
        let at = &mut scratch.layer;
        at.network = offset16(link.frame.network());
        let inside = match layer(packet, tables, at) {
            Ok(Inside::Packet) => {
                at.network = at.payload;
                layer(packet, tables, at)
            }
            inside => inside,
        };
        match inside {
            Ok(Inside::Transport) => transport(packet, tables, at),
            Ok(Inside::Packet) => Soundness::Unknown,
            Err(finding) => finding,
        }
    });
    found.unwrap_or(Soundness::Unknown)
}

/// The IP header at `at.network`; fills the rest.
#[inline(never)]
fn layer<P: PacketBuf, T: Tables>(
    packet: &P,
    tables: &T,
    at: &mut Layer,
) -> Result<Inside, Soundness> {
    let mut space = MaybeUninit::<[u8; 1]>::uninit();
    let first = packet.header(usize::from(at.network), &mut space);
    match first.map(|[first]| first >> 4) {
        Some(4) => ipv4(packet, tables, at)?,
        Some(6) => ipv6(packet, at).ok_or(Soundness::Unknown)?,
        Some(_) | None => return Err(Soundness::Unknown),
    }
    match at.protocol.0 {
        Addr4::CARRIED_AS | Addr6::CARRIED_AS => Ok(Inside::Packet),
        _ if at.protocol == Protocol::FRAGMENT => Err(Soundness::Unknown),
        _ => Ok(Inside::Transport),
    }
}

#[inline(always)]
fn ipv4<P: PacketBuf, T: Tables>(packet: &P, tables: &T, at: &mut Layer) -> Result<(), Soundness> {
    let network = usize::from(at.network);
    let mut space = MaybeUninit::<Ipv4Hdr>::uninit();
    let ip = packet
        .header(network, &mut space)
        .ok_or(Soundness::Unknown)?;
    let header = usize::from(ip.vihl & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes(ip.tot_len));
    if header < size_of::<Ipv4Hdr>() || total < header {
        return Err(Soundness::Unknown);
    }
    at.payload = offset16(network + header);
    at.end = offset16(network + total);
    // The low 13 bits are the offset, bit 13 is "more fragments".
    at.protocol = if u16::from_be_bytes(ip.frags) << 2 == 0 {
        Protocol(ip.proto)
    } else {
        Protocol::FRAGMENT
    };
    let (src, dst) = (Addr4(ip.src_addr), Addr4(ip.dst_addr));
    at.addresses = src.checksum_words().plus(dst.checksum_words());
    verdict(sum(packet, tables, network, network + header))
}

#[inline(always)]
fn ipv6<P: PacketBuf>(packet: &P, at: &mut Layer) -> Option<()> {
    let network = usize::from(at.network);
    let mut space = MaybeUninit::<Ipv6Hdr>::uninit();
    let ip = packet.header(network, &mut space)?;
    let behind = network + size_of::<Ipv6Hdr>();
    at.end = offset16(behind + usize::from(u16::from_be_bytes(ip.payload_len)));
    let (src, dst) = (Addr6(ip.src_addr), Addr6(ip.dst_addr));
    at.addresses = src.checksum_words().plus(dst.checksum_words());
    let (protocol, payload) = walk_extensions(packet, ip.next_hdr, behind).ok()?;
    at.protocol = protocol;
    at.payload = offset16(payload);
    Some(())
}

#[inline(never)]
fn transport<P: PacketBuf, T: Tables>(packet: &P, tables: &T, at: &Layer) -> Soundness {
    let (start, end) = (usize::from(at.payload), usize::from(at.end));
    let Some(length) = end.checked_sub(start) else {
        return Soundness::Unknown;
    };
    let protocol = at.protocol;
    if protocol == Protocol::UDP {
        let mut space = MaybeUninit::<UdpHdr>::uninit();
        match packet.header(start, &mut space) {
            // RFC 768: none was computed. Over IPv6 only tunnels may do without (RFC 6935), such as ours.
            Some(udp) if udp.check == [0, 0] => return Soundness::Unknown,
            Some(_) => {}
            None => return Soundness::Unknown,
        }
    }
    let pseudo = match protocol {
        Protocol::TCP | Protocol::UDP | Protocol::ICMP6 => {
            at.addresses.plus(Delta::of_transport(protocol, length))
        }
        Protocol::ICMP => Delta::NONE,
        Protocol(_) => return Soundness::Unknown,
    };
    let whole = sum(packet, tables, start, end).map(|sum| sum.plus(pseudo));
    match verdict(whole) {
        Ok(()) => Soundness::Sound,
        Err(finding) => finding,
    }
}

/// A range with its checksum in it sums to all ones, so that what is left for the checksum is 0 (RFC 1071 §1).
#[inline(always)]
fn verdict(sum: Option<Delta>) -> Result<(), Soundness> {
    match sum.map(checksum::of) {
        Some([0, 0]) => Ok(()),
        Some(_) => Err(Soundness::Broken),
        None => Err(Soundness::Unknown),
    }
}

/// The sum of the bytes from `from` up to `to`; `None` if the packet ends before.
#[inline(always)]
fn sum<P: PacketBuf, T: Tables>(packet: &P, tables: &T, from: usize, to: usize) -> Option<Delta> {
    let length = to.checked_sub(from)?;
    let mut sum = Delta::NONE;
    let mut whole = true;
    // Offsets follow from the round's number, which the verifier takes for any. One that grew from round to round it would
    // follow through all of them.
    tables.repeat(rounds(length / BLOCK), |round| {
        let mut space = MaybeUninit::<[u8; BLOCK]>::uninit();
        // Both ways out are constants, as the verifier wants to see.
        let Some(block) = packet.header(from + round as usize * BLOCK, &mut space) else {
            whole = false;
            return true;
        };
        sum = sum.plus(Delta::of_block(block));
        false
    });
    let rest = from + length / BLOCK * BLOCK;
    tables.repeat(rounds(length % BLOCK / 2), |round| {
        let mut space = MaybeUninit::<[u8; 2]>::uninit();
        let Some(word) = packet.header(rest + round as usize * 2, &mut space) else {
            whole = false;
            return true;
        };
        sum = sum.plus(Delta::of_half(*word));
        false
    });
    if length % 2 != 0 {
        let mut space = MaybeUninit::<[u8; 1]>::uninit();
        let [last] = *packet.header(to - 1, &mut space)?;
        sum = sum.plus(Delta::of_half([last, 0]));
    }
    whole.then_some(sum)
}

#[expect(clippy::cast_possible_truncation, reason = "at most 64 KiB / 2")]
const fn rounds(number: usize) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use etherparse::{IpNumber, PacketBuilder};
    use proptest::prelude::*;

    use super::*;
    use crate::host::{HostPacket, HostTables};

    const MACS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    const V4: ([u8; 4], [u8; 4]) = ([192, 0, 2, 1], [198, 51, 100, 7]);
    const V6: ([u8; 16], [u8; 16]) = ([0x20; 16], [0xfd; 16]);

    fn find(bytes: &[u8]) -> Soundness {
        soundness(&HostPacket::new(bytes.to_vec(), 1), &HostTables::default())
    }

    /// Each protocol whose checksum is known, in both families, with this payload; and where the IP header begins.
    fn packets(payload: &[u8]) -> Vec<(&'static str, usize, Vec<u8>)> {
        let link = || PacketBuilder::ethernet2(MACS.0, MACS.1);
        let v4 = || link().ipv4(V4.0, V4.1, 64);
        let v6 = || {
            link()
                .single_vlan(7.try_into().unwrap())
                .ipv6(V6.0, V6.1, 64)
        };
        let mut made = Vec::new();
        macro_rules! add {
            ($name:literal, $network:literal, $builder:expr) => {
                let mut bytes = Vec::new();
                $builder.write(&mut bytes, payload).unwrap();
                made.push(($name, $network, bytes));
            };
        }
        add!("tcp4", 14, v4().tcp(1, 2, 3, 4));
        add!("udp4", 14, v4().udp(1, 2));
        add!("icmp4", 14, v4().icmpv4_echo_request(1, 2));
        add!("tcp6", 18, v6().tcp(1, 2, 3, 4));
        add!("udp6", 18, v6().udp(1, 2));
        add!("icmp6", 18, v6().icmpv6_echo_request(1, 2));
        made
    }

    /// The IP packet of `inner`, which begins at `network`, inside an IPv4 one.
    fn wrapped(inner: &[u8], network: usize) -> Vec<u8> {
        let builder = PacketBuilder::ethernet2(MACS.0, MACS.1).ipv4(V4.0, V4.1, 64);
        let protocol = if inner[network] >> 4 == 4 {
            IpNumber::IPV4
        } else {
            IpNumber::IPV6
        };
        let mut bytes = Vec::new();
        builder
            .write(&mut bytes, protocol, &inner[network..])
            .unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn what_an_independent_library_builds_is_sound(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            for (name, network, bytes) in packets(&payload) {
                prop_assert_eq!(find(&bytes), Soundness::Sound, "{}", name);
                prop_assert_eq!(find(&wrapped(&bytes, network)), Soundness::Sound, "{} in IPv4", name);
            }
        }

        #[test]
        fn one_wrong_bit_of_a_payload_is_found(payload in prop::collection::vec(any::<u8>(), 1..200), at: prop::sample::Index, bit in 0_u8..8) {
            for (name, network, mut bytes) in packets(&payload) {
                let byte = bytes.len() - payload.len() + at.index(payload.len());
                bytes[byte] ^= 1_u8 << bit;
                prop_assert_eq!(find(&bytes), Soundness::Broken, "{}", name);
                prop_assert_eq!(find(&wrapped(&bytes, network)), Soundness::Broken, "{} in IPv4", name);
            }
        }
    }

    #[test]
    fn a_wrong_ip_header_is_found_and_so_is_one_around_a_sound_packet() {
        let (_, network, sound) = packets(&[1, 2, 3]).swap_remove(0);
        for whole in [sound.clone(), wrapped(&sound, network)] {
            let mut bytes = whole;
            // The TTL: in no other checksum.
            bytes[14 + 8] -= 1;
            assert_eq!(find(&bytes), Soundness::Broken);
        }
    }

    #[test]
    fn a_missing_udp_checksum_says_nothing() {
        for (name, _, mut bytes) in packets(&[1, 2, 3]) {
            let check = bytes.len() - 3 - 2;
            bytes[check..check + 2].fill(0);
            match name {
                "udp4" | "udp6" => assert_eq!(find(&bytes), Soundness::Unknown),
                _ => {}
            }
        }
    }

    #[test]
    fn what_is_cut_short_or_no_ip_is_unknown() {
        for (name, network, bytes) in packets(&[9; 40]) {
            for length in 0..bytes.len() {
                let found = find(&bytes[..length]);
                assert_eq!(found, Soundness::Unknown, "{name}, {length} bytes");
            }
            let mut arp = bytes;
            arp[network - 2..network].copy_from_slice(&[8, 6]);
            assert_eq!(find(&arp), Soundness::Unknown);
        }
    }
}
