//! Packets that are none of adc's business.

use std::net::IpAddr;

use etherparse::{
    ArpHardwareId, ArpOperation, ArpPacket, EtherType, Icmpv4Header, Icmpv4Type, Icmpv6Header,
    Icmpv6Type, IpNumber, Ipv4Header, Ipv6Header,
};

use super::frame::Envelope;

/// A frame of any EtherType.
pub fn ethernet(envelope: &Envelope, ethertype: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = envelope.link(EtherType(ethertype));
    frame.extend(body);
    frame
}

/// An ARP request for the destination.
///
/// # Panics
/// If the addresses are not IPv4.
pub fn arp(envelope: &Envelope) -> Vec<u8> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (envelope.from.ip(), envelope.to.ip()) else {
        panic!("ARP is about IPv4");
    };
    let request = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        ArpOperation::REQUEST,
        &envelope.from_mac.0,
        &from.octets(),
        &[0; 6],
        &to.octets(),
    )
    .expect("an ARP request");
    ethernet(envelope, EtherType::ARP.0, &request.to_bytes())
}

/// An echo request (ping), by the family of the addresses.
pub fn icmp_echo(envelope: &Envelope) -> Vec<u8> {
    let echo = etherparse::IcmpEchoHeader { id: 7, seq: 1 };
    match (envelope.from.ip(), envelope.to.ip()) {
        (IpAddr::V4(_), _) => {
            let header = Icmpv4Header::with_checksum(Icmpv4Type::EchoRequest(echo), b"ping");
            let mut body = header.to_bytes().to_vec();
            body.extend(b"ping");
            ipv4_protocol(envelope, IpNumber::ICMP.0, &body)
        }
        (IpAddr::V6(_), _) => icmp6(envelope, Icmpv6Type::EchoRequest(echo), b"ping"),
    }
}

/// Any ICMPv6 message: neighbour solicitations, advertisements, ...
///
/// # Panics
/// If the addresses are not IPv6.
pub fn icmp6(envelope: &Envelope, kind: Icmpv6Type, body: &[u8]) -> Vec<u8> {
    let (IpAddr::V6(from), IpAddr::V6(to)) = (envelope.from.ip(), envelope.to.ip()) else {
        panic!("ICMPv6 is for IPv6");
    };
    let header = Icmpv6Header::with_checksum(kind, from.octets(), to.octets(), body)
        .expect("message length");
    let mut message = header.to_bytes().to_vec();
    message.extend(body);
    ipv6_protocol(envelope, IpNumber::IPV6_ICMP.0, &message)
}

/// An IPv4 packet of any protocol.
///
/// # Panics
/// If the addresses are not IPv4.
pub fn ipv4_protocol(envelope: &Envelope, protocol: u8, body: &[u8]) -> Vec<u8> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (envelope.from.ip(), envelope.to.ip()) else {
        panic!("not IPv4");
    };
    let length = u16::try_from(body.len()).expect("packet length");
    let mut header = Ipv4Header::new(length, 64, IpNumber(protocol), from.octets(), to.octets())
        .expect("length");
    header.header_checksum = header.calc_header_checksum();
    let mut packet = header.to_bytes().to_vec();
    packet.extend(body);
    ethernet(envelope, EtherType::IPV4.0, &packet)
}

/// An IPv6 packet of any next header.
///
/// # Panics
/// If the addresses are not IPv6.
pub fn ipv6_protocol(envelope: &Envelope, next_header: u8, body: &[u8]) -> Vec<u8> {
    let (IpAddr::V6(from), IpAddr::V6(to)) = (envelope.from.ip(), envelope.to.ip()) else {
        panic!("not IPv6");
    };
    let header = Ipv6Header {
        payload_length: u16::try_from(body.len()).expect("packet length"),
        next_header: IpNumber(next_header),
        hop_limit: 255,
        source: from.octets(),
        destination: to.octets(),
        ..Ipv6Header::default()
    };
    let mut packet = header.to_bytes().to_vec();
    packet.extend(body);
    ethernet(envelope, EtherType::IPV6.0, &packet)
}
