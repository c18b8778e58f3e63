//! Which packets a capture may want, told before the walk. Coarse on purpose: the agent decides, this only spares it
//! what can not match.

use core::mem::MaybeUninit;

use super::{
    parse::{self, Link},
    ports::PacketBuf,
    wire::Ports,
};
use crate::abi::{Addr4, Addr6, Addr16, CaptureBits, CaptureSetup, Port, Protocol};
use network_types::ip::{Ipv4Hdr, Ipv6Hdr};

/// What of a packet a capture can ask for.
struct Sighting {
    from: Addr16,
    to: Addr16,
    protocol: Protocol,
    /// Where TCP, UDP or SCTP begins, if that can be told without walking headers.
    transport: Option<usize>,
}

/// Whether the packet may be one that is asked for. False only if it is certain not to be.
#[inline(never)]
pub fn may_match<P: PacketBuf>(packet: &P, setup: &CaptureSetup) -> bool {
    let asks = |bit: CaptureBits| setup.wants.contains(bit);
    if !asks(CaptureBits::HOST) && !asks(CaptureBits::PORT) && !asks(CaptureBits::PROTOCOL) {
        return true;
    }
    let Some(seen) = sight(packet) else {
        return false;
    };
    if asks(CaptureBits::HOST) && seen.from != setup.host && seen.to != setup.host {
        return false;
    }
    let Some(transport) = seen.transport else {
        // Behind extension headers, or in a fragment: the agent will see.
        return true;
    };
    if asks(CaptureBits::PROTOCOL) && seen.protocol != setup.protocol {
        return false;
    }
    if !asks(CaptureBits::PORT) {
        return true;
    }
    if !matches!(
        seen.protocol,
        Protocol::TCP | Protocol::UDP | Protocol::SCTP
    ) {
        return false;
    }
    let mut ports = MaybeUninit::<Ports>::uninit();
    packet
        .header(transport, &mut ports)
        .is_some_and(|ports| Port(ports.source) == setup.port || Port(ports.dest) == setup.port)
}

/// `None` if it is not IP.
#[inline(always)]
fn sight<P: PacketBuf>(packet: &P) -> Option<Sighting> {
    let mut link = Link::default();
    parse::link(packet, &mut link).ok()?;
    let start = link.frame.network();
    if parse::is_ipv4(link.ethertype) {
        let mut ip = MaybeUninit::<Ipv4Hdr>::uninit();
        let ip = packet.header(start, &mut ip)?;
        let length = usize::from(ip.vihl & 0x0f) * 4;
        // RFC 791 §3.1: the low 13 bits are the offset.
        let fragment_offset = u16::from_be_bytes(ip.frags) & 0x1fff;
        Some(Sighting {
            from: Addr4(ip.src_addr).into(),
            to: Addr4(ip.dst_addr).into(),
            protocol: Protocol(ip.proto),
            transport: (fragment_offset == 0).then_some(start + length),
        })
    } else if parse::is_ipv6(link.ethertype) {
        let mut ip = MaybeUninit::<Ipv6Hdr>::uninit();
        let ip = packet.header(start, &mut ip)?;
        let protocol = Protocol(ip.next_hdr);
        let is_last = matches!(
            protocol,
            Protocol::TCP | Protocol::UDP | Protocol::SCTP | Protocol::ICMP6
        );
        Some(Sighting {
            from: Addr6(ip.src_addr).into(),
            to: Addr6(ip.dst_addr).into(),
            protocol,
            transport: is_last.then_some(start + size_of::<Ipv6Hdr>()),
        })
    } else {
        None
    }
}
