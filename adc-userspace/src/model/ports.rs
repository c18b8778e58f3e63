//! Ports of a service.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Ports that clients connect to. Written `443`, `5000-5100` or `any` everywhere; in JSON and TOML the first is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ports {
    /// One port, 1 ..= 65 535.
    One(u16),
    /// Several.
    Range {
        /// The first, at least 1.
        first: u16,
        /// The last, above the first.
        last: u16,
    },
    /// All ports but those that other services of the VIP and protocol have.
    Any,
}

/// Text that names no ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPorts {
    /// Not in one of the three forms.
    #[error("not a port, a range of ports or \"any\"")]
    Form,
    /// Port 0 is reserved (RFC 6335 §6).
    #[error("port 0 is no port")]
    Zero,
    /// The first port is above the last.
    #[error("the range is empty, because its first port is above its last")]
    Inverted,
    /// The first port is the last.
    #[error("a range of one port; write it as a number")]
    Single,
}

/// What [`Ports`] may be, for messages.
pub const PORTS: &str = "1 to 65535, a range such as \"5000-5100\", or \"any\"";

impl Ports {
    /// The word for every port.
    const ANY: &str = "any";

    /// The first and the last port.
    pub const fn ends(self) -> (u16, u16) {
        match self {
            Self::One(port) => (port, port),
            Self::Range { first, last } => (first, last),
            Self::Any => (1, u16::MAX),
        }
    }

    /// The port, if there is but one.
    pub const fn one(self) -> Option<u16> {
        match self {
            Self::One(port) => Some(port),
            Self::Range { .. } | Self::Any => None,
        }
    }

    /// What is wrong with these, however they came about.
    ///
    /// # Errors
    /// Port 0, or a range that is none.
    pub fn check(self) -> Result<Self, InvalidPorts> {
        match self {
            Self::One(0) | Self::Range { first: 0, .. } => Err(InvalidPorts::Zero),
            Self::Range { first, last } if first > last => Err(InvalidPorts::Inverted),
            Self::Range { first, last } if first == last => Err(InvalidPorts::Single),
            Self::One(_) | Self::Range { .. } | Self::Any => Ok(self),
        }
    }
}

impl FromStr for Ports {
    type Err = InvalidPorts;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // No sign, no spaces: one way to write them.
        let port = |digits: &str| {
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
            let port = digits.parse().ok().filter(|_| plain);
            port.ok_or(InvalidPorts::Form)
        };
        if text == Self::ANY {
            return Ok(Self::Any);
        }
        match text.split_once('-') {
            None => Self::One(port(text)?),
            Some((first, last)) => Self::Range {
                first: port(first)?,
                last: port(last)?,
            },
        }
        .check()
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(port) => write!(f, "{port}"),
            Self::Range { first, last } => write!(f, "{first}-{last}"),
            Self::Any => f.write_str(Self::ANY),
        }
    }
}

impl Serialize for Ports {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(port) => to.serialize_u16(*port),
            Self::Range { .. } | Self::Any => to.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Form)
    }
}

/// A number or a string.
struct Form;

impl de::Visitor<'_> for Form {
    type Value = Ports;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PORTS)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Ports, E> {
        let out_of_range = || E::invalid_value(de::Unexpected::Unsigned(number), &self);
        let port = u16::try_from(number).map_err(|_error| out_of_range())?;
        // Rules of the configuration say what is wrong with 0.
        Ok(Ports::One(port))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Ports, E> {
        text.parse()
            .map_err(|problem| E::custom(format_args!("`{text}`: {problem}; allowed: {PORTS}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_written_as_they_are_read() {
        for (text, ports) in [
            ("443", Ports::One(443)),
            (
                "5000-5100",
                Ports::Range {
                    first: 5000,
                    last: 5100,
                },
            ),
            (
                "1-65535",
                Ports::Range {
                    first: 1,
                    last: 65_535,
                },
            ),
            ("any", Ports::Any),
        ] {
            assert_eq!(text.parse(), Ok(ports));
            assert_eq!(ports.to_string(), text);
            let json = serde_json::to_value(ports).unwrap();
            assert_eq!(json.is_number(), ports.one().is_some(), "{json}");
            assert_eq!(serde_json::from_value::<Ports>(json).unwrap(), ports);
        }
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for (text, problem) in [
            ("", InvalidPorts::Form),
            ("http", InvalidPorts::Form),
            ("Any", InvalidPorts::Form),
            ("+80", InvalidPorts::Form),
            (" 80", InvalidPorts::Form),
            ("80-", InvalidPorts::Form),
            ("-80", InvalidPorts::Form),
            ("80-90-100", InvalidPorts::Form),
            ("5000:5100", InvalidPorts::Form),
            ("65536", InvalidPorts::Form),
            ("1-65536", InvalidPorts::Form),
            ("0", InvalidPorts::Zero),
            ("0-90", InvalidPorts::Zero),
            ("90-80", InvalidPorts::Inverted),
            ("80-80", InvalidPorts::Single),
        ] {
            assert_eq!(text.parse::<Ports>(), Err(problem), "{text}");
        }
        assert!(serde_json::from_str::<Ports>("70000").is_err());
        assert!(serde_json::from_str::<Ports>("-1").is_err());
        let error = serde_json::from_str::<Ports>("\"90-80\"").unwrap_err();
        assert!(
            error.to_string().starts_with("`90-80`: the range is empty"),
            "{error}"
        );
    }
}
