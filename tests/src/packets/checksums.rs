//! Whether a frame's checksums are right, by etherparse, and by `crc` for SCTP.

use std::net::IpAddr;

use etherparse::{
    Icmpv4Header, Icmpv4Type, Ipv4HeaderSlice, NetSlice, SlicedPacket, TransportSlice,
};

use super::{
    frame::{tcp_checksum, udp_checksum},
    sctp::{SCTP, sctp_complaint},
};

/// Whether every checksum of a frame is right: IPv4 header, TCP, UDP, SCTP. UDP without a checksum is right; UDP
/// whose checksum of 0xffff was sent as 0 can not be told from that, so a test that cares compares bytes.
pub fn checksums_hold(frame: &[u8]) -> bool {
    complaint(frame).is_none()
}

/// What is wrong with a frame's checksums, if anything.
pub fn complaint(frame: &[u8]) -> Option<String> {
    let packet = match SlicedPacket::from_ethernet(frame) {
        Ok(packet) => packet,
        Err(error) => return Some(format!("does not parse: {error}")),
    };
    complaint_of(&packet)
}

/// The same of a packet that is quoted in an ICMP error; of one that was cut short only the IPv4 header can be judged.
fn complaint_of_quote(quote: &[u8]) -> Option<String> {
    let found = if let Ok(packet) = SlicedPacket::from_ip(quote) {
        complaint_of(&packet)
    } else {
        let header = Ipv4HeaderSlice::from_slice(quote).ok()?.to_header();
        let (found, right) = (header.header_checksum, header.calc_header_checksum());
        (found != right).then(|| format!("IPv4 header: {found:04x}, should be {right:04x}"))
    };
    found.map(|what| format!("quoted {what}"))
}

fn complaint_of(packet: &SlicedPacket<'_>) -> Option<String> {
    let (from, to): (IpAddr, IpAddr) = match &packet.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header().to_header();
            let (found, right) = (header.header_checksum, header.calc_header_checksum());
            if found != right {
                return Some(format!("IPv4 header: {found:04x}, should be {right:04x}"));
            }
            (header.source.into(), header.destination.into())
        }
        Some(NetSlice::Ipv6(ip)) => {
            let header = ip.header().to_header();
            (header.source.into(), header.destination.into())
        }
        Some(NetSlice::Arp(_)) | None => return None,
    };
    let (what, found, right) = match &packet.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let header = tcp.to_header();
            let right = tcp_checksum(&header, from, to, tcp.payload());
            ("TCP", header.checksum, right)
        }
        Some(TransportSlice::Udp(udp)) if udp.checksum() != 0 => {
            let header = udp.to_header();
            let right = udp_checksum(&header, from, to, udp.payload());
            ("UDP", header.checksum, right)
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            // As it stands: etherparse drops what a type has no use for.
            let raw = Icmpv4Type::Unknown {
                type_u8: icmp.type_u8(),
                code_u8: icmp.code_u8(),
                bytes5to8: icmp.bytes5to8(),
            };
            let right = Icmpv4Header::with_checksum(raw, icmp.payload()).checksum;
            if icmp.checksum() == right && matches!(icmp.type_u8(), 3 | 11 | 12) {
                return complaint_of_quote(icmp.payload());
            }
            ("ICMP", icmp.checksum(), right)
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            let (IpAddr::V6(from), IpAddr::V6(to)) = (from, to) else {
                return Some("ICMPv6 in IPv4".to_owned());
            };
            let holds = icmp.is_checksum_valid(from.octets(), to.octets());
            if holds && matches!(icmp.type_u8(), 1..=4) {
                return complaint_of_quote(icmp.payload());
            }
            return (!holds).then(|| "ICMPv6 checksum".to_owned());
        }
        None => {
            let payload = packet.net.as_ref()?.ip_payload_ref()?;
            let is_sctp = payload.ip_number.0 == SCTP && !payload.fragmented;
            return if is_sctp {
                sctp_complaint(payload.payload)
            } else {
                None
            };
        }
        _ => return None,
    };
    (found != right).then(|| format!("{what}: {found:04x}, should be {right:04x}"))
}

#[cfg(test)]
mod tests {
    use super::super::{Chunk, Envelope, MacAddress, Segment, flip_bit};
    use super::*;

    fn frames() -> Vec<Vec<u8>> {
        let ends = [
            ("192.0.2.1:40000", "203.0.113.10:80"),
            ("[2001:db8::1]:40000", "[2001:db8:1::10]:80"),
        ];
        let segments = [
            Segment::tcp("PA", 1, 2).data(b"odd"),
            Segment::udp(b"datagram"),
            Segment::sctp(7, &[Chunk::data(b"message")]),
        ];
        let mut frames = Vec::new();
        for (from, to) in ends {
            for segment in &segments {
                let envelope = Envelope {
                    to_mac: MacAddress::local(1, 1),
                    from_mac: MacAddress::local(1, 2),
                    tags: vec![],
                    from: from.parse().unwrap(),
                    to: to.parse().unwrap(),
                };
                frames.push(envelope.frame(segment));
            }
        }
        frames
    }

    #[test]
    fn frames_of_the_builder_hold() {
        for frame in frames() {
            assert_eq!(complaint(&frame), None);
        }
    }

    #[test]
    fn any_flipped_bit_of_the_payload_is_found() {
        for frame in frames() {
            for bit in 0..16 {
                let damaged = flip_bit(&frame, (frame.len() - 2) * 8 + bit);
                assert!(!checksums_hold(&damaged));
            }
        }
    }
}
