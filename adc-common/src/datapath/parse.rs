//! Packet → [`Frame`] and flow key. All bounds are decided here.

use core::mem::MaybeUninit;

use super::{
    family::Family,
    ports::PacketBuf,
    tags::{Tags, UNTAGGED, is_tagged},
    wire::{EthernetHeader, ExtensionHeader, Ports, TcpControl, tcp_flags},
};
use crate::abi::{
    Addr4, Addr6, FlowKey, InterfaceId, MAX_INTERFACES, Mac, Port, Protocol, Reason, VlanId,
};
use network_types::{
    ip::{Ipv4Hdr, Ipv6Hdr},
    udp::UdpHdr,
};

/// Extension headers that are walked before a packet is refused. Linux has no limit; real packets
/// carry at most hop-by-hop, destination options, routing and fragment.
const MAX_EXTENSION_HEADERS: usize = 6;

/// Sender of the frame.
#[inline(always)]
pub(super) fn src_mac<P: PacketBuf>(packet: &P) -> Mac {
    let mut ethernet = MaybeUninit::<EthernetHeader>::uninit();
    match packet.header(0, &mut ethernet) {
        Some(ethernet) => Mac(ethernet.src),
        None => Mac::default(),
    }
}

/// Whom the frame is for.
#[inline(always)]
pub(super) fn dst_mac<P: PacketBuf>(packet: &P) -> Mac {
    // Two words, which stay words; the six bytes of a header are loaded one by one.
    let mut front = MaybeUninit::<[u8; 8]>::uninit();
    match packet.header(0, &mut front) {
        Some(front) => Mac::at_front(*front),
        None => Mac::default(),
    }
}

/// Where the layers of a frame start, and what of them every later step needs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    /// Offset of the IP header.
    network: u16,
    /// Offset of the TCP, UDP or SCTP header.
    transport: u16,
    /// Priority and drop-eligible bits of the outer tag, where they are in its TCI; 0 without one.
    pub(super) outer_tci: u16,
    /// The same of the inner tag.
    pub(super) inner_tci: u16,
    /// TCP flags, or what means the same in SCTP; 0 for UDP.
    pub(super) flags: u8,
    /// TTL or hop limit.
    pub(super) hop_limit: u8,
    /// 1 for a first fragment: there is more of the packet than this; `crossing::LATER` for the others.
    pub(super) fragment: u8,
    /// Number of the interface it came in by, see [`Frame::ingress`].
    ingress: u8,
    /// The outer VLAN that it came in.
    pub(super) vlan: VlanId,
    /// The inner one; only ever with an outer one.
    pub(super) inner_vlan: VlanId,
}

/// The frame up to its IP header.
#[derive(Default)]
pub(super) struct Link {
    pub(super) frame: Frame,
    pub(super) ethertype: [u8; 2],
}

impl Frame {
    /// Offset of the IP header.
    #[inline(always)]
    pub(super) const fn network(&self) -> usize {
        self.network as usize
    }

    /// Offset of the TCP or UDP header, or of what stands there instead.
    #[inline(always)]
    pub(super) const fn transport(&self) -> usize {
        self.transport as usize
    }

    /// The interface that the frame came in by; unset if adc is not attached to it.
    #[inline(always)]
    pub(super) const fn ingress(&self) -> InterfaceId {
        InterfaceId(self.ingress as u16)
    }

    /// Notes it.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "below MAX_INTERFACES")]
    pub(super) const fn set_ingress(&mut self, id: InterfaceId) {
        const { assert!(MAX_INTERFACES <= 1 << u8::BITS) };
        self.ingress = id.0 as u8;
    }

    /// Moves it.
    #[inline(always)]
    pub(super) const fn set_transport(&mut self, offset: usize) {
        self.transport = offset16(offset);
    }
}

/// Ethernet header and up to two tags.
#[inline(always)]
pub(super) fn link<P: PacketBuf>(packet: &P, link: &mut Link) -> Result<(), Reason> {
    let mut ethernet = MaybeUninit::<EthernetHeader>::uninit();
    let ethernet = packet
        .header(0, &mut ethernet)
        .ok_or(Reason::TruncatedEthernet)?;
    let Link { frame, ethertype } = link;
    frame.network = UNTAGGED;
    *ethertype = ethernet.ethertype;
    if !is_tagged(*ethertype) {
        return Ok(());
    }
    let tags = Tags::read(packet).ok_or(Reason::TruncatedEthernet)?;
    frame.network = tags.end();
    frame.outer_tci = tags.outer_priority();
    frame.inner_tci = tags.inner_priority();
    frame.vlan = tags.vlan();
    frame.inner_vlan = tags.inner_vlan();
    *ethertype = tags.ethertype();
    Ok(())
}

/// An offset as a frame keeps it: header chains end far below 64 KiB (22 + 40 bytes, then at most six
/// extension headers of 2 048 bytes each).
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "see above")]
pub(super) const fn offset16(offset: usize) -> u16 {
    offset as u16
}

/// Whether the EtherType is one that adc balances.
#[inline(always)]
pub(super) fn is_ipv4(ethertype: [u8; 2]) -> bool {
    ethertype == Addr4::ETHERTYPE
}

/// Whether the EtherType is IPv6.
#[inline(always)]
pub(super) fn is_ipv6(ethertype: [u8; 2]) -> bool {
    ethertype == Addr6::ETHERTYPE
}

/// A family whose packets can be parsed.
pub(super) trait Parse: Family {
    /// Everything from the IP header on: fills `frame` and `key`. On error `key` holds what could be read,
    /// so that the caller can tell whether the packet is ours.
    fn parse<P: PacketBuf>(
        packet: &P,
        frame: &mut Frame,
        key: &mut FlowKey<Self>,
    ) -> Result<(), Reason>;
}

impl Parse for Addr4 {
    #[inline(always)]
    fn parse<P: PacketBuf>(
        packet: &P,
        frame: &mut Frame,
        key: &mut FlowKey<Self>,
    ) -> Result<(), Reason> {
        let start = frame.network();
        let mut ip = MaybeUninit::<Ipv4Hdr>::uninit();
        let ip = packet.header(start, &mut ip).ok_or(Reason::TruncatedIp)?;
        key.tuple.src = Self(ip.src_addr);
        key.tuple.dst = Self(ip.dst_addr);
        key.protocol = Protocol(ip.proto);
        frame.hop_limit = ip.ttl;
        let header_length = usize::from(ip.vihl & 0x0f) * 4;
        let total = usize::from(u16::from_be_bytes(ip.tot_len));
        let room = packet.length().saturating_sub(start);
        if ip.vihl >> 4 != 4 || header_length < 20 || total < header_length || total > room {
            return Err(Reason::BadIpHeader);
        }
        // RFC 791 §3.1: the low 13 bits are the offset, bit 13 is "more fragments".
        if u16::from_be_bytes(ip.frags) & 0x3fff != 0 {
            return Err(Reason::Fragment);
        }
        frame.transport = offset16(start + header_length);
        transport(packet, frame, key, total - header_length)
    }
}

impl Parse for Addr6 {
    #[inline(always)]
    fn parse<P: PacketBuf>(
        packet: &P,
        frame: &mut Frame,
        key: &mut FlowKey<Self>,
    ) -> Result<(), Reason> {
        let mut ip = MaybeUninit::<Ipv6Hdr>::uninit();
        let ip = packet
            .header(frame.network(), &mut ip)
            .ok_or(Reason::TruncatedIp)?;
        key.tuple.src.assign(&ip.src_addr);
        key.tuple.dst.assign(&ip.dst_addr);
        frame.hop_limit = ip.hop_limit;
        let payload = usize::from(u16::from_be_bytes(ip.payload_len));
        let start = frame.network() + size_of::<Ipv6Hdr>();
        let [vcf, ..] = ip.vcf;
        if vcf >> 4 != 6 || payload > packet.length().saturating_sub(start) {
            return Err(Reason::BadIpHeader);
        }
        let (protocol, offset) = walk_extensions(packet, ip.next_hdr, start)?;
        key.protocol = protocol;
        frame.transport = offset16(offset);
        if protocol == Protocol::FRAGMENT {
            return Err(Reason::Fragment);
        }
        let left = (start + payload)
            .checked_sub(offset)
            .ok_or(Reason::BadExtensionHeaders)?;
        transport(packet, frame, key, left)
    }
}

/// RFC 8200 §4: follows the chain to a header that is not an extension, or to a fragment header: behind that, only the
/// first fragment has more of the chain.
#[inline(always)]
pub(super) fn walk_extensions<P: PacketBuf>(
    packet: &P,
    first: u8,
    start: usize,
) -> Result<(Protocol, usize), Reason> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const AUTHENTICATION: u8 = 51;
    const DESTINATION: u8 = 60;
    let mut next = first;
    let mut offset = start;
    for _ in 0..MAX_EXTENSION_HEADERS {
        match next {
            HOP_BY_HOP | ROUTING | DESTINATION | AUTHENTICATION => {}
            _ => return Ok((Protocol(next), offset)),
        }
        let mut header = MaybeUninit::<ExtensionHeader>::uninit();
        let Some(header) = packet.header(offset, &mut header) else {
            return Err(Reason::BadExtensionHeaders);
        };
        // Not at its last address yet: neither address nor checksum are what they seem (RFC 8200 §4.4, §8.1).
        if next == ROUTING && header.segments_left != 0 {
            return Err(Reason::BadExtensionHeaders);
        }
        // RFC 8200: 8-byte units without the first; RFC 4302 §2.2: 4-byte units minus two.
        let length = usize::from(header.length);
        offset += if next == AUTHENTICATION {
            (length + 2) * 4
        } else {
            (length + 1) * 8
        };
        next = header.next;
    }
    match next {
        HOP_BY_HOP | ROUTING | DESTINATION | AUTHENTICATION => Err(Reason::BadExtensionHeaders),
        _ => Ok((Protocol(next), offset)),
    }
}

/// Ports and flags; `length` is what IP says the segment has.
#[inline(always)]
pub(super) fn transport<A: Family, P: PacketBuf>(
    packet: &P,
    frame: &mut Frame,
    key: &mut FlowKey<A>,
    length: usize,
) -> Result<(), Reason> {
    if key.protocol != Protocol::TCP && key.protocol != Protocol::UDP {
        return Err(Reason::OtherProtocol);
    }
    let mut ports = MaybeUninit::<Ports>::uninit();
    let ports = packet
        .header(frame.transport(), &mut ports)
        .ok_or(Reason::TruncatedTransport)?;
    key.tuple.sport = Port(ports.source);
    key.tuple.dport = Port(ports.dest);
    if key.protocol == Protocol::TCP {
        tcp(packet, frame, length)?;
    } else {
        udp(packet, frame.transport(), length)?;
    }
    if key.tuple.sport == Port([0, 0]) {
        Err(Reason::ZeroPort)
    } else {
        Ok(())
    }
}

#[inline(always)]
fn tcp<P: PacketBuf>(packet: &P, frame: &mut Frame, length: usize) -> Result<(), Reason> {
    if length < 20 {
        return Err(Reason::TruncatedTransport);
    }
    let mut tcp = MaybeUninit::<TcpControl>::uninit();
    let Some(tcp) = packet.header(frame.transport(), &mut tcp) else {
        return Err(Reason::TruncatedTransport);
    };
    let flags = tcp.flags;
    let header = usize::from(tcp.data_offset >> 4) * 4;
    if header < 20 || header > length {
        return Err(Reason::BadTransportHeader);
    }
    if !flags_are_legal(flags) {
        return Err(Reason::BadTcpFlags);
    }
    frame.flags = flags;
    Ok(())
}

#[inline(always)]
fn udp<P: PacketBuf>(packet: &P, offset: usize, length: usize) -> Result<(), Reason> {
    if length < 8 {
        return Err(Reason::TruncatedTransport);
    }
    let mut header = MaybeUninit::<UdpHdr>::uninit();
    let Some(header) = packet.header(offset, &mut header) else {
        return Err(Reason::TruncatedTransport);
    };
    let claimed = usize::from(u16::from_be_bytes(header.len));
    if claimed < 8 || claimed > length {
        Err(Reason::BadTransportHeader)
    } else {
        Ok(())
    }
}

/// Combinations of SYN, FIN, RST, ACK and URG that a stack may send; PSH, ECE and CWR say nothing here.
#[inline(always)]
const fn flags_are_legal(flags: u8) -> bool {
    use tcp_flags::{ACK, FIN, RST, SYN, URG};
    const LEGAL: u64 = 1 << SYN
        | 1 << (SYN | URG)
        | 1 << (SYN | ACK)
        | 1 << RST
        | 1 << (RST | ACK)
        | 1 << (FIN | ACK)
        | 1 << (FIN | ACK | URG)
        | 1 << ACK
        | 1 << (ACK | URG);
    LEGAL >> (flags & (SYN | FIN | RST | ACK | URG)) & 1 == 1
}
