//! Header overlays: what may be laid over packet bytes.

use network_types::{
    ip::{Ipv4Hdr, Ipv6Hdr},
    tcp::TcpHdr,
    udp::UdpHdr,
};

/// A type that may be laid over any bytes of a packet.
///
/// # Safety
///
/// `repr(C)`, alignment 1, no padding, every bit pattern valid: no `bool`, no `enum`, no reference.
pub unsafe trait WireHeader: Copy {
    /// Fails to compile for a type with an alignment over 1.
    const ALIGNED: () = assert!(align_of::<Self>() == 1);
}

macro_rules! wire_header {
    ($($ty:ty),*) => {
        $(
            // SAFETY: `repr(C)` structs of byte arrays only; the alignment is asserted.
            unsafe impl WireHeader for $ty {}
            const _: () = <$ty as WireHeader>::ALIGNED;
        )*
    };
}

/// Ethernet header up to the EtherType (IEEE 802.3). network-types has one, but with a `u16` in it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct EthernetHeader {
    pub(super) dst: [u8; 6],
    pub(super) src: [u8; 6],
    pub(super) ethertype: [u8; 2],
}

/// The four bytes of an 802.1Q or 802.1ad tag that follow its TPID: TCI, then the next EtherType.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct VlanTag {
    pub(super) tci: [u8; 2],
    pub(super) ethertype: [u8; 2],
}

/// Two tags, outer first, behind the outer TPID.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct VlanTags {
    pub(super) outer: VlanTag,
    pub(super) inner: VlanTag,
}

/// Source and destination port, as TCP, UDP and SCTP all start.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Ports {
    pub(super) source: [u8; 2],
    pub(super) dest: [u8; 2],
}

/// The part of an IPv4 header that forwarding changes: from the TTL to the end of the addresses.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Ipv4Tail {
    pub(super) ttl: u8,
    pub(super) proto: u8,
    pub(super) check: [u8; 2],
    pub(super) src_addr: [u8; 4],
    pub(super) dst_addr: [u8; 4],
}

/// The same of an IPv6 header, with the word that the hop limit is in.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Ipv6Tail {
    pub(super) payload_len: [u8; 2],
    pub(super) next_hdr: u8,
    pub(super) hop_limit: u8,
    pub(super) src_addr: [u8; 16],
    pub(super) dst_addr: [u8; 16],
}

/// ARP over Ethernet for IPv4 (RFC 826): hardware type, protocol type, their lengths and the operation in one, then the
/// addresses.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ArpRequest {
    pub(super) kind: [u8; 8],
    _sender: [u8; 10],
    _target_mac: [u8; 6],
    pub(super) target: [u8; 4],
}

/// An ARP message with addresses of six and sixteen bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ArpQuestion {
    pub(super) kind: [u8; 8],
    _sender: [u8; 22],
    _target_mac: [u8; 6],
    pub(super) target: [u8; 16],
}

/// A neighbour solicitation (RFC 4861 §4.3) without its options.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct NeighbourSolicitation {
    pub(super) kind: u8,
    _code_checksum_reserved: [u8; 7],
    pub(super) target: [u8; 16],
}

impl ArpRequest {
    /// Ethernet, IPv4, six and four bytes, a request.
    pub(super) const IPV4: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 1];
}

impl ArpQuestion {
    /// Ethernet, IPv6, six and sixteen bytes, an operation for experiments (`OP_EXP1`, RFC 5494 §2).
    pub(super) const SELF_TEST: [u8; 8] = [0, 1, 0x86, 0xdd, 6, 16, 0, 24];
}

impl NeighbourSolicitation {
    /// Its ICMPv6 type.
    pub(super) const KIND: u8 = 135;
}

impl Ipv4Tail {
    /// Where it starts in the header.
    pub(super) const OFFSET: usize = size_of::<Ipv4Hdr>() - size_of::<Self>();
}

impl Ipv6Tail {
    /// Where it starts in the header.
    pub(super) const OFFSET: usize = size_of::<Ipv6Hdr>() - size_of::<Self>();
}

/// A TCP header without options. network-types has data offset and flags only bit by bit.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct TcpControl {
    _ports_and_numbers: [u8; 12],
    /// Length of the header in the upper half, in words.
    pub(super) data_offset: u8,
    pub(super) flags: u8,
    pub(super) window: [u8; 2],
    _checksum_urgent: [u8; 4],
}

const _: () = assert!(size_of::<TcpControl>() == size_of::<TcpHdr>());

/// A TCP header without options, to be written: control is data offset, flags and window.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct BareTcp {
    pub(super) source: [u8; 2],
    pub(super) dest: [u8; 2],
    pub(super) seq: [u8; 4],
    pub(super) ack_seq: [u8; 4],
    pub(super) control: [u8; 4],
    pub(super) check: [u8; 2],
    pub(super) urgent: [u8; 2],
}

const _: () = assert!(size_of::<BareTcp>() == size_of::<TcpHdr>());

/// The first four bytes of an IPv6 extension header. All kinds share the first two (RFC 8200 §4), the others are
/// those of a routing header (§4.4).
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct ExtensionHeader {
    pub(super) next: u8,
    pub(super) length: u8,
    pub(super) routing_type: u8,
    pub(super) segments_left: u8,
}

/// The first eight bytes of an ICMP or ICMPv6 message (RFC 792, RFC 4443 §2.1).
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct IcmpHeader {
    pub(super) kind: u8,
    pub(super) code: u8,
    pub(super) check: [u8; 2],
    /// What it is depends on the type.
    pub(super) rest: [u8; 4],
}

/// An SCTP common header and the header of the first chunk (RFC 9260 §3).
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct SctpHeader {
    pub(super) ports: Ports,
    /// Verification tag.
    pub(super) tag: [u8; 4],
    /// CRC32c, least significant byte first.
    pub(super) check: [u8; 4],
    /// Type of the chunk.
    pub(super) kind: u8,
    _flags: u8,
    /// Bytes of the chunk, its header among them, padding not.
    pub(super) chunk_length: [u8; 2],
}

/// An IPv6 fragment header (RFC 8200 §4.5).
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct FragmentHeader {
    pub(super) next: u8,
    _reserved: u8,
    /// Offset in units of eight bytes in the upper 13 bits, "more fragments" in the lowest.
    pub(super) offset_and_more: [u8; 2],
    pub(super) id: [u8; 4],
}

wire_header!(
    EthernetHeader,
    VlanTag,
    VlanTags,
    Ports,
    Ipv4Tail,
    Ipv6Tail,
    TcpControl,
    BareTcp,
    ExtensionHeader,
    IcmpHeader,
    SctpHeader,
    FragmentHeader,
    ArpRequest,
    ArpQuestion,
    NeighbourSolicitation,
    [u8; 1],
    [u8; 2],
    [u8; 4],
    [u8; 8],
    [u8; 12],
    [u8; 16],
    [u8; 32]
);
wire_header!(Ipv4Hdr, Ipv6Hdr, TcpHdr, UdpHdr);

/// EtherType of IPv4.
pub(super) const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
/// EtherType of ARP (RFC 826).
pub(super) const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
/// EtherType of IPv6.
pub(super) const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];

/// TCP flag bits (RFC 9293 §3.1), byte 13 of the header.
pub(super) mod tcp_flags {
    pub(in super::super) const FIN: u8 = 0x01;
    pub(in super::super) const SYN: u8 = 0x02;
    pub(in super::super) const RST: u8 = 0x04;
    pub(in super::super) const ACK: u8 = 0x10;
    pub(in super::super) const URG: u8 = 0x20;
}

/// Offset of the sequence number in a TCP header.
pub(super) const TCP_SEQUENCE: usize = core::mem::offset_of!(TcpHdr, seq);
/// Offset of the acknowledgement number in a TCP header.
pub(super) const TCP_ACK: usize = core::mem::offset_of!(TcpHdr, ack_seq);
/// Offset of the checksum in a TCP header.
pub(super) const TCP_CHECKSUM: usize = core::mem::offset_of!(TcpHdr, check);
/// Offset of the checksum in an ICMP header.
pub(super) const ICMP_CHECKSUM: usize = core::mem::offset_of!(IcmpHeader, check);
/// Offset of the checksum in an SCTP packet.
pub(super) const SCTP_CHECKSUM: usize = core::mem::offset_of!(SctpHeader, check);
/// Offset of the checksum in a UDP header.
pub(super) const UDP_CHECKSUM: usize = core::mem::offset_of!(UdpHdr, check);
