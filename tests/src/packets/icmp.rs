//! ICMP errors as a router would send them.

use std::net::IpAddr;

use etherparse::{
    Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpDscp, IpNumber, Ipv4Header, Ipv6Header,
    icmpv4, icmpv6,
};

use super::ip_offset;

/// What a router at `from` answers to a frame that is too big for a link of this MTU.
///
/// # Panics
/// If the frame is no IP packet of `from`'s family.
pub fn too_big(frame: &[u8], from: IpAddr, mtu: u16) -> Vec<u8> {
    let needed = icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu };
    error(
        frame,
        from,
        Icmpv4Type::DestinationUnreachable(needed),
        Icmpv6Type::PacketTooBig { mtu: mtu.into() },
    )
}

/// What a router at `from` answers to a frame whose TTL ends there.
///
/// # Panics
/// If the frame is no IP packet of `from`'s family.
pub fn time_exceeded(frame: &[u8], from: IpAddr) -> Vec<u8> {
    error(
        frame,
        from,
        Icmpv4Type::TimeExceeded(icmpv4::TimeExceededCode::TtlExceededInTransit),
        Icmpv6Type::TimeExceeded(icmpv6::TimeExceededCode::HopLimitExceeded),
    )
}

fn error(frame: &[u8], from: IpAddr, v4: Icmpv4Type, v6: Icmpv6Type) -> Vec<u8> {
    let at = ip_offset(frame);
    let packet = &frame[at..];
    // Back the way it came, tags and all.
    let mut answer = frame[6..12].to_vec();
    answer.extend(&frame[..6]);
    answer.extend(&frame[12..at]);
    match from {
        IpAddr::V4(from) => {
            let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
            let quote = &packet[..length.min(548) & !3];
            let to: [u8; 4] = packet[12..16].try_into().expect("four bytes");
            let icmp = Icmpv4Header::with_checksum(v4, quote);
            let payload = u16::try_from(quote.len() + 8).expect("short");
            let mut header =
                Ipv4Header::new(payload, 64, IpNumber::ICMP, from.octets(), to).expect("short");
            header.dscp = IpDscp::try_new(0x30).expect("6 bits");
            header.header_checksum = header.calc_header_checksum();
            answer.extend(header.to_bytes());
            answer.extend(icmp.to_bytes());
            answer.extend(quote);
        }
        IpAddr::V6(from) => {
            let length = 40 + usize::from(u16::from_be_bytes([packet[4], packet[5]]));
            let quote = &packet[..length.min(1232) & !3];
            let to: [u8; 16] = packet[8..24].try_into().expect("sixteen bytes");
            let icmp = Icmpv6Header::with_checksum(v6, from.octets(), to, quote).expect("short");
            let header = Ipv6Header {
                payload_length: u16::try_from(quote.len() + 8).expect("short"),
                next_header: IpNumber::IPV6_ICMP,
                hop_limit: 64,
                source: from.octets(),
                destination: to,
                ..Ipv6Header::default()
            };
            answer.extend(header.to_bytes());
            answer.extend(icmp.to_bytes());
            answer.extend(quote);
        }
    }
    answer
}
