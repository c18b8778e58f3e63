//! A frame for a packet that somebody only described.

use std::net::{IpAddr, SocketAddr};

use adc_common::abi::{Mac, VlanId};
use etherparse::{
    EtherType, Ethernet2Header, IpNumber, Ipv4Header, Ipv6Header, SingleVlanHeader, TcpHeader,
    UdpHeader,
};

use super::sctp;
use crate::api::proto::{ApiError, ErrorCode, TcpFlags};

/// Window of a synthetic segment; nothing looks at it.
const WINDOW: u16 = 64_240;

/// Everything about a packet that can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Who sent the frame.
    pub source_mac: Mac,
    /// Whom it is for.
    pub destination_mac: Mac,
    /// VLAN tags, outer first; at most two mean anything to adc.
    pub vlans: Vec<VlanId>,
    /// Source address and port.
    pub source: SocketAddr,
    /// Destination address and port.
    pub destination: SocketAddr,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// What it carries.
    pub transport: Transport,
}

/// The transport header of a synthetic packet. There is no payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A segment.
    Tcp {
        /// Its flags.
        flags: TcpFlags,
        /// Sequence number.
        sequence: u32,
        /// Acknowledgement number.
        acknowledgement: u32,
    },
    /// A datagram.
    Udp,
    /// A HEARTBEAT of an association, or an INIT if the tag is zero.
    Sctp {
        /// Verification tag.
        tag: u32,
    },
}

/// The frame, all checksums right.
///
/// # Errors
/// Source and destination are of different families, or a VLAN id is over 4095.
pub fn frame(envelope: &Envelope) -> Result<Vec<u8>, ApiError> {
    let refused = |what: String| ApiError::new(ErrorCode::InvalidRequest, what);
    let (source, destination) = (envelope.source.ip(), envelope.destination.ip());
    let segment = transport(envelope).map_err(|error| refused(error.to_string()))?;
    let protocol = match envelope.transport {
        Transport::Tcp { .. } => IpNumber::TCP,
        Transport::Udp => IpNumber::UDP,
        Transport::Sctp { .. } => IpNumber::SCTP,
    };
    let length = u16::try_from(segment.len()).unwrap_or(u16::MAX);
    let (ether_type, header) = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let (from, to) = (source.octets(), destination.octets());
            let header = Ipv4Header::new(length, envelope.hop_limit, protocol, from, to);
            let mut header = header.map_err(|error| refused(error.to_string()))?;
            header.header_checksum = header.calc_header_checksum();
            (EtherType::IPV4, header.to_bytes().to_vec())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = Ipv6Header {
                payload_length: length,
                next_header: protocol,
                hop_limit: envelope.hop_limit,
                source: source.octets(),
                destination: destination.octets(),
                ..Ipv6Header::default()
            };
            (EtherType::IPV6, header.to_bytes().to_vec())
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            return Err(refused(format!(
                "{source} and {destination} are of different families: a packet has two IPv4 or two IPv6 addresses"
            )));
        }
    };
    let mut frame = link(envelope, ether_type)?;
    frame.extend(header);
    frame.extend(segment);
    Ok(frame)
}

fn link(envelope: &Envelope, inner: EtherType) -> Result<Vec<u8>, ApiError> {
    let type_of = |at: usize| {
        let tag = envelope.vlans.get(at);
        tag.map_or(inner, |tag| EtherType(tag.tpid()))
    };
    let ethernet = Ethernet2Header {
        source: envelope.source_mac.0,
        destination: envelope.destination_mac.0,
        ether_type: type_of(0),
    };
    let mut frame = ethernet.to_bytes().to_vec();
    for (at, vlan) in envelope.vlans.iter().enumerate() {
        let id = etherparse::VlanId::try_new(vlan.id()).map_err(|error| {
            let what = format!("VLAN {vlan}: {error}; use 1 to 4094");
            ApiError::new(ErrorCode::InvalidRequest, what)
        })?;
        let header = SingleVlanHeader {
            vlan_id: id,
            ether_type: type_of(at + 1),
            ..SingleVlanHeader::default()
        };
        frame.extend(header.to_bytes());
    }
    Ok(frame)
}

fn transport(envelope: &Envelope) -> Result<Vec<u8>, etherparse::err::ValueTooBigError<usize>> {
    let (source, destination) = (envelope.source, envelope.destination);
    match envelope.transport {
        Transport::Sctp { tag } => Ok(sctp::packet(source, destination, tag)),
        Transport::Tcp {
            flags,
            sequence,
            acknowledgement,
        } => {
            let mut header = TcpHeader::new(source.port(), destination.port(), sequence, WINDOW);
            flags.write_to(&mut header);
            header.acknowledgment_number = acknowledgement;
            header.checksum = match (source.ip(), destination.ip()) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    header.calc_checksum_ipv4_raw(from.octets(), to.octets(), &[])?
                }
                (IpAddr::V6(from), IpAddr::V6(to)) => {
                    header.calc_checksum_ipv6_raw(from.octets(), to.octets(), &[])?
                }
                (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
            };
            Ok(header.to_bytes().to_vec())
        }
        Transport::Udp => {
            let mut header =
                UdpHeader::without_ipv4_checksum(source.port(), destination.port(), 0)?;
            header.checksum = match (source.ip(), destination.ip()) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    header.calc_checksum_ipv4_raw(from.octets(), to.octets(), &[])?
                }
                (IpAddr::V6(from), IpAddr::V6(to)) => {
                    header.calc_checksum_ipv6_raw(from.octets(), to.octets(), &[])?
                }
                (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
            };
            Ok(header.to_bytes().to_vec())
        }
    }
}
