//! The blocks of a pcapng file as they arrive, in pieces.

/// Enhanced Packet Block: a frame.
const FRAME: u32 = 6;

/// Interface Statistics Block: the last one of a capture.
const STATISTICS: u32 = 5;

/// Option `isb_osdrop`: frames that were lost.
const LOST: u16 = 7;

/// Option `opt_comment`.
const COMMENT: u16 = 1;

/// Length of a block's type and length.
const HEAD: usize = 8;

/// Where the options of an Interface Statistics Block begin: behind head, interface id and timestamp.
const STATISTICS_OPTIONS: usize = HEAD + 12;

/// Cuts what arrives at the ends of blocks, so that a file holds whole blocks however the capture ends, and counts.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    rest: Vec<u8>,
    frames: u64,
    lost: u64,
    ended: Option<String>,
}

impl Blocks {
    /// The whole blocks that are complete now.
    pub(super) fn take(&mut self, piece: &[u8]) -> Vec<u8> {
        self.rest.extend_from_slice(piece);
        let mut end = 0;
        while let Some(block) = self.rest.get(end..).and_then(first_block) {
            match word(block, 0) {
                Some(FRAME) => self.frames += 1,
                Some(STATISTICS) => {
                    for (code, value) in options(block) {
                        if code == LOST {
                            let bytes = value.try_into().unwrap_or_default();
                            self.lost = u64::from_ne_bytes(bytes);
                        } else if code == COMMENT {
                            self.ended = Some(String::from_utf8_lossy(value).into_owned());
                        }
                    }
                }
                _ => {}
            }
            end += block.len();
        }
        let rest = self.rest.split_off(end);
        std::mem::replace(&mut self.rest, rest)
    }

    /// Frames so far.
    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// Frames that were lost; known when the capture has ended.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Why the capture ended; `None` if it was interrupted.
    pub(super) fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }
}

/// The first block, if all of it is there. A length that makes no sense ends the cutting: what follows is kept back.
fn first_block(bytes: &[u8]) -> Option<&[u8]> {
    let length = usize::try_from(word(bytes, 4)?).ok()?;
    bytes.get(..length).filter(|block| block.len() > HEAD)
}

/// Words are in the byte order of the machine that wrote them, which is this one.
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(word))
}

/// Code and value of every option of a statistics block.
fn options(block: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = block.get(STATISTICS_OPTIONS..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (head, tail) = rest.split_at_checked(4)?;
        let code = u16::from_ne_bytes([*head.first()?, *head.get(1)?]);
        let length = usize::from(u16::from_ne_bytes([*head.get(2)?, *head.get(3)?]));
        let value = tail.get(..length)?;
        rest = tail.get(length.next_multiple_of(4)..)?;
        (code != 0).then_some((code, value))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::capture::CaptureFile;

    fn file() -> Vec<u8> {
        let mut file = CaptureFile::begin(["eth0"], 4095, "lb-a").unwrap();
        for n in 0..3_u8 {
            let frame = vec![n; 60 + usize::from(n)];
            let time = Duration::from_secs(1_700_000_000);
            file.frame((0, false), time, 60, &frame, format!("frame {n}"))
                .unwrap();
        }
        let time = Duration::from_secs(1_700_000_001);
        file.end(time, 7, "ended because of the test".into())
            .unwrap();
        file.take()
    }

    #[test]
    fn pieces_of_any_size_give_whole_blocks_and_the_same_file() {
        let file = file();
        for size in [1, 7, 64, file.len()] {
            let mut blocks = Blocks::default();
            let mut written = Vec::new();
            for piece in file.chunks(size) {
                written.extend(blocks.take(piece));
            }
            assert_eq!(written, file);
            assert_eq!((blocks.frames(), blocks.lost()), (3, 7));
            assert_eq!(blocks.ended(), Some("ended because of the test"));
        }
    }

    #[test]
    fn a_cut_file_ends_with_a_whole_block() {
        let file = file();
        let mut blocks = Blocks::default();
        let cut = blocks.take(&file[..file.len() - 1]);
        assert!(file.starts_with(&cut) && cut.len() < file.len());
        assert_eq!((blocks.frames(), blocks.ended()), (3, None));
    }
}
