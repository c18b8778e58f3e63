//! TCP flags as people write them.

use std::{fmt, str::FromStr};

use etherparse::TcpHeader;
use serde::{Deserialize, Serialize};

/// Flags of a TCP segment: `syn`, `syn|ack`, `fin|ack`, ...; the bits of RFC 9293 §3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TcpFlags(pub u8);

const NAMES: [(&str, u8); 8] = [
    ("syn", 0x02),
    ("fin", 0x01),
    ("rst", 0x04),
    ("psh", 0x08),
    ("ack", 0x10),
    ("urg", 0x20),
    ("ece", 0x40),
    ("cwr", 0x80),
];

impl TcpFlags {
    /// What opens a connection.
    pub const SYN: Self = Self(0x02);

    /// Those of a header.
    pub fn of(header: &TcpHeader) -> Self {
        let bits = [
            (header.fin, 0x01),
            (header.syn, 0x02),
            (header.rst, 0x04),
            (header.psh, 0x08),
            (header.ack, 0x10),
            (header.urg, 0x20),
            (header.ece, 0x40),
            (header.cwr, 0x80),
        ];
        let set = bits.into_iter().filter(|(set, _)| *set);
        Self(set.fold(0, |flags, (_, bit)| flags | bit))
    }

    /// Whether all flags of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the segment acknowledges something.
    pub const fn acknowledges(self) -> bool {
        self.0 & 0x10 != 0
    }

    /// Puts them into a header.
    pub fn write_to(self, header: &mut TcpHeader) {
        let is_set = |bit: u8| self.0 & bit != 0;
        header.fin = is_set(0x01);
        header.syn = is_set(0x02);
        header.rst = is_set(0x04);
        header.psh = is_set(0x08);
        header.ack = is_set(0x10);
        header.urg = is_set(0x20);
        header.ece = is_set(0x40);
        header.cwr = is_set(0x80);
    }
}

impl FromStr for TcpFlags {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut flags = 0;
        if text == "none" {
            return Ok(Self(0));
        }
        for word in text.split(['|', ',', '+']) {
            let found = NAMES
                .iter()
                .find(|(name, _)| word.eq_ignore_ascii_case(name));
            let Some((_, bit)) = found else {
                return Err(format!(
                    "`{word}` is no TCP flag: use syn, ack, fin, rst, psh, urg, ece, cwr, joined with | (`syn|ack`), or none"
                ));
            };
            flags |= bit;
        }
        Ok(Self(flags))
    }
}

impl TryFrom<String> for TcpFlags {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<TcpFlags> for String {
    fn from(flags: TcpFlags) -> Self {
        flags.to_string()
    }
}

impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = NAMES.iter().filter(|(_, bit)| self.0 & bit != 0);
        let names: Vec<&str> = set.map(|(name, _)| *name).collect();
        if names.is_empty() {
            f.write_str("none")
        } else {
            f.write_str(&names.join("|"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_written_as_they_are_read() {
        for text in ["syn", "syn|ack", "fin|ack", "rst", "none"] {
            assert_eq!(text.parse::<TcpFlags>().unwrap().to_string(), text);
        }
        assert_eq!("SYN+ACK".parse::<TcpFlags>().unwrap(), TcpFlags(0x12));
    }

    #[test]
    fn an_unknown_flag_is_named_and_the_known_ones_are_listed() {
        let error = "syn|foo".parse::<TcpFlags>().unwrap_err();
        assert!(error.contains("foo") && error.contains("psh"), "{error}");
    }
}
