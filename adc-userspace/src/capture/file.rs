//! pcapng (draft-ietf-opsawg-pcapng): blocks, as bytes.

use std::{borrow::Cow, time::Duration};

use pcap_file::{
    DataLink, Endianness, PcapError,
    pcapng::{
        PcapNgWriter,
        blocks::{
            Block,
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
            interface_statistics::{InterfaceStatisticsBlock, InterfaceStatisticsOption},
            section_header::{SectionHeaderBlock, SectionHeaderOption},
        },
    },
};

/// Timestamps are in units of 10^-9 s.
const NANOSECONDS: u8 = 9;

/// `epb_flags`, lowest two bits: the frame was received.
const INBOUND: u32 = 1;

/// The frame was sent.
const OUTBOUND: u32 = 2;

/// A block could not be made.
#[derive(Debug, thiserror::Error)]
#[error("writing pcapng: {0}")]
pub struct FileError(#[from] PcapError);

/// Writes blocks into memory.
pub struct CaptureFile {
    writer: PcapNgWriter<Vec<u8>>,
}

impl CaptureFile {
    /// Section header, and one interface block per name.
    ///
    /// # Errors
    /// See [`FileError`].
    pub fn begin<'n>(
        interfaces: impl IntoIterator<Item = &'n str>,
        snaplen: u32,
        node: &str,
    ) -> Result<Self, FileError> {
        let application = format!("adc {}", env!("CARGO_PKG_VERSION"));
        let section = SectionHeaderBlock {
            // That of this machine: the client cuts the file into blocks as it arrives.
            endianness: Endianness::native(),
            options: vec![
                SectionHeaderOption::UserApplication(Cow::Owned(application)),
                SectionHeaderOption::Comment(Cow::Owned(format!("captured at XDP on {node}"))),
            ],
            ..SectionHeaderBlock::default()
        };
        let mut writer = PcapNgWriter::with_section_header(Vec::new(), section)?;
        for name in interfaces {
            let interface = InterfaceDescriptionBlock {
                linktype: DataLink::ETHERNET,
                snaplen,
                options: vec![
                    InterfaceDescriptionOption::IfName(Cow::Borrowed(name)),
                    InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
                ],
            };
            writer.write_block(&Block::InterfaceDescription(interface))?;
        }
        Ok(Self { writer })
    }

    /// One frame. `time` is since 1970; `length` what the frame had on the wire.
    ///
    /// # Errors
    /// See [`FileError`].
    pub fn frame(
        &mut self,
        (interface, leaving): (u32, bool),
        time: Duration,
        length: u32,
        bytes: &[u8],
        comment: String,
    ) -> Result<(), FileError> {
        let direction = if leaving { OUTBOUND } else { INBOUND };
        let packet = EnhancedPacketBlock {
            interface_id: interface,
            timestamp: time,
            original_len: length,
            data: Cow::Borrowed(bytes),
            options: vec![
                EnhancedPacketOption::Comment(Cow::Owned(comment)),
                EnhancedPacketOption::Flags(direction),
            ],
        };
        self.writer.write_block(&Block::EnhancedPacket(packet))?;
        Ok(())
    }

    /// The last block: how many records there was no room for, and why the capture ended.
    ///
    /// # Errors
    /// See [`FileError`].
    pub fn end(&mut self, time: Duration, lost: u64, why: String) -> Result<(), FileError> {
        let statistics = InterfaceStatisticsBlock {
            interface_id: 0,
            timestamp: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX),
            options: vec![
                InterfaceStatisticsOption::IsbOsDrop(lost),
                InterfaceStatisticsOption::Comment(Cow::Owned(why)),
            ],
        };
        self.writer
            .write_block(&Block::InterfaceStatistics(statistics))?;
        Ok(())
    }

    /// The bytes since the last call: whole blocks.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.get_mut())
    }

    /// How many bytes wait to be taken.
    pub fn waiting(&self) -> usize {
        self.writer.get_ref().len()
    }
}
