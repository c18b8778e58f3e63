//! Why a packet is not taken in.

/// One per rule of RFC 5880 §6.8.6, and of RFC 5881 §5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// TTL or hop limit is not 255: it crossed a router.
    HopLimit,
    /// Shorter than any packet.
    Truncated,
    /// Not version 1.
    Version,
    /// Its length is less than a packet's, or more than what came.
    Length,
    /// A detection multiplier of 0.
    DetectMultiplier,
    /// The multipoint bit, which is reserved.
    Multipoint,
    /// The sender has no discriminator.
    MyDiscriminator,
    /// The sender says that it hears us, and has no discriminator of ours.
    YourDiscriminator,
    /// It is for no session of ours.
    NoSession,
    /// It carries authentication, and none was agreed on.
    Authentication,
    /// The session is administratively down on this side.
    AdminDown,
}

impl Refusal {
    /// Every one.
    pub const ALL: [Self; 11] = [
        Self::HopLimit,
        Self::Truncated,
        Self::Version,
        Self::Length,
        Self::DetectMultiplier,
        Self::Multipoint,
        Self::MyDiscriminator,
        Self::YourDiscriminator,
        Self::NoSession,
        Self::Authentication,
        Self::AdminDown,
    ];

    /// As the API, the command line and metrics have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HopLimit => "hop_limit",
            Self::Truncated => "truncated",
            Self::Version => "version",
            Self::Length => "length",
            Self::DetectMultiplier => "detect_multiplier",
            Self::Multipoint => "multipoint",
            Self::MyDiscriminator => "my_discriminator",
            Self::YourDiscriminator => "your_discriminator",
            Self::NoSession => "no_session",
            Self::Authentication => "authentication",
            Self::AdminDown => "admin_down",
        }
    }
}
