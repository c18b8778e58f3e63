//! SCTP packets, read and made. etherparse leaves them to others.

use std::net::SocketAddr;

use crc::{CRC_32_ISCSI, Crc};
use etherparse::{LaxPacketHeaders, LaxPayloadSlice};

/// IP protocol number.
pub(super) const NUMBER: u8 = 132;

/// CRC32c (RFC 9260 appendix A).
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Where the checksum stands.
const CHECKSUM: std::ops::Range<usize> = 8..12;

/// A packet from its common header on.
pub(super) struct Sctp<'a> {
    bytes: &'a [u8],
    header: [u8; 16],
    /// Whether all of it is here.
    whole: bool,
}

impl<'a> Sctp<'a> {
    /// The SCTP packet in a frame, if it has a common header and that of a chunk.
    pub(super) fn of(packet: &LaxPacketHeaders<'a>) -> Option<Self> {
        let LaxPayloadSlice::Ip(payload) = &packet.payload else {
            return None;
        };
        if payload.ip_number.0 != NUMBER || payload.fragmented {
            return None;
        }
        Some(Self {
            bytes: payload.payload,
            header: *payload.payload.first_chunk()?,
            whole: !payload.incomplete,
        })
    }

    pub(super) fn source_port(&self) -> u16 {
        let [a, b, ..] = self.header;
        u16::from_be_bytes([a, b])
    }

    pub(super) fn destination_port(&self) -> u16 {
        let [_, _, a, b, ..] = self.header;
        u16::from_be_bytes([a, b])
    }

    /// The verification tag.
    pub(super) fn tag(&self) -> u32 {
        let [_, _, _, _, a, b, c, d, ..] = self.header;
        u32::from_be_bytes([a, b, c, d])
    }

    /// The CRC, as it is written.
    pub(super) fn checksum(&self) -> u32 {
        let [.., a, b, c, d, _, _, _, _] = self.header;
        u32::from_be_bytes([a, b, c, d])
    }

    /// The CRC that the packet should have, if all of it is here.
    pub(super) fn right_checksum(&self) -> Option<u32> {
        self.whole.then(|| checksum_of(self.bytes))
    }

    /// The first chunk, as RFC 9260 §3.2 names it.
    pub(super) fn chunk(&self) -> String {
        let [.., kind, _, _, _] = self.header;
        let name = match kind {
            0 => "data",
            1 => "init",
            2 => "init-ack",
            3 => "sack",
            4 => "heartbeat",
            5 => "heartbeat-ack",
            6 => "abort",
            7 => "shutdown",
            8 => "shutdown-ack",
            9 => "error",
            10 => "cookie-echo",
            11 => "cookie-ack",
            14 => "shutdown-complete",
            other => return format!("chunk {other}"),
        };
        name.to_owned()
    }
}

/// The CRC of a packet, as it is written: least significant byte first.
fn checksum_of(packet: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(packet.get(..CHECKSUM.start).unwrap_or_default());
    digest.update(&[0; 4]);
    digest.update(packet.get(CHECKSUM.end..).unwrap_or_default());
    digest.finalize().swap_bytes()
}

/// A HEARTBEAT with this tag; an INIT if the tag is zero, which only an INIT may have.
pub(super) fn packet(source: SocketAddr, destination: SocketAddr, tag: u32) -> Vec<u8> {
    /// An INIT without parameters: tag 1, the receive window of most stacks, ten streams each way, TSN 1.
    const INIT: [u8; 20] = [
        1, 0, 0, 20, 0, 0, 0, 1, 0, 1, 0xa0, 0, 0, 10, 0, 10, 0, 0, 0, 1,
    ];
    /// With an empty heartbeat parameter.
    const HEARTBEAT: [u8; 8] = [4, 0, 0, 8, 0, 1, 0, 4];
    let mut packet = Vec::new();
    packet.extend(source.port().to_be_bytes());
    packet.extend(destination.port().to_be_bytes());
    packet.extend(tag.to_be_bytes());
    packet.extend([0; 4]);
    if tag == 0 {
        packet.extend(INIT);
    } else {
        packet.extend(HEARTBEAT);
    }
    let checksum = checksum_of(&packet).to_be_bytes();
    if let Some(place) = packet.get_mut(CHECKSUM) {
        place.copy_from_slice(&checksum);
    }
    packet
}

#[cfg(test)]
mod tests {
    use adc_common::abi::Mac;

    use super::super::{
        Envelope, Transport, checksum_complaint, frame, headers, summary, tuple_of,
    };

    fn made(source: &str, destination: &str, tag: u32) -> Vec<u8> {
        let envelope = Envelope {
            source_mac: Mac::default(),
            destination_mac: Mac::default(),
            vlans: vec![],
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            hop_limit: 64,
            transport: Transport::Sctp { tag },
        };
        frame(&envelope).unwrap()
    }

    #[test]
    fn what_is_made_is_what_is_read() {
        for (source, destination) in [
            ("192.0.2.1:40000", "10.1.0.100:2905"),
            ("[2001:db8::7]:40000", "[2001:db8::100]:2905"),
        ] {
            for (tag, chunk) in [(0, "init"), (0xdead_beef, "heartbeat")] {
                let frame = made(source, destination, tag);
                assert_eq!(
                    summary(&frame),
                    format!("sctp {source} > {destination} [{chunk}]")
                );
                let ends = (source.parse().unwrap(), destination.parse().unwrap(), 132);
                assert_eq!(tuple_of(&frame), Some(ends));
                assert_eq!(checksum_complaint(&frame), None);
                let views = headers(&frame);
                assert_eq!(views.last().map(|view| view.header.as_str()), Some("sctp"));
            }
        }
    }

    #[test]
    fn a_wrong_crc_is_found_in_a_whole_packet_only() {
        let mut frame = made("192.0.2.1:40000", "10.1.0.100:2905", 7);
        let last = frame.len() - 1;
        frame[last] ^= 1;
        let complaint = checksum_complaint(&frame).unwrap();
        assert!(
            complaint.starts_with("the SCTP checksum is 0x"),
            "{complaint}"
        );
        frame.truncate(last);
        assert_eq!(checksum_complaint(&frame), None);
    }
}
