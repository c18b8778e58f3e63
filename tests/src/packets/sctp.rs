//! SCTP packets, and whether their checksums are right: CRC32c by the `crc` crate.

use std::ops::Range;

use crc::{CRC_32_ISCSI, Crc};
use etherparse::SlicedPacket;

use super::{
    damage::transport_offset,
    segment::{Segment, Transport},
};

/// IP protocol number (IANA).
pub const SCTP: u8 = 132;

/// CRC32c (RFC 9260 appendix A).
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Where the checksum stands.
const CHECKSUM: Range<usize> = 8..12;

/// One chunk.
#[derive(Clone, Debug)]
pub struct Chunk(Vec<u8>);

impl Chunk {
    /// DATA.
    pub const DATA: u8 = 0;
    /// INIT.
    pub const INIT: u8 = 1;
    /// INIT ACK.
    pub const INIT_ACK: u8 = 2;
    /// SACK.
    pub const SACK: u8 = 3;
    /// HEARTBEAT.
    pub const HEARTBEAT: u8 = 4;
    /// ABORT.
    pub const ABORT: u8 = 6;
    /// SHUTDOWN.
    pub const SHUTDOWN: u8 = 7;
    /// SHUTDOWN ACK.
    pub const SHUTDOWN_ACK: u8 = 8;
    /// COOKIE ECHO.
    pub const COOKIE_ECHO: u8 = 10;
    /// COOKIE ACK.
    pub const COOKIE_ACK: u8 = 11;
    /// SHUTDOWN COMPLETE.
    pub const SHUTDOWN_COMPLETE: u8 = 14;

    /// A chunk of a type, padded to four bytes (RFC 9260 §3.2).
    ///
    /// # Panics
    /// If it is too long.
    pub fn new(kind: u8, value: &[u8]) -> Self {
        let length = u16::try_from(4 + value.len()).expect("chunk length");
        let mut bytes = vec![kind, 0];
        bytes.extend(length.to_be_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        Self(bytes)
    }

    /// An INIT or INIT ACK of a sender who wants to be addressed with `tag` (§3.3.2).
    pub fn initiate(kind: u8, tag: u32, parameters: &[u8]) -> Self {
        let mut value = tag.to_be_bytes().to_vec();
        // Receive window, streams out and in, first TSN.
        value.extend([0, 1, 0xa0, 0, 0, 10, 0, 10]);
        value.extend(tag.wrapping_mul(3).to_be_bytes());
        value.extend(parameters);
        Self::new(kind, &value)
    }

    /// User data, all of a message (§3.3.1).
    pub fn data(payload: &[u8]) -> Self {
        // TSN, stream, sequence number, protocol.
        let mut value = vec![0, 0, 0, 9, 0, 1, 0, 2, 0, 0, 0, 3];
        value.extend(payload);
        let mut chunk = Self::new(Self::DATA, &value);
        // First and last piece.
        chunk.0[1] = 3;
        chunk
    }

    /// With flags.
    #[must_use]
    pub fn flags(mut self, flags: u8) -> Self {
        self.0[1] = flags;
        self
    }

    /// Its bytes, padding and all.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Segment {
    /// An SCTP packet of some chunks.
    pub fn sctp(tag: u32, chunks: &[Chunk]) -> Self {
        let chunks: Vec<_> = chunks.iter().flat_map(|chunk| chunk.0.clone()).collect();
        let mut segment = Self::udp(&chunks);
        segment.transport = Transport::Sctp { tag, flaw: 0 };
        segment
    }

    /// With a checksum that is wrong in these bits, everywhere.
    ///
    /// # Panics
    /// If it is not SCTP.
    #[must_use]
    pub fn flawed(mut self, bits: u32) -> Self {
        let Transport::Sctp { flaw, .. } = &mut self.transport else {
            panic!("only SCTP has a CRC");
        };
        *flaw = bits;
        self
    }
}

/// A packet from its common header on; `ports` are those of source and destination.
///
/// # Panics
/// If the segment is not SCTP.
pub fn sctp_packet(ports: [u16; 2], segment: &Segment) -> Vec<u8> {
    let Transport::Sctp { tag, flaw } = &segment.transport else {
        panic!("not SCTP");
    };
    packet(ports, *tag, &segment.payload, *flaw)
}

/// Common header and chunks, checksummed.
pub(super) fn packet(ports: [u16; 2], tag: u32, chunks: &[u8], flaw: u32) -> Vec<u8> {
    let mut packet: Vec<u8> = ports.into_iter().flat_map(u16::to_be_bytes).collect();
    packet.extend(tag.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(chunks);
    let checksum = crc32c(&packet) ^ flaw;
    packet[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    packet
}

/// What is wrong with the checksum of a packet, from its common header on.
pub fn sctp_complaint(packet: &[u8]) -> Option<String> {
    let Some(found) = packet.get(CHECKSUM) else {
        return Some("an SCTP packet without a header".to_owned());
    };
    let right = crc32c(packet).to_le_bytes();
    (found != right).then(|| format!("SCTP: {found:02x?}, should be {right:02x?}"))
}

/// Makes the checksum of a frame right, if it carries SCTP.
///
/// # Panics
/// If it does not parse.
pub fn seal_sctp(frame: &mut [u8]) {
    let checksum = {
        let parsed = SlicedPacket::from_ethernet(frame).expect("a frame");
        let payload = parsed.net.as_ref().and_then(|ip| ip.ip_payload_ref());
        let sctp = payload.filter(|payload| payload.ip_number.0 == SCTP);
        sctp.map(|sctp| crc32c(sctp.payload))
    };
    let Some(checksum) = checksum else { return };
    let at = transport_offset(frame);
    frame[at..][CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
}

/// The CRC that a packet should have.
fn crc32c(packet: &[u8]) -> u32 {
    let mut blank = packet.to_vec();
    blank[CHECKSUM].fill(0);
    CRC.checksum(&blank)
}
