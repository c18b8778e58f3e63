//! The headers of a frame, for people. By etherparse, so that what is shown owes nothing to the walk.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use adc_common::abi::Mac;
use etherparse::{
    IpNumber, LaxPacketHeaders, LaxPayloadSlice, LinkExtHeader, LinkHeader, NetHeaders,
    TransportHeader,
};

use super::sctp::{self, Sctp};
use crate::api::proto::{FieldView, HeaderView, TcpFlags};

/// Tunnels that are looked into.
const MAX_DEPTH: u8 = 2;

/// Every header that can be read, outer first.
pub fn headers(frame: &[u8]) -> Vec<HeaderView> {
    let mut views = Vec::new();
    if let Ok(packet) = LaxPacketHeaders::from_ethernet(frame) {
        describe(&packet, &mut views, MAX_DEPTH);
    }
    views
}

/// `tcp 192.0.2.1:40000 > 10.1.0.100:80 [SYN]`, or what else can be said in a line.
pub fn summary(frame: &[u8]) -> String {
    let Ok(packet) = LaxPacketHeaders::from_ethernet(frame) else {
        return format!(
            "a frame of {} bytes, cut in its Ethernet header",
            frame.len()
        );
    };
    let Some((from, to)) = addresses(&packet) else {
        return format!("a frame of {} bytes that is not IP", frame.len());
    };
    match &packet.transport {
        Some(TransportHeader::Tcp(tcp)) => {
            let (from, to) = (
                SocketAddr::new(from, tcp.source_port),
                SocketAddr::new(to, tcp.destination_port),
            );
            format!("tcp {from} > {to} [{}]", TcpFlags::of(tcp))
        }
        Some(TransportHeader::Udp(udp)) => {
            let (from, to) = (
                SocketAddr::new(from, udp.source_port),
                SocketAddr::new(to, udp.destination_port),
            );
            format!("udp {from} > {to}")
        }
        Some(TransportHeader::Icmpv4(_)) => format!("icmp {from} > {to}"),
        Some(TransportHeader::Icmpv6(_)) => format!("icmpv6 {from} > {to}"),
        Some(TransportHeader::Igmp(_)) => format!("ip {from} > {to}"),
        None => match Sctp::of(&packet) {
            Some(sctp) => {
                let (from, to) = (
                    SocketAddr::new(from, sctp.source_port()),
                    SocketAddr::new(to, sctp.destination_port()),
                );
                format!("sctp {from} > {to} [{}]", sctp.chunk())
            }
            None => format!("ip {from} > {to}"),
        },
    }
}

/// Source and destination, ports 0 where there are none, and the IP protocol of the outermost packet.
pub fn tuple_of(frame: &[u8]) -> Option<(SocketAddr, SocketAddr, u8)> {
    let packet = LaxPacketHeaders::from_ethernet(frame).ok()?;
    let (from, to) = addresses(&packet)?;
    let (source, destination, protocol) = match &packet.transport {
        Some(TransportHeader::Tcp(tcp)) => (tcp.source_port, tcp.destination_port, 6),
        Some(TransportHeader::Udp(udp)) => (udp.source_port, udp.destination_port, 17),
        Some(TransportHeader::Icmpv4(_)) => (0, 0, 1),
        Some(TransportHeader::Icmpv6(_)) => (0, 0, 58),
        Some(TransportHeader::Igmp(_)) => (0, 0, 2),
        None if let Some(sctp) = Sctp::of(&packet) => {
            (sctp.source_port(), sctp.destination_port(), sctp::NUMBER)
        }
        None => match &packet.net {
            Some(NetHeaders::Ipv4(ip, _)) => (0, 0, ip.protocol.0),
            Some(NetHeaders::Ipv6(ip, _)) => (0, 0, ip.next_header.0),
            Some(NetHeaders::Arp(_)) | None => (0, 0, 0),
        },
    };
    Some((
        SocketAddr::new(from, source),
        SocketAddr::new(to, destination),
        protocol,
    ))
}

/// Which checksum of a whole packet is wrong, if one is; says nothing of a packet that is cut.
pub fn checksum_complaint(frame: &[u8]) -> Option<String> {
    let packet = LaxPacketHeaders::from_ethernet(frame).ok()?;
    let complain = |what: &str, found: u16, right: u16| {
        (found != right).then(|| format!("{what} checksum is {found:#06x}, should be {right:#06x}"))
    };
    if let Some(NetHeaders::Ipv4(ip, _)) = &packet.net
        && let Some(complaint) = complain(
            "the IPv4 header",
            ip.header_checksum,
            ip.calc_header_checksum(),
        )
    {
        return Some(complaint);
    }
    let (from, to) = addresses(&packet)?;
    match (&packet.transport, &packet.payload) {
        (
            Some(TransportHeader::Tcp(tcp)),
            LaxPayloadSlice::Tcp {
                payload,
                incomplete: false,
            },
        ) => {
            let right = match (from, to) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    tcp.calc_checksum_ipv4_raw(from.octets(), to.octets(), payload)
                }
                (IpAddr::V6(from), IpAddr::V6(to)) => {
                    tcp.calc_checksum_ipv6_raw(from.octets(), to.octets(), payload)
                }
                (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
            };
            complain("the TCP", tcp.checksum, right.ok()?)
        }
        (
            Some(TransportHeader::Udp(udp)),
            LaxPayloadSlice::Udp {
                payload,
                incomplete: false,
            },
        ) if udp.checksum != 0 => {
            let right = match (from, to) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    udp.calc_checksum_ipv4_raw(from.octets(), to.octets(), payload)
                }
                (IpAddr::V6(from), IpAddr::V6(to)) => {
                    udp.calc_checksum_ipv6_raw(from.octets(), to.octets(), payload)
                }
                (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
            };
            complain("the UDP", udp.checksum, right.ok()?)
        }
        (None, _) => {
            let sctp = Sctp::of(&packet)?;
            let (found, right) = (sctp.checksum(), sctp.right_checksum()?);
            let complaint =
                || format!("the SCTP checksum is {found:#010x}, should be {right:#010x}");
            (found != right).then(complaint)
        }
        _ => None,
    }
}

fn addresses(packet: &LaxPacketHeaders<'_>) -> Option<(IpAddr, IpAddr)> {
    match &packet.net {
        Some(NetHeaders::Ipv4(ip, _)) => Some((ip.source.into(), ip.destination.into())),
        Some(NetHeaders::Ipv6(ip, _)) => Some((ip.source.into(), ip.destination.into())),
        Some(NetHeaders::Arp(_)) | None => None,
    }
}

fn describe(packet: &LaxPacketHeaders<'_>, views: &mut Vec<HeaderView>, depth: u8) {
    if let Some(LinkHeader::Ethernet2(ethernet)) = &packet.link {
        views.push(view(
            "ethernet",
            [
                ("source", mac(ethernet.source)),
                ("destination", mac(ethernet.destination)),
            ],
        ));
    }
    for tag in &packet.link_exts {
        if let LinkExtHeader::Vlan(tag) = tag {
            views.push(view("vlan", [("id", tag.vlan_id.value().to_string())]));
        }
    }
    match &packet.net {
        Some(NetHeaders::Ipv4(ip, _)) => views.push(view(
            "ipv4",
            [
                ("source", Ipv4Addr::from(ip.source).to_string()),
                ("destination", Ipv4Addr::from(ip.destination).to_string()),
                ("ttl", ip.time_to_live.to_string()),
                ("protocol", ip.protocol.0.to_string()),
                ("length", ip.total_len.to_string()),
                ("checksum", hex16(ip.header_checksum)),
            ],
        )),
        Some(NetHeaders::Ipv6(ip, _)) => views.push(view(
            "ipv6",
            [
                ("source", Ipv6Addr::from(ip.source).to_string()),
                ("destination", Ipv6Addr::from(ip.destination).to_string()),
                ("hop-limit", ip.hop_limit.to_string()),
                ("next-header", ip.next_header.0.to_string()),
                ("payload-length", ip.payload_length.to_string()),
            ],
        )),
        Some(NetHeaders::Arp(_)) | None => {}
    }
    describe_transport(packet, views, depth);
}

fn describe_transport(packet: &LaxPacketHeaders<'_>, views: &mut Vec<HeaderView>, depth: u8) {
    match &packet.transport {
        Some(TransportHeader::Tcp(tcp)) => views.push(view(
            "tcp",
            [
                ("source-port", tcp.source_port.to_string()),
                ("destination-port", tcp.destination_port.to_string()),
                ("flags", TcpFlags::of(tcp).to_string()),
                ("sequence", tcp.sequence_number.to_string()),
                ("acknowledgement", tcp.acknowledgment_number.to_string()),
                ("checksum", hex16(tcp.checksum)),
            ],
        )),
        Some(TransportHeader::Udp(udp)) => views.push(view(
            "udp",
            [
                ("source-port", udp.source_port.to_string()),
                ("destination-port", udp.destination_port.to_string()),
                ("length", udp.length.to_string()),
                ("checksum", hex16(udp.checksum)),
            ],
        )),
        Some(TransportHeader::Icmpv4(icmp)) => {
            views.push(view("icmp", [("checksum", hex16(icmp.checksum))]));
        }
        Some(TransportHeader::Icmpv6(icmp)) => {
            views.push(view("icmpv6", [("checksum", hex16(icmp.checksum))]));
        }
        Some(TransportHeader::Igmp(_)) => {}
        None => {
            if let Some(sctp) = Sctp::of(packet) {
                views.push(view(
                    "sctp",
                    [
                        ("source-port", sctp.source_port().to_string()),
                        ("destination-port", sctp.destination_port().to_string()),
                        ("tag", format!("{:#010x}", sctp.tag())),
                        ("checksum", format!("{:#010x}", sctp.checksum())),
                        ("chunk", sctp.chunk()),
                    ],
                ));
            }
            // A tunnel: what is inside is what the backend will see.
            if let LaxPayloadSlice::Ip(inner) = &packet.payload
                && matches!(inner.ip_number, IpNumber::IPV4 | IpNumber::IPV6)
                && depth > 0
                && let Ok(inner) = LaxPacketHeaders::from_ip(inner.payload)
            {
                describe(&inner, views, depth - 1);
            }
        }
    }
}

fn view<const N: usize>(header: &str, fields: [(&str, String); N]) -> HeaderView {
    HeaderView {
        header: header.into(),
        fields: fields
            .into_iter()
            .map(|(name, value)| FieldView {
                name: name.into(),
                value,
            })
            .collect(),
    }
}

fn mac(bytes: [u8; 6]) -> String {
    mac_text(Mac(bytes))
}

/// `02:00:00:00:00:01`.
pub(super) fn mac_text(Mac(bytes): Mac) -> String {
    bytes.map(|byte| format!("{byte:02x}")).join(":")
}

fn hex16(value: u16) -> String {
    format!("{value:#06x}")
}
