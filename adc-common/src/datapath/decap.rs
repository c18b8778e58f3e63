//! The decapsulator for backends: takes packets out of IP in IP and GUE variant 1, and leaves all else alone.

use core::mem::MaybeUninit;

use super::{
    checksum::{self, Delta},
    family::Family,
    parse::{self, Link},
    ports::PacketBuf,
    wire::EthernetHeader,
};
use crate::abi::{Addr4, Addr6, Addr16, DecapOutcome, Mac, Port, Protocol};
use network_types::{
    ip::{Ipv4Hdr, Ipv6Hdr},
    udp::UdpHdr,
};

/// Bytes of a UDP header.
const UDP: usize = size_of::<UdpHdr>();

/// ECN (RFC 3168 §5): not capable, and congestion experienced.
const NOT_ECT: u8 = 0;
const CE: u8 = 3;

/// What the decapsulator is told.
pub trait DecapTables {
    /// UDP port that GUE arrives on.
    fn port(&self) -> Port;

    /// Whether a frame to this MAC is for this machine.
    fn is_own(&self, destination: Mac) -> bool;

    /// Whether packets to this address are to be taken out.
    fn wants(&self, vip: &Addr16) -> bool;
}

/// A tunnel packet that is all there.
struct Tunnel {
    /// Offset of the packet inside.
    inner: usize,
    /// Where the frame's IP part ends.
    end: usize,
    /// Whether the outer header says so; GUE says it by the first four bits inside.
    v6: bool,
    ecn: u8,
}

/// Takes the packet out, if it is in a tunnel. Only [`DecapOutcome::Decapsulated`] has changed it.
#[inline(always)]
pub fn decapsulate<P: PacketBuf, T: DecapTables>(packet: &mut P, tables: &T) -> DecapOutcome {
    match take_out(packet, tables) {
        Ok(()) => DecapOutcome::Decapsulated,
        Err(outcome) => outcome,
    }
}

#[inline(always)]
fn take_out<P: PacketBuf, T: DecapTables>(packet: &mut P, tables: &T) -> Result<(), DecapOutcome> {
    let mut link = Link::default();
    if parse::link(packet, &mut link).is_err() {
        return Err(DecapOutcome::NotTunnelled);
    }
    let Link { frame, ethertype } = link;
    // To another host, or to a group: the kernel leaves it alone, too (RFC 1122 §3.3.6).
    if !tables.is_own(parse::dst_mac(packet)) {
        return Err(DecapOutcome::OtherHost);
    }
    let start = frame.network();
    let tunnel = if parse::is_ipv4(ethertype) {
        outer4(packet, start, tables.port())?
    } else if parse::is_ipv6(ethertype) {
        outer6(packet, start, tables.port())?
    } else {
        return Err(DecapOutcome::NotTunnelled);
    };
    let ethertype = if tunnel.v6 {
        inner6(packet, &tunnel, tables)?;
        Addr6::ETHERTYPE
    } else {
        inner4(packet, &tunnel, tables)?;
        Addr4::ETHERTYPE
    };
    move_link(packet, start, tunnel.inner - start, ethertype).ok_or(DecapOutcome::HeadroomError)
}

#[inline(always)]
fn outer4<P: PacketBuf>(packet: &P, start: usize, gue: Port) -> Result<Tunnel, DecapOutcome> {
    let mut ip = MaybeUninit::<Ipv4Hdr>::uninit();
    let Some(ip) = packet.header(start, &mut ip) else {
        return Err(DecapOutcome::NotTunnelled);
    };
    let header = usize::from(ip.vihl & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes(ip.tot_len));
    let room = packet.length().saturating_sub(start);
    if ip.vihl >> 4 != 4 || header < 20 || total < header || total > room {
        return Err(DecapOutcome::NotTunnelled);
    }
    let fragment = u16::from_be_bytes(ip.frags) & 0x3fff != 0;
    payload(
        packet,
        ip.proto,
        start + header,
        start + total,
        gue,
        fragment,
        ip.tos & 3,
    )
}

#[inline(always)]
fn outer6<P: PacketBuf>(packet: &P, start: usize, gue: Port) -> Result<Tunnel, DecapOutcome> {
    let mut ip = MaybeUninit::<Ipv6Hdr>::uninit();
    let Some(ip) = packet.header(start, &mut ip) else {
        return Err(DecapOutcome::NotTunnelled);
    };
    let [version, class, ..] = ip.vcf;
    let inner = start + size_of::<Ipv6Hdr>();
    let end = inner + usize::from(u16::from_be_bytes(ip.payload_len));
    if version >> 4 != 6 || end > packet.length() {
        return Err(DecapOutcome::NotTunnelled);
    }
    // Extension headers, of which a fragment header is one, are none of adc's making.
    payload(packet, ip.next_hdr, inner, end, gue, false, class >> 4 & 3)
}

/// What is in the payload at `offset`.
#[inline(always)]
fn payload<P: PacketBuf>(
    packet: &P,
    protocol: u8,
    offset: usize,
    end: usize,
    gue: Port,
    fragment: bool,
    ecn: u8,
) -> Result<Tunnel, DecapOutcome> {
    let tunnel = |inner, v6| Tunnel {
        inner,
        end,
        v6,
        ecn,
    };
    if protocol == Addr4::CARRIED_AS || protocol == Addr6::CARRIED_AS {
        if fragment {
            return Err(DecapOutcome::OuterFragment);
        }
        return Ok(tunnel(offset, protocol == Addr6::CARRIED_AS));
    }
    // The first fragment of a datagram shows its port; the others belong to the stack whatever they are.
    if protocol != Protocol::UDP.0 || offset + UDP + 2 > end {
        return Err(DecapOutcome::NotTunnelled);
    }
    let mut udp = MaybeUninit::<UdpHdr>::uninit();
    let Some(udp) = packet.header(offset, &mut udp) else {
        return Err(DecapOutcome::NotTunnelled);
    };
    if Port(udp.dst) != gue {
        return Err(DecapOutcome::NotTunnelled);
    }
    if fragment {
        return Err(DecapOutcome::OuterFragment);
    }
    let mut first = MaybeUninit::<[u8; 2]>::uninit();
    let Some([first, _]) = packet.header(offset + UDP, &mut first) else {
        return Err(DecapOutcome::Malformed);
    };
    match first >> 4 {
        4 => Ok(tunnel(offset + UDP, false)),
        6 => Ok(tunnel(offset + UDP, true)),
        // Variant 0 and its control messages belong to a GUE of the stack, if there is one.
        _ => Err(DecapOutcome::NotTunnelled),
    }
}

#[inline(always)]
fn inner4<P: PacketBuf, T: DecapTables>(
    packet: &mut P,
    tunnel: &Tunnel,
    tables: &T,
) -> Result<(), DecapOutcome> {
    let mut ip = MaybeUninit::<Ipv4Hdr>::uninit();
    let ip = packet
        .header(tunnel.inner, &mut ip)
        .ok_or(DecapOutcome::Malformed)?;
    let header = usize::from(ip.vihl & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes(ip.tot_len));
    if ip.vihl >> 4 != 4 || header < 20 || total < header || tunnel.inner + total > tunnel.end {
        return Err(DecapOutcome::Malformed);
    }
    if !tables.wants(&Addr4(ip.dst_addr).into()) {
        return Err(DecapOutcome::OtherVip);
    }
    let Some(mark) = mark(tunnel.ecn, ip.tos & 3)? else {
        return Ok(());
    };
    let (old, new) = ([ip.vihl, ip.tos], [ip.vihl, ip.tos | mark]);
    let change = Delta::replace16(u16::from_ne_bytes(old), u16::from_ne_bytes(new));
    let check = checksum::apply(ip.check, change);
    packet
        .set_header(tunnel.inner, &new)
        .and_then(|()| packet.set_header(tunnel.inner + 10, &check))
        .ok_or(DecapOutcome::Malformed)
}

#[inline(always)]
fn inner6<P: PacketBuf, T: DecapTables>(
    packet: &mut P,
    tunnel: &Tunnel,
    tables: &T,
) -> Result<(), DecapOutcome> {
    let mut ip = MaybeUninit::<Ipv6Hdr>::uninit();
    let ip = packet
        .header(tunnel.inner, &mut ip)
        .ok_or(DecapOutcome::Malformed)?;
    let payload = usize::from(u16::from_be_bytes(ip.payload_len));
    let [version, class, ..] = ip.vcf;
    if version >> 4 != 6 || tunnel.inner + size_of::<Ipv6Hdr>() + payload > tunnel.end {
        return Err(DecapOutcome::Malformed);
    }
    let mut vip = Addr6::default();
    vip.assign(&ip.dst_addr);
    if !tables.wants(&vip.into()) {
        return Err(DecapOutcome::OtherVip);
    }
    let Some(mark) = mark(tunnel.ecn, class >> 4 & 3)? else {
        return Ok(());
    };
    packet
        .set_header(tunnel.inner, &[version, class | mark << 4])
        .ok_or(DecapOutcome::Malformed)
}

/// What congestion on the way does to the packet inside: bits to set in its ECN field (RFC 6040 §4.2).
#[inline(always)]
fn mark(outer: u8, inner: u8) -> Result<Option<u8>, DecapOutcome> {
    match (outer, inner) {
        (CE, NOT_ECT) => Err(DecapOutcome::Congestion),
        (CE, CE) => Ok(None),
        (CE, _) => Ok(Some(CE)),
        _ => Ok(None),
    }
}

/// Moves Ethernet header and tags `shift` bytes on, to the packet inside, and cuts off what is before them.
#[inline(always)]
fn move_link<P: PacketBuf>(
    packet: &mut P,
    start: usize,
    shift: usize,
    ethertype: [u8; 2],
) -> Option<()> {
    const UNTAGGED: usize = size_of::<EthernetHeader>();
    let mut at = UNTAGGED;
    for _ in 0..2 {
        if at >= start {
            break;
        }
        let mut tag = MaybeUninit::<[u8; 4]>::uninit();
        let tag = *packet.header(at, &mut tag)?;
        packet.set_header(at + shift, &tag)?;
        at += 4;
    }
    let mut ethernet = MaybeUninit::<EthernetHeader>::uninit();
    let ethernet = *packet.header(0, &mut ethernet)?;
    packet.set_header(shift, &ethernet)?;
    packet.set_header(start + shift - 2, &ethertype)?;
    packet.shrink_head(shift).then_some(())
}
