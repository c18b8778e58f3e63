//! BFD control packets (RFC 5880 §4.1), as they are over one hop (RFC 5881). Pure.

use super::refusal::Refusal;

/// UDP port that control packets go to (RFC 5881 §4).
pub const PORT: u16 = 3784;

/// TTL or hop limit of every packet, sent and received: whoever is a router away can not forge it (RFC 5881 §5).
pub const HOP_LIMIT: u8 = 255;

/// Length of a packet without authentication, in bytes.
pub const LENGTH: usize = 24;

/// The least length of one with authentication.
const AUTHENTICATED: usize = 26;

const VERSION: u8 = 1;

const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const INDEPENDENT: u8 = 0x08;
const AUTHENTICATION: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// State of a session, as the sender sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Taken down by somebody, which says nothing of the path.
    AdminDown,
    /// Nothing was agreed on.
    #[default]
    Down,
    /// The peer is heard, and does not say yet that it hears us.
    Init,
    /// Both hear each other.
    Up,
}

/// Why a session last went down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Diagnostic {
    /// Nothing to say.
    #[default]
    None,
    /// Nothing was heard for the detection time.
    DetectionTimeExpired,
    /// The echo function failed.
    EchoFailed,
    /// The peer said that it is down.
    NeighborSignaledDown,
    /// The forwarding plane was reset.
    ForwardingPlaneReset,
    /// The path is down.
    PathDown,
    /// A path behind this one is down.
    ConcatenatedPathDown,
    /// Somebody took it down.
    AdministrativelyDown,
    /// The way back of a path behind this one is down.
    ReverseConcatenatedPathDown,
    /// A number that RFC 5880 leaves to others, 9 to 31.
    Other(u8),
}

/// A control packet. Intervals are in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the flags of the wire format"
)]
pub struct Packet {
    /// Why the sender's session last went down.
    pub diagnostic: Diagnostic,
    /// State of the sender's session.
    pub state: State,
    /// Asks for an answer with `is_final`.
    pub poll: bool,
    /// Is the answer to a packet with `poll`.
    pub is_final: bool,
    /// The sender's BFD does not share the fate of its control plane.
    pub independent: bool,
    /// The sender wants to be asked, not told periodically, once both are up.
    pub demand: bool,
    /// So many missing packets of the sender are silence; never 0.
    pub multiplier: u8,
    /// The sender's number for the session; never 0.
    pub my_discriminator: u32,
    /// The receiver's; 0 = not known to the sender.
    pub your_discriminator: u32,
    /// The sender will not send more often than this.
    pub desired_min_tx: u32,
    /// The sender does not want more than one packet in this time; 0 = none at all.
    pub required_min_rx: u32,
    /// As `required_min_rx` for echo packets; 0 = none.
    pub required_min_echo_rx: u32,
}

/// Reads what came in a datagram with this TTL or hop limit, by the rules of RFC 5880 §6.8.6 that need no session.
///
/// # Errors
/// Which rule it breaks, the first one.
pub fn parse(data: &[u8], hop_limit: u8) -> Result<Packet, Refusal> {
    if hop_limit != HOP_LIMIT {
        return Err(Refusal::HopLimit);
    }
    let Some(header) = data.first_chunk::<LENGTH>() else {
        return Err(Refusal::Truncated);
    };
    let [first, flags, multiplier, length, ..] = *header;
    if first >> 5 != VERSION {
        return Err(Refusal::Version);
    }
    let length = usize::from(length);
    let authenticated = flags & AUTHENTICATION != 0;
    let least = if authenticated { AUTHENTICATED } else { LENGTH };
    if length < least || length > data.len() {
        return Err(Refusal::Length);
    }
    if multiplier == 0 {
        return Err(Refusal::DetectMultiplier);
    }
    if flags & MULTIPOINT != 0 {
        return Err(Refusal::Multipoint);
    }
    let word = |at: usize| {
        let bytes = header.get(at..at + 4).and_then(|b| b.try_into().ok());
        bytes.map_or(0, u32::from_be_bytes)
    };
    let packet = Packet {
        diagnostic: Diagnostic::of(first & 0x1f),
        state: State::of(flags >> 6),
        poll: flags & POLL != 0,
        is_final: flags & FINAL != 0,
        independent: flags & INDEPENDENT != 0,
        demand: flags & DEMAND != 0,
        multiplier,
        my_discriminator: word(4),
        your_discriminator: word(8),
        desired_min_tx: word(12),
        required_min_rx: word(16),
        required_min_echo_rx: word(20),
    };
    if packet.my_discriminator == 0 {
        return Err(Refusal::MyDiscriminator);
    }
    if packet.your_discriminator == 0 && !matches!(packet.state, State::AdminDown | State::Down) {
        return Err(Refusal::YourDiscriminator);
    }
    if authenticated {
        return Err(Refusal::Authentication);
    }
    Ok(packet)
}

impl Packet {
    /// As it goes out.
    pub fn encode(&self) -> [u8; LENGTH] {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let mut data = [0; LENGTH];
        let flags = self.state.number() << 6
            | flag(self.poll, POLL)
            | flag(self.is_final, FINAL)
            | flag(self.independent, INDEPENDENT)
            | flag(self.demand, DEMAND);
        let words = [
            u32::from_be_bytes([
                VERSION << 5 | self.diagnostic.number(),
                flags,
                self.multiplier,
                24,
            ]),
            self.my_discriminator,
            self.your_discriminator,
            self.desired_min_tx,
            self.required_min_rx,
            self.required_min_echo_rx,
        ];
        for (place, word) in data.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        data
    }
}

impl State {
    /// As the API, the command line and metrics have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AdminDown => "admin-down",
            Self::Down => "down",
            Self::Init => "init",
            Self::Up => "up",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }

    /// Of the lowest two bits.
    const fn of(number: u8) -> Self {
        match number & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }
}

impl Diagnostic {
    /// The 5 bits of the packet.
    pub const fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::DetectionTimeExpired => 1,
            Self::EchoFailed => 2,
            Self::NeighborSignaledDown => 3,
            Self::ForwardingPlaneReset => 4,
            Self::PathDown => 5,
            Self::ConcatenatedPathDown => 6,
            Self::AdministrativelyDown => 7,
            Self::ReverseConcatenatedPathDown => 8,
            Self::Other(number) => number & 0x1f,
        }
    }

    /// Of the lowest five bits.
    const fn of(number: u8) -> Self {
        match number & 0x1f {
            0 => Self::None,
            1 => Self::DetectionTimeExpired,
            2 => Self::EchoFailed,
            3 => Self::NeighborSignaledDown,
            4 => Self::ForwardingPlaneReset,
            5 => Self::PathDown,
            6 => Self::ConcatenatedPathDown,
            7 => Self::AdministrativelyDown,
            8 => Self::ReverseConcatenatedPathDown,
            other => Self::Other(other),
        }
    }

    /// In the words of RFC 5880 §4.1.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::DetectionTimeExpired => "control detection time expired",
            Self::EchoFailed => "echo function failed",
            Self::NeighborSignaledDown => "neighbor signaled session down",
            Self::ForwardingPlaneReset => "forwarding plane reset",
            Self::PathDown => "path down",
            Self::ConcatenatedPathDown => "concatenated path down",
            Self::AdministrativelyDown => "administratively down",
            Self::ReverseConcatenatedPathDown => "reverse concatenated path down",
            Self::Other(_) => "unassigned",
        }
    }
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
