//! What the IP headers of a fragment say.

use core::mem::MaybeUninit;

use super::{
    parse::{Frame, walk_extensions},
    ports::PacketBuf,
    quote::Quote,
    wire::FragmentHeader,
};
use crate::abi::{Addr4, Addr6, FlowKey, Protocol, Reason};
use network_types::ip::{Ipv4Hdr, Ipv6Hdr};

/// Largest datagram that fragments can make up: what the length field of an IPv4 header can say.
pub(super) const LONGEST: usize = 65_535;

/// Where a fragment belongs.
pub(super) struct Piece {
    pub(super) id: u32,
    /// Where in the datagram it starts, in bytes.
    pub(super) offset: usize,
    /// How much of the datagram it holds, in bytes.
    pub(super) length: usize,
    /// How much of that is behind the extension headers of the datagram.
    pub(super) left: usize,
    /// Whether others follow it.
    pub(super) more: bool,
}

/// A family whose fragments can be understood.
pub(super) trait Fragments: Quote {
    /// Whether two first fragments with one identification are an attack. In IPv4 its 16 bits repeat themselves.
    const ONE_FIRST: bool;

    /// Protocol to put into a [`crate::abi::FragmentKey`].
    fn key_protocol(protocol: Protocol) -> Protocol;

    /// Whether a datagram may be TCP or UDP of which a later fragment names this protocol.
    fn may_hold_ports(protocol: Protocol) -> bool;

    /// Reads what the IP header, or the fragment header at `frame`'s transport offset, says about the fragment. Moves that
    /// offset, and the protocol in `key`, to the first header behind.
    fn piece<P: PacketBuf>(
        packet: &P,
        frame: &mut Frame,
        key: &mut FlowKey<Self>,
    ) -> Result<Piece, Reason>;
}

impl Piece {
    /// `word`: the offset in units of eight bytes. A datagram over the longest, and a fragment but the last that is no
    /// multiple of eight, can not be put together (RFC 8200 §4.5).
    #[inline(always)]
    fn new(id: u32, word: u16, more: bool, length: usize) -> Result<Self, Reason> {
        let offset = usize::from(word) * 8;
        let ragged = more && !length.is_multiple_of(8);
        if ragged || length == 0 || offset + length > LONGEST {
            return Err(Reason::BadIpHeader);
        }
        Ok(Self {
            id,
            offset,
            length,
            left: length,
            more,
        })
    }
}

impl Fragments for Addr4 {
    const ONE_FIRST: bool = false;

    #[inline(always)]
    fn key_protocol(protocol: Protocol) -> Protocol {
        protocol
    }

    #[inline(always)]
    fn may_hold_ports(protocol: Protocol) -> bool {
        matches!(protocol, Protocol::TCP | Protocol::UDP | Protocol::SCTP)
    }

    #[inline(always)]
    fn piece<P: PacketBuf>(
        packet: &P,
        frame: &mut Frame,
        _key: &mut FlowKey<Self>,
    ) -> Result<Piece, Reason> {
        let mut ip = MaybeUninit::<Ipv4Hdr>::uninit();
        let ip = packet
            .header(frame.network(), &mut ip)
            .ok_or(Reason::TruncatedIp)?;
        let header_length = usize::from(ip.vihl & 0x0f) * 4;
        let length = usize::from(u16::from_be_bytes(ip.tot_len)).saturating_sub(header_length);
        frame.set_transport(frame.network() + header_length);
        // RFC 791 §3.1: the low 13 bits are the offset, bit 13 is "more fragments".
        let word = u16::from_be_bytes(ip.frags);
        let id = u32::from(u16::from_be_bytes(ip.id));
        Piece::new(id, word & 0x1fff, word & 0x2000 != 0, length)
    }
}

impl Fragments for Addr6 {
    const ONE_FIRST: bool = true;

    #[inline(always)]
    fn key_protocol(_protocol: Protocol) -> Protocol {
        Protocol(0)
    }

    #[inline(always)]
    fn may_hold_ports(protocol: Protocol) -> bool {
        // The first header behind the fragment header: routing, authentication and destination options may stand there.
        matches!(
            protocol,
            Protocol::TCP | Protocol::UDP | Protocol::SCTP | Protocol(43 | 51 | 60)
        )
    }

    #[inline(always)]
    fn piece<P: PacketBuf>(
        packet: &P,
        frame: &mut Frame,
        key: &mut FlowKey<Self>,
    ) -> Result<Piece, Reason> {
        let mut ip = MaybeUninit::<Ipv6Hdr>::uninit();
        let ip = packet
            .header(frame.network(), &mut ip)
            .ok_or(Reason::TruncatedIp)?;
        let payload = usize::from(u16::from_be_bytes(ip.payload_len));
        let end = frame.network() + size_of::<Ipv6Hdr>() + payload;
        let mut header = MaybeUninit::<FragmentHeader>::uninit();
        let header = *packet
            .header(frame.transport(), &mut header)
            .ok_or(Reason::BadExtensionHeaders)?;
        let start = frame.transport() + size_of::<FragmentHeader>();
        let length = end.saturating_sub(start);
        let word = u16::from_be_bytes(header.offset_and_more);
        let id = u32::from_be_bytes(header.id);
        let mut piece = Piece::new(id, word >> 3, word & 1 != 0, length)?;
        key.protocol = Protocol(header.next);
        frame.set_transport(start);
        if piece.offset == 0 {
            let (protocol, offset) = walk_extensions(packet, header.next, start)?;
            key.protocol = protocol;
            frame.set_transport(offset);
            piece.left = end.checked_sub(offset).ok_or(Reason::BadExtensionHeaders)?;
        }
        Ok(piece)
    }
}
