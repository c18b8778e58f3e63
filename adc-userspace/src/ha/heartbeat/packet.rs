//! What a heartbeat says, and how it is written. Pure.
//!
//! One UDP datagram, big endian: a header of 72 bytes, 16 bytes for each group, and the HMAC-SHA256 of all that. Nothing in
//! it is believed before the HMAC is found right; what makes an old datagram worthless is in [`super::admission`].
//!
//! ```text
//!  0  4  "adcH"                     32  8  sequence number
//!  4  1  version                    40  8  the receiver's boot, as heard; 0 = not heard
//!  5  1  flags                      48  8  the receiver's sequence number, as heard
//!  6  1  path                       56  8  hash of the configuration
//!  7  1  groups                     64  1  heartbeats that may be missing
//!  8  2  length, tag included       65  1  sync state
//! 10  2  paths that are heard       66  6  zero
//! 12  4  interval, microseconds     72     groups: id 4, role 1, priority 1, flags 1, zero 1, term 8
//! 16  8  node                              tag 32
//! 24  8  boot
//! ```

use std::time::Duration;

use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{key::Key, refusal::Refusal};
use crate::ha::Role;

/// Version of this layout. Another one is refused: a pair is upgraded one node after the other, and VRRP keeps the roles
/// meanwhile.
pub const VERSION: u8 = 1;

/// Groups that one heartbeat has room for.
pub const MAX_GROUPS: usize = 32;

/// Paths that one heartbeat can tell of.
pub const MAX_PATHS: usize = 16;

/// Bytes of the longest heartbeat: it fits every link that carries IPv6 (1 280 bytes).
pub const MAX_LENGTH: usize = HEADER + MAX_GROUPS * GROUP + TAG;

const MAGIC: [u8; 4] = *b"adcH";
const HEADER: usize = 72;
const GROUP: usize = 16;
const TAG: usize = 32;

const DATA_PLANE_OK: u8 = 1;
const AGENT_OK: u8 = 2;

const HELD: u8 = 1;
const YIELDS: u8 = 2;
const WANTS: u8 = 4;

/// A node, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// A group, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// A number of a sender's life: a later life has a higher one, and 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Boot(pub u64);

/// How far a node has the flows of its peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyncState {
    /// Flows are not replicated.
    #[default]
    Off,
    /// It is fetching them.
    Pulling,
    /// It has them.
    InSync,
}

/// What a sender last heard of the receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Echo {
    /// Boot; 0 = nothing was heard.
    pub boot: Boot,
    /// Highest sequence number.
    pub seq: u64,
}

/// What a node says of itself in one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The group.
    pub group: GroupId,
    /// What the node is.
    pub role: Role,
    /// Its priority, tracking included.
    pub priority: u8,
    /// The highest term that it knows; that of its own activity if it is active.
    pub term: u64,
    /// People keep it from becoming active.
    pub held: bool,
    /// It is active, and gives the group away to whoever takes it.
    pub yields: bool,
    /// It is not active, and would be if it were given the group.
    pub wants: bool,
}

/// One heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Who sends.
    pub node: NodeId,
    /// In which of its lives.
    pub boot: Boot,
    /// Counts up by one for each heartbeat; the same on all paths.
    pub seq: u64,
    /// By which path, counted from 0.
    pub path: u8,
    /// The paths by which the sender hears the receiver: bit n for path n.
    pub heard: u16,
    /// What it last heard.
    pub echo: Echo,
    /// Time between two of its heartbeats; whole microseconds, below 2^32.
    pub interval: Duration,
    /// How many of them may be missing before it would call a peer silent.
    pub multiplier: u8,
    /// Its packets are forwarded.
    pub data_plane_ok: bool,
    /// Its agent works.
    pub agent_ok: bool,
    /// Hash of what both nodes must be configured with alike.
    pub config_hash: u64,
    /// How far it has our flows.
    pub sync: SyncState,
    /// Its groups; more than [`MAX_GROUPS`] are not sent.
    pub groups: Vec<Claim>,
}

impl NodeId {
    /// Of the node with this name.
    pub fn of(name: &str) -> Self {
        let digest = Sha256::digest(name.as_bytes());
        Self(u64::from_be_bytes(leading(&digest)))
    }
}

impl GroupId {
    /// Of the group with this name.
    pub fn of(name: &str) -> Self {
        let digest = Sha256::digest(name.as_bytes());
        Self(u32::from_be_bytes(leading(&digest)))
    }
}

impl SyncState {
    const ALL: [Self; 3] = [Self::Off, Self::Pulling, Self::InSync];

    const fn code(self) -> u8 {
        match self {
            Self::Off => 0,
            Self::Pulling => 1,
            Self::InSync => 2,
        }
    }
}

impl Heartbeat {
    /// The claim about a group.
    pub fn claim(&self, group: GroupId) -> Option<&Claim> {
        self.groups.iter().find(|claim| claim.group == group)
    }

    /// The datagram.
    pub fn encode(&self, key: &Key) -> Vec<u8> {
        let groups = &self.groups[..self.groups.len().min(MAX_GROUPS)];
        let length = HEADER + groups.len() * GROUP + TAG;
        let interval = u32::try_from(self.interval.as_micros()).unwrap_or(u32::MAX);
        let flags = flag(self.data_plane_ok, DATA_PLANE_OK) | flag(self.agent_ok, AGENT_OK);
        let mut bytes = Vec::with_capacity(length);
        bytes.extend(MAGIC);
        bytes.extend([VERSION, flags, self.path, low_byte(groups.len())]);
        bytes.extend([low_byte(length >> 8), low_byte(length)]);
        bytes.extend(self.heard.to_be_bytes());
        bytes.extend(interval.to_be_bytes());
        bytes.extend(self.node.0.to_be_bytes());
        bytes.extend(self.boot.0.to_be_bytes());
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.echo.boot.0.to_be_bytes());
        bytes.extend(self.echo.seq.to_be_bytes());
        bytes.extend(self.config_hash.to_be_bytes());
        bytes.extend([self.multiplier, self.sync.code()]);
        bytes.extend([0; 6]);
        for claim in groups {
            bytes.extend(claim.group.0.to_be_bytes());
            bytes.extend([role_code(claim.role), claim.priority, claim.flags(), 0]);
            bytes.extend(claim.term.to_be_bytes());
        }
        let tag = sealed(key, &bytes).finalize().into_bytes();
        bytes.extend(tag);
        bytes
    }

    /// Reads a datagram.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn decode(bytes: &[u8], key: &Key) -> Result<Self, Refusal> {
        if bytes.len() < HEADER + TAG || bytes.len() > MAX_LENGTH {
            return Err(Refusal::Length);
        }
        if bytes[..4] != MAGIC || bytes[4] != VERSION {
            return Err(Refusal::Version);
        }
        let mut rest = Reader(bytes);
        let [_, _, _, _, _, flags, path, groups] = rest.take::<8>()?;
        let count = usize::from(groups);
        let told = usize::from(u16::from_be_bytes(rest.take()?));
        if told != bytes.len() || told != HEADER + count * GROUP + TAG {
            return Err(Refusal::Length);
        }
        let (body, tag) = bytes.split_at(bytes.len() - TAG);
        let sound = sealed(key, body).verify_slice(tag);
        sound.map_err(|_mismatch| Refusal::Hmac)?;

        let heard = u16::from_be_bytes(rest.take()?);
        let interval = u32::from_be_bytes(rest.take()?);
        let mut long = || rest.take().map(u64::from_be_bytes);
        let (node, boot, seq) = (NodeId(long()?), Boot(long()?), long()?);
        let (echo_boot, echo_seq, config_hash) = (Boot(long()?), long()?, long()?);
        let [multiplier, sync, _, _, _, _, _, _] = rest.take::<8>()?;
        let sync = SyncState::ALL
            .into_iter()
            .find(|known| known.code() == sync);
        let groups = (0..count).map(|_| Claim::read(&mut rest));
        if boot == Boot(0) || interval == 0 || multiplier == 0 {
            return Err(Refusal::Field);
        }
        Ok(Self {
            node,
            boot,
            seq,
            path,
            heard,
            echo: Echo {
                boot: echo_boot,
                seq: echo_seq,
            },
            interval: Duration::from_micros(interval.into()),
            multiplier,
            data_plane_ok: flags & DATA_PLANE_OK != 0,
            agent_ok: flags & AGENT_OK != 0,
            config_hash,
            sync: sync.ok_or(Refusal::Field)?,
            groups: groups.collect::<Result<_, _>>()?,
        })
    }
}

impl Claim {
    fn flags(&self) -> u8 {
        flag(self.held, HELD) | flag(self.yields, YIELDS) | flag(self.wants, WANTS)
    }

    fn read(rest: &mut Reader<'_>) -> Result<Self, Refusal> {
        let group = GroupId(u32::from_be_bytes(rest.take()?));
        let [role, priority, flags, _] = rest.take()?;
        let role = Role::ALL
            .into_iter()
            .find(|known| role_code(*known) == role);
        Ok(Self {
            group,
            role: role.ok_or(Refusal::Field)?,
            priority,
            term: u64::from_be_bytes(rest.take()?),
            held: flags & HELD != 0,
            yields: flags & YIELDS != 0,
            wants: flags & WANTS != 0,
        })
    }
}

const fn role_code(role: Role) -> u8 {
    match role {
        Role::Init => 0,
        Role::Backup => 1,
        Role::Active => 2,
        Role::Fault => 3,
    }
}

/// HMAC over `bytes`; a key of any length will do for it (RFC 2104).
fn sealed(key: &Key, bytes: &[u8]) -> Hmac<Sha256> {
    let mut mac = key.mac().clone();
    mac.update(bytes);
    mac
}

const fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

#[expect(clippy::cast_possible_truncation, reason = "the low byte is meant")]
const fn low_byte(value: usize) -> u8 {
    value as u8
}

fn leading<const N: usize>(digest: &[u8]) -> [u8; N] {
    let mut first = [0; N];
    first.copy_from_slice(&digest[..N]);
    first
}

/// Fields one behind the other.
struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let (field, rest) = self.0.split_first_chunk().ok_or(Refusal::Length)?;
        self.0 = rest;
        Ok(*field)
    }
}

#[cfg(test)]
mod tests;
