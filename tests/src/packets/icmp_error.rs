//! ICMP errors, and what they quote.

use std::net::IpAddr;

use etherparse::{Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type, IpNumber};

use super::{
    damage::ip_offset,
    frame::Envelope,
    other::{ipv4_protocol, ipv6_protocol},
};

/// An ICMP or ICMPv6 error.
#[derive(Clone, Debug)]
pub struct IcmpError {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Bytes 5 to 8: MTU, pointer, or zero.
    pub rest: [u8; 4],
    /// The packet it is about, from its IP header on, and whatever follows that.
    pub quote: Vec<u8>,
}

impl IcmpError {
    /// An error without a quote yet.
    pub fn new(kind: u8, code: u8) -> Self {
        Self {
            kind,
            code,
            rest: [0; 4],
            quote: Vec::new(),
        }
    }

    /// With bytes 5 to 8.
    #[must_use]
    pub fn rest(mut self, rest: [u8; 4]) -> Self {
        self.rest = rest;
        self
    }

    /// About the packet in `frame`, of which it has `length` bytes behind the Ethernet header.
    #[must_use]
    pub fn about(mut self, frame: &[u8], length: usize) -> Self {
        let packet = &frame[ip_offset(frame)..];
        self.quote = packet[..length.min(packet.len())].to_vec();
        self
    }

    /// With bytes behind the quoted packet.
    #[must_use]
    pub fn followed_by(mut self, bytes: &[u8]) -> Self {
        self.quote.extend(bytes);
        self
    }

    /// The frame that carries it, checksums right; `ttl` is that of the packet.
    ///
    /// # Panics
    /// If it is too long.
    pub fn frame(&self, envelope: &Envelope, ttl: u8) -> Vec<u8> {
        let (type_u8, code_u8, bytes5to8) = (self.kind, self.code, self.rest);
        let ends = (envelope.from.ip(), envelope.to.ip());
        let mut frame = if let (IpAddr::V6(from), IpAddr::V6(to)) = ends {
            let kind = Icmpv6Type::Unknown {
                type_u8,
                code_u8,
                bytes5to8,
            };
            let (from, to) = (from.octets(), to.octets());
            let header = Icmpv6Header::with_checksum(kind, from, to, &self.quote).expect("length");
            let message = [&header.to_bytes(), &self.quote[..]].concat();
            ipv6_protocol(envelope, IpNumber::IPV6_ICMP.0, &message)
        } else {
            let kind = Icmpv4Type::Unknown {
                type_u8,
                code_u8,
                bytes5to8,
            };
            let header = Icmpv4Header::with_checksum(kind, &self.quote);
            let message = [&header.to_bytes(), &self.quote[..]].concat();
            ipv4_protocol(envelope, IpNumber::ICMP.0, &message)
        };
        let ip = ip_offset(&frame);
        set_ttl(&mut frame[ip..], ttl);
        frame
    }
}

/// Sets the TTL or hop limit of an IP packet without options.
fn set_ttl(packet: &mut [u8], ttl: u8) {
    if packet[0] >> 4 == 6 {
        packet[7] = ttl;
        return;
    }
    let mut header = etherparse::Ipv4Header::from_slice(packet).expect("IPv4").0;
    header.time_to_live = ttl;
    header.header_checksum = header.calc_header_checksum();
    packet[..20].copy_from_slice(&header.to_bytes());
}
