//! Enums as the file spells them, and the nearest word to a misspelt one.

use crate::model::{
    AdminState, AttachMode, Checksum, Election, Hash, InitialState, Mode, OnDown, Profile,
    ProxyProtocol, Require, Scheduler, TransportProtocol,
};

/// An enum that the file spells in words.
pub(super) trait Words: Copy + 'static {
    /// Every value.
    const ALL: &'static [Self];
    /// Words of later capabilities: people will try them, and "unknown" would be the wrong answer.
    const LATER: &'static [&'static str] = &[];

    /// The word for this value.
    fn word(self) -> &'static str;
}

/// `type` of a monitor; HTTP and HTTPS are one kind in the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MonitorType {
    Tcp,
    Http,
    Https,
    Icmp,
    Bfd,
}

/// Methods an HTTP monitor may use.
pub(super) const METHODS: &[&str] = &["GET", "HEAD", "OPTIONS", "POST", "PUT"];

impl Words for MonitorType {
    const ALL: &'static [Self] = &[Self::Tcp, Self::Http, Self::Https, Self::Icmp, Self::Bfd];

    fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Https => "https",
            Self::Icmp => "icmp",
            Self::Bfd => "bfd",
        }
    }
}

impl Words for AttachMode {
    const ALL: &'static [Self] = &[Self::Native, Self::Skb];

    fn word(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Skb => "skb",
        }
    }
}

impl Words for Election {
    const ALL: &'static [Self] = &[Self::Vrrp, Self::Heartbeat];

    fn word(self) -> &'static str {
        match self {
            Self::Vrrp => "vrrp",
            Self::Heartbeat => "heartbeat",
        }
    }
}

impl Words for Require {
    const ALL: &'static [Self] = &[Self::Any, Self::All];

    fn word(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::All => "all",
        }
    }
}

impl Words for Profile {
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Words for InitialState {
    const ALL: &'static [Self] = &[Self::Up, Self::Down];

    fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl Words for AdminState {
    const ALL: &'static [Self] = &[Self::Enabled, Self::Draining, Self::Maintenance];

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Words for OnDown {
    const ALL: &'static [Self] = &[Self::Reset, Self::Reselect, Self::Keep];

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Words for TransportProtocol {
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Words for Mode {
    const ALL: &'static [Self] = &Self::ALL;

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Words for ProxyProtocol {
    const ALL: &'static [Self] = &[Self::V2];

    fn word(self) -> &'static str {
        self.name()
    }
}

impl Words for Checksum {
    const ALL: &'static [Self] = &[Self::Auto, Self::PseudoHeader, Self::MessageOnly];

    fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::PseudoHeader => "pseudo-header",
            Self::MessageOnly => "message-only",
        }
    }
}

impl Words for Scheduler {
    const ALL: &'static [Self] = &[Self::Maglev];
    const LATER: &'static [&'static str] = &[
        "round-robin",
        "weighted-round-robin",
        "least-connections",
        "source-hash",
        "fastest-response",
        "dynamic-feedback",
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Maglev => "maglev",
        }
    }
}

impl Words for Hash {
    const ALL: &'static [Self] = &[Self::FiveTuple, Self::Source];

    fn word(self) -> &'static str {
        match self {
            Self::FiveTuple => "five-tuple",
            Self::Source => "source",
        }
    }
}

/// The candidate that `given` was probably meant to be, if one is near: at most one slip in three
/// letters, so that `udp` is not offered for `tcp`.
pub(super) fn closest<'a>(
    given: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    let given = given.to_lowercase();
    let slips = (given.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&given, &candidate.to_lowercase());
            (distance, candidate)
        })
        .filter(|(distance, _)| *distance <= slips)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let words = ["tcp", "udp", "five-tuple", "weight"];
        assert_eq!(closest("wieght", words).as_deref(), Some("weight"));
        assert_eq!(closest("TCP", words).as_deref(), Some("tcp"));
        assert_eq!(closest("five_tuple", words).as_deref(), Some("five-tuple"));
        assert_eq!(closest("tpc", words).as_deref(), Some("tcp"));
        assert_eq!(closest("icmp", words), None);
        assert_eq!(closest("", words), None);
    }
}
