//! Packets that somebody recorded: pcap and pcapng files.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, BufReader, Cursor, Read},
    path::Path,
};

use pcap_file::{
    DataLink, PcapError,
    pcap::PcapReader,
    pcapng::{Block, PcapNgReader},
};

use crate::api::proto::{ApiError, ErrorCode, RecordedFrame};

/// First bytes of a pcapng file: the type of a section header block, the same in both byte orders.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// A frame, and how long it was on the wire.
type Found = Option<(Vec<u8>, usize, DataLink)>;

/// Packet `number` (from 1) of a file.
///
/// # Errors
/// The file can not be read, is no recording, has fewer packets, or packets that do not begin with an Ethernet
/// header.
pub(super) fn frame(path: &Path, number: u64) -> Result<RecordedFrame, ApiError> {
    let failed = |what: String| {
        let path = path.display();
        ApiError::new(ErrorCode::InvalidRequest, format!("reading {path}: {what}"))
    };
    let mut file = open(path).map_err(|error| failed(error.to_string()))?;
    let mut magic = Vec::new();
    let read = file.by_ref().take(4).read_to_end(&mut magic);
    read.map_err(|error| failed(error.to_string()))?;
    let is_pcapng = magic == PCAPNG;
    let whole = Cursor::new(magic).chain(file);
    let found = if is_pcapng {
        from_pcapng(whole, number)
    } else {
        from_pcap(whole, number)
    };
    let found = found.map_err(|error| {
        failed(format!(
            "{error}: it is neither a pcap nor a pcapng file, or it is damaged"
        ))
    })?;
    let (bytes, length, link) = found.map_err(|packets| {
        failed(format!(
            "it has {packets} packets, there is no packet {number}"
        ))
    })?;
    if link != DataLink::ETHERNET {
        return Err(failed(format!(
            "packet {number} is of link type {link:?}, not Ethernet: record on the interface itself (`tcpdump -i eth0`, not `-i any`)"
        )));
    }
    Ok(RecordedFrame {
        length: length.max(bytes.len()),
        bytes: hex(&bytes),
    })
}

fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    Ok(Box::new(BufReader::new(File::open(path)?)))
}

/// The packet, or how many there are.
type Lookup = Result<Result<(Vec<u8>, usize, DataLink), u64>, PcapError>;

fn from_pcap(file: impl Read, number: u64) -> Lookup {
    let mut reader = PcapReader::new(file)?;
    let link = reader.header().datalink;
    let mut seen = 0;
    while let Some(packet) = reader.next_packet() {
        let packet = packet?;
        seen += 1;
        if seen == number {
            let length = packet.orig_len as usize;
            return Ok(Ok((packet.data.into_owned(), length, link)));
        }
    }
    Ok(Err(seen))
}

fn from_pcapng(file: impl Read, number: u64) -> Lookup {
    let mut reader = PcapNgReader::new(file)?;
    let mut links = Vec::new();
    let mut seen = 0;
    while let Some(block) = reader.next_block() {
        let found: Found = match block? {
            Block::SectionHeader(_) => {
                links.clear();
                None
            }
            Block::InterfaceDescription(interface) => {
                links.push(interface.linktype);
                None
            }
            Block::EnhancedPacket(packet) => {
                let link = links.get(packet.interface_id as usize).copied();
                let length = packet.original_len as usize;
                let link = link.unwrap_or(DataLink::NULL);
                Some((packet.data.into_owned(), length, link))
            }
            Block::SimplePacket(packet) => {
                let link = links.first().copied().unwrap_or(DataLink::NULL);
                let length = packet.original_len as usize;
                Some((packet.data.into_owned(), length, link))
            }
            Block::Packet(_)
            | Block::NameResolution(_)
            | Block::InterfaceStatistics(_)
            | Block::SystemdJournalExport(_)
            | Block::Unknown(_) => None,
        };
        if let Some(found) = found {
            seen += 1;
            if seen == number {
                return Ok(Ok(found));
            }
        }
    }
    Ok(Err(seen))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string can not fail.
        write!(text, "{byte:02x}").unwrap_or_default();
        text
    })
}
