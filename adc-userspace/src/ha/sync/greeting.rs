//! How a connection begins: each end shows that it has the key, for this connection only. Pure.
//!
//! The one that connects wants the flows of the other. Big endian, no lengths: every message has one size.
//!
//! ```text
//! hello    "adcS", version 1, zero 3, life 8, nonce 32                       48 bytes
//! welcome  the same of the other end, and a seal over both nonces and lives  80 bytes
//! proof    a seal over the same, with another label                          32 bytes
//! ```
//!
//! Seals and the keys of both directions are HMAC-SHA256 with the shared key over a label and both messages. The nonces
//! make a recorded connection worthless, the labels a reflected one.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::{frame::Direction, refusal::Refusal};
use crate::ha::heartbeat::key::Key;

/// Version of greeting, frames and records. Nodes of two versions do not replicate.
pub const VERSION: u8 = 1;
/// Bytes of a hello.
pub const HELLO: usize = 48;
/// Bytes of a seal.
const SEAL: usize = 32;
/// Bytes of a welcome.
pub const WELCOME: usize = HELLO + SEAL;
/// Bytes of a proof.
pub const PROOF: usize = SEAL;

const MAGIC: [u8; 4] = *b"adcS";
const LABEL_WELCOME: &[u8] = b"adc sync welcome";
const LABEL_PROOF: &[u8] = b"adc sync proof";
const LABEL_FLOWS: &[u8] = b"adc sync flows";
const LABEL_ANSWERS: &[u8] = b"adc sync answers";

/// A number that nobody can foresee.
pub type Nonce = [u8; 32];

/// What an end says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// A number of this agent's life: by it a node knows that it talks to itself.
    pub life: u64,
    /// For this connection.
    pub nonce: Nonce,
}

/// Both ends of a connection that both have agreed to.
pub struct Keys {
    /// From the node whose flows they are.
    pub flows: Direction,
    /// From the node that wants them.
    pub answers: Direction,
}

impl Hello {
    /// Its bytes.
    pub fn write(&self) -> [u8; HELLO] {
        let mut bytes = [0; HELLO];
        let (head, nonce) = bytes.split_at_mut(16);
        let (start, life) = head.split_at_mut(8);
        let [a, b, c, d] = MAGIC;
        start.copy_from_slice(&[a, b, c, d, VERSION, 0, 0, 0]);
        life.copy_from_slice(&self.life.to_be_bytes());
        nonce.copy_from_slice(&self.nonce);
        bytes
    }

    /// From the other end, which must not be this one.
    ///
    /// # Errors
    /// It is no greeting, of another version, or this node's own.
    pub fn read(bytes: &[u8; HELLO], own_life: u64) -> Result<Self, Refusal> {
        let [a, b, c, d, version, _, _, _, rest @ ..] = bytes;
        if [*a, *b, *c, *d] != MAGIC {
            return Err(Refusal::Greeting);
        }
        if *version != VERSION {
            return Err(Refusal::Version);
        }
        let (life, nonce) = rest.split_first_chunk::<8>().ok_or(Refusal::Greeting)?;
        let life = u64::from_be_bytes(*life);
        if life == own_life {
            return Err(Refusal::OwnNode);
        }
        let nonce = nonce.try_into().map_err(|_size| Refusal::Greeting)?;
        Ok(Self { life, nonce })
    }
}

/// What both ends said, and the key by which they know each other.
pub struct Greeting<'k> {
    key: &'k Key,
    wants: [u8; HELLO],
    has: [u8; HELLO],
}

impl<'k> Greeting<'k> {
    /// `wants` is the end that connects, `has` the one whose flows it wants.
    pub fn new(key: &'k Key, wants: &Hello, has: &Hello) -> Self {
        Self {
            key,
            wants: wants.write(),
            has: has.write(),
        }
    }

    /// The answer to a hello.
    pub fn welcome(&self) -> Vec<u8> {
        let seal = self.mac(LABEL_WELCOME).finalize().into_bytes();
        [&self.has[..], &seal].concat()
    }

    /// Whether the seal of a welcome is one.
    ///
    /// # Errors
    /// The other end does not have the key.
    pub fn check_welcome(&self, seal: &[u8]) -> Result<(), Refusal> {
        self.check(LABEL_WELCOME, seal)
    }

    /// The answer to a welcome.
    pub fn proof(&self) -> [u8; PROOF] {
        self.mac(LABEL_PROOF).finalize().into_bytes().into()
    }

    /// Whether a proof is one.
    ///
    /// # Errors
    /// The other end does not have the key.
    pub fn check_proof(&self, proof: &[u8; PROOF]) -> Result<(), Refusal> {
        self.check(LABEL_PROOF, proof)
    }

    /// The keys of this connection.
    pub fn keys(&self) -> Keys {
        let direction = |label| Direction::new(&self.mac(label).finalize().into_bytes().into());
        Keys {
            flows: direction(LABEL_FLOWS),
            answers: direction(LABEL_ANSWERS),
        }
    }

    fn check(&self, label: &[u8], seal: &[u8]) -> Result<(), Refusal> {
        let sound = self.mac(label).verify_slice(seal);
        sound.map_err(|_mismatch| Refusal::Key)
    }

    fn mac(&self, label: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.key.mac().clone();
        // No label is the beginning of another's message: all messages have one size, and labels differ.
        for part in [label, &self.wants, &self.has] {
            mac.update(part);
        }
        mac
    }
}
