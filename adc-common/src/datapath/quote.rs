//! The packet inside an ICMP error: the start of one that this node sent, as it sent it.

use core::mem::MaybeUninit;

use super::{
    checksum::{self, Delta},
    family::Family,
    parse::{Parse, walk_extensions},
    ports::PacketBuf,
    wire::{FragmentHeader, Ipv4Tail, Ipv6Tail, Ports},
};
use crate::abi::{Addr4, Addr6, FlowKey, Port, Protocol, Reason};
use network_types::ip::{Ipv4Hdr, Ipv6Hdr};

/// What every router quotes behind the IP header (RFC 792): enough for the ports.
const SHORTEST: usize = 8;

/// What an ICMP message is to the packet walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A question whether the address lives.
    EchoRequest,
    /// News about a packet, with its start.
    Error,
    /// Anything else: neighbour discovery, redirects, answers, ...
    Other,
}

/// A family whose ICMP errors can be understood.
pub(super) trait Quote: Parse {
    /// Protocol number of its ICMP.
    const ICMP: Protocol;

    /// Whether the ICMP checksum covers the addresses of the IP header too.
    const PSEUDO_HEADER: bool;

    /// What messages of this type are.
    fn message(kind: u8) -> Message;

    /// Offset of the first byte behind the IP packet whose header is at `network`; Ethernet may pad a short frame.
    fn end<P: PacketBuf>(packet: &P, network: usize) -> Option<usize>;

    /// Reads the quoted packet at `at`, of which there is nothing from `end` on. Leaves in `key` what matches a packet
    /// that travels as the error does, the reverse of the quoted one; returns the offset of the quoted ports.
    fn quoted<P: PacketBuf>(
        packet: &P,
        at: usize,
        end: usize,
        key: &mut FlowKey<Self>,
    ) -> Result<usize, Reason>;

    /// Writes addresses into the quoted header at `offset`. `addresses` is what they change in a sum; returned is what
    /// all that was written changes in the sum around it.
    fn rewrite_quoted<P: PacketBuf>(
        packet: &mut P,
        offset: usize,
        src: Self,
        dst: Self,
        addresses: Delta,
    ) -> Option<Delta>;
}

/// Turns a quoted packet into the key of the direction in which the error travels.
#[inline(always)]
fn reverse<A: Family, P: PacketBuf>(
    packet: &P,
    transport: usize,
    end: usize,
    protocol: Protocol,
    key: &mut FlowKey<A>,
) -> Result<usize, Reason> {
    if protocol != Protocol::TCP && protocol != Protocol::UDP && protocol != Protocol::SCTP {
        return Err(Reason::OtherProtocol);
    }
    if transport + SHORTEST > end {
        return Err(Reason::BadIcmpError);
    }
    let mut ports = MaybeUninit::<Ports>::uninit();
    let ports = packet
        .header(transport, &mut ports)
        .ok_or(Reason::BadIcmpError)?;
    key.tuple.sport = Port(ports.dest);
    key.tuple.dport = Port(ports.source);
    key.protocol = protocol;
    Ok(transport)
}

impl Quote for Addr4 {
    const ICMP: Protocol = Protocol::ICMP;
    const PSEUDO_HEADER: bool = false;

    #[inline(always)]
    fn message(kind: u8) -> Message {
        // RFC 792. Source quench (4) is to be ignored (RFC 6633), a redirect (5) is for the host it is sent to.
        match kind {
            8 => Message::EchoRequest,
            3 | 11 | 12 => Message::Error,
            _ => Message::Other,
        }
    }

    #[inline(always)]
    fn end<P: PacketBuf>(packet: &P, network: usize) -> Option<usize> {
        let mut ip = MaybeUninit::<Ipv4Hdr>::uninit();
        let ip = packet.header(network, &mut ip)?;
        Some(network + usize::from(u16::from_be_bytes(ip.tot_len)))
    }

    #[inline(always)]
    fn quoted<P: PacketBuf>(
        packet: &P,
        at: usize,
        end: usize,
        key: &mut FlowKey<Self>,
    ) -> Result<usize, Reason> {
        let mut ip = MaybeUninit::<Ipv4Hdr>::uninit();
        let ip = packet.header(at, &mut ip).ok_or(Reason::BadIcmpError)?;
        let header_length = usize::from(ip.vihl & 0x0f) * 4;
        if ip.vihl >> 4 != 4 || header_length < 20 {
            return Err(Reason::BadIcmpError);
        }
        if u16::from_be_bytes(ip.frags) & 0x1fff != 0 {
            return Err(Reason::IcmpErrorAboutFragment);
        }
        key.tuple.src = Self(ip.dst_addr);
        key.tuple.dst = Self(ip.src_addr);
        reverse(packet, at + header_length, end, Protocol(ip.proto), key)
    }

    #[inline(always)]
    fn rewrite_quoted<P: PacketBuf>(
        packet: &mut P,
        offset: usize,
        src: Self,
        dst: Self,
        addresses: Delta,
    ) -> Option<Delta> {
        let offset = offset + Ipv4Tail::OFFSET;
        let mut tail = MaybeUninit::<Ipv4Tail>::uninit();
        let mut tail = *packet.header(offset, &mut tail)?;
        let before = tail.check;
        tail.check = checksum::apply(before, addresses);
        tail.src_addr = src.0;
        tail.dst_addr = dst.0;
        packet.set_header(offset, &tail)?;
        let check = Delta::replace16(u16::from_ne_bytes(before), u16::from_ne_bytes(tail.check));
        Some(addresses.plus(check))
    }
}

impl Quote for Addr6 {
    const ICMP: Protocol = Protocol::ICMP6;
    const PSEUDO_HEADER: bool = true;

    #[inline(always)]
    fn message(kind: u8) -> Message {
        // RFC 4443 §2.1: unreachable, packet too big, time exceeded, parameter problem.
        match kind {
            128 => Message::EchoRequest,
            1..=4 => Message::Error,
            _ => Message::Other,
        }
    }

    #[inline(always)]
    fn end<P: PacketBuf>(packet: &P, network: usize) -> Option<usize> {
        let mut ip = MaybeUninit::<Ipv6Hdr>::uninit();
        let ip = packet.header(network, &mut ip)?;
        let payload = usize::from(u16::from_be_bytes(ip.payload_len));
        Some(network + size_of::<Ipv6Hdr>() + payload)
    }

    #[inline(always)]
    fn quoted<P: PacketBuf>(
        packet: &P,
        at: usize,
        end: usize,
        key: &mut FlowKey<Self>,
    ) -> Result<usize, Reason> {
        let mut ip = MaybeUninit::<Ipv6Hdr>::uninit();
        let ip = packet.header(at, &mut ip).ok_or(Reason::BadIcmpError)?;
        let [vcf, ..] = ip.vcf;
        if vcf >> 4 != 6 {
            return Err(Reason::BadIcmpError);
        }
        key.tuple.src.assign(&ip.dst_addr);
        key.tuple.dst.assign(&ip.src_addr);
        let next = ip.next_hdr;
        let (mut protocol, mut transport) =
            walk_extensions(packet, next, at + size_of::<Ipv6Hdr>())
                .map_err(|_reason| Reason::BadIcmpError)?;
        if protocol == Protocol::FRAGMENT {
            let mut header = MaybeUninit::<FragmentHeader>::uninit();
            let header = packet
                .header(transport, &mut header)
                .ok_or(Reason::BadIcmpError)?;
            if u16::from_be_bytes(header.offset_and_more) >> 3 != 0 {
                return Err(Reason::IcmpErrorAboutFragment);
            }
            protocol = Protocol(header.next);
            transport += size_of::<FragmentHeader>();
        }
        reverse(packet, transport, end, protocol, key)
    }

    #[inline(always)]
    fn rewrite_quoted<P: PacketBuf>(
        packet: &mut P,
        offset: usize,
        src: Self,
        dst: Self,
        addresses: Delta,
    ) -> Option<Delta> {
        let offset = offset + Ipv6Tail::OFFSET;
        let mut tail = MaybeUninit::<Ipv6Tail>::uninit();
        let mut tail = *packet.header(offset, &mut tail)?;
        tail.src_addr = src.0;
        tail.dst_addr = dst.0;
        packet.set_header(offset, &tail)?;
        Some(addresses)
    }
}
