//! Frames on an authenticated connection, and how they are sealed. Pure.
//!
//! Big endian. A frame is its length (4, of all behind it), kind (1), 3 zero bytes, a number (8) that depends on the kind,
//! the payload, and the HMAC-SHA256 over all that and the frame's place in the connection, which is not sent: a frame
//! that is changed, left out, sent twice or sent on another connection does not fit its seal. Each direction of each
//! connection has a key of its own ([`super::greeting`]).

use hmac::{Hmac, KeyInit as _, Mac as _, digest::array::Array};
use sha2::Sha256;

use super::refusal::Refusal;

/// Bytes of a seal.
pub const SEAL: usize = 32;
/// Bytes before the payload, the length included.
pub const HEAD: usize = 16;
/// Bytes of the longest payload.
pub const MAX_PAYLOAD: usize = 64 << 10;
/// Most flows of one family in a frame.
pub const BATCH: usize = 512;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// What ids stand for.
    Names = 1,
    /// IPv4 flows; the number is the age of the oldest news in it, in milliseconds.
    Flows4 = 2,
    /// IPv6 flows, and those between families; the same.
    Flows6 = 3,
    /// From here on everything that the sender has is told.
    BulkBegins = 4,
    /// Everything was told.
    BulkEnds = 5,
    /// Nothing to tell; the number is as for flows.
    Idle = 6,
    /// From the receiver: so many frames were taken in.
    Taken = 7,
    /// From the receiver: tell everything again.
    Again = 8,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Names,
        Self::Flows4,
        Self::Flows6,
        Self::BulkBegins,
        Self::BulkEnds,
        Self::Idle,
        Self::Taken,
        Self::Again,
    ];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// One frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'b> {
    /// What it holds.
    pub kind: Kind,
    /// See [`Kind`].
    pub number: u64,
    /// Behind the head.
    pub payload: &'b [u8],
}

/// One direction of a connection.
#[derive(Clone)]
pub struct Direction {
    mac: Hmac<Sha256>,
    /// Frames so far.
    count: u64,
}

impl Direction {
    /// From the key of the direction.
    pub fn new(key: &[u8; 32]) -> Self {
        let mac = Hmac::new_from_slice(key);
        Self {
            // Keys of any length are good (RFC 2104 §2).
            mac: mac.unwrap_or_else(|_any_length| Hmac::new(&Array::default())),
            count: 0,
        }
    }

    /// Frames sealed or opened so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Writes a frame behind what is in `to`. A payload of more than [`MAX_PAYLOAD`] bytes is cut: none is made.
    pub fn seal(&mut self, frame: &Frame<'_>, to: &mut Vec<u8>) {
        let start = to.len();
        let payload = frame.payload.get(..MAX_PAYLOAD).unwrap_or(frame.payload);
        let length = u32::try_from(HEAD - 4 + payload.len() + SEAL).unwrap_or(0);
        to.extend_from_slice(&length.to_be_bytes());
        to.extend_from_slice(&[frame.kind as u8, 0, 0, 0]);
        to.extend_from_slice(&frame.number.to_be_bytes());
        to.extend_from_slice(payload);
        let seal = self.mac_of(to.get(start..).unwrap_or_default());
        to.extend_from_slice(&seal.finalize().into_bytes());
        self.count += 1;
    }

    /// What a frame's first four bytes say of the rest.
    ///
    /// # Errors
    /// No frame is that long, or that short.
    pub fn rest(length: [u8; 4]) -> Result<usize, Refusal> {
        let length = u32::from_be_bytes(length) as usize;
        let allowed = HEAD - 4 + SEAL..=HEAD - 4 + MAX_PAYLOAD + SEAL;
        if allowed.contains(&length) {
            Ok(length)
        } else {
            Err(Refusal::Length)
        }
    }

    /// Opens a whole frame, its length included.
    ///
    /// # Errors
    /// It was not sealed as the next one of this direction, or is of no kind.
    pub fn open<'b>(&mut self, bytes: &'b [u8]) -> Result<Frame<'b>, Refusal> {
        let (body, seal) = bytes.split_last_chunk::<SEAL>().ok_or(Refusal::Length)?;
        let (head, payload) = body.split_first_chunk::<HEAD>().ok_or(Refusal::Length)?;
        let sealed = self.mac_of(body).verify_slice(seal);
        sealed.map_err(|_mismatch| Refusal::Hmac)?;
        self.count += 1;
        let [_, _, _, _, kind, 0, 0, 0, number @ ..] = *head else {
            return Err(Refusal::Contents);
        };
        Ok(Frame {
            kind: Kind::of(kind).ok_or(Refusal::Contents)?,
            number: u64::from_be_bytes(number),
            payload,
        })
    }

    fn mac_of(&self, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        mac.update(&self.count.to_be_bytes());
        mac.update(bytes);
        mac
    }
}
