//! VRRP messages: version 3 (RFC 9568) over IPv4 and IPv6, version 2 (RFC 3768) over IPv4.
//!
//! Two dialects exist of version 3's checksum over IPv4: RFC 9568 §5.2.8 covers the message only, while RFC 5798
//! was read by many, keepalived among them, as covering a pseudo-header too. Both are understood; the sender chooses.

use std::{net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::Refusal;
pub use crate::model::VrrpVersion as Version;

/// IP protocol number (RFC 9568 §5.1.1.4).
pub const PROTOCOL: u8 = 112;

/// TTL and hop limit of every advert (RFC 9568 §5.1.1.3 and §5.1.2.3).
pub const HOP_LIMIT: u8 = 255;

/// Bytes before the addresses.
const HEADER: usize = 8;

/// Version 2 ends with eight bytes of authentication data, zero since RFC 3768 §5.3.10.
const V2_TRAILER: usize = 8;

/// Type of the only message there is.
const ADVERTISEMENT: u8 = 1;

/// How often an active router says so, as the wire has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// Version 2: 1 to 255 seconds.
    Seconds(u8),
    /// Version 3: 1 to 4095 hundredths of a second.
    Centiseconds(u16),
}

/// Whether the IPv4 checksum of version 3 covers a pseudo-header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Addresses, protocol and length are covered: keepalived and older routers.
    #[default]
    PseudoHeader,
    /// The message alone is covered: RFC 9568.
    MessageOnly,
}

/// An advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    /// Virtual router, 1 to 255.
    pub vrid: u8,
    /// 1 to 254; 255 = owner of the addresses; 0 = resigns.
    pub priority: u8,
    /// How often its sender sends; says the version too.
    pub interval: Interval,
    /// The addresses, 1 to 255 of them, all of the family that carries the message.
    pub addresses: Vec<IpAddr>,
}

/// What came around a message.
#[derive(Clone, Copy, Debug)]
pub struct Envelope {
    /// Who sent it.
    pub source: IpAddr,
    /// To whom: the group address, or one of ours.
    pub destination: IpAddr,
    /// TTL or hop limit as it arrived.
    pub hop_limit: u8,
}

impl Interval {
    /// As a span of time.
    pub fn duration(self) -> Duration {
        match self {
            Self::Seconds(seconds) => Duration::from_secs(seconds.into()),
            Self::Centiseconds(hundredths) => Duration::from_millis(u64::from(hundredths) * 10),
        }
    }

    /// The nearest that the wire can say, never zero: version 2 rounds to seconds, version 3 to hundredths.
    pub fn of(version: Version, duration: Duration) -> Self {
        let rounded = |unit: u128| (duration.as_millis() + unit / 2) / unit;
        match version {
            Version::V2 => Self::Seconds(u8::try_from(rounded(1000).max(1)).unwrap_or(u8::MAX)),
            Version::V3 => {
                let hundredths = rounded(10).clamp(1, 4095);
                Self::Centiseconds(u16::try_from(hundredths).unwrap_or(4095))
            }
        }
    }

    /// The version that speaks so.
    pub fn version(self) -> Version {
        match self {
            Self::Seconds(_) => Version::V2,
            Self::Centiseconds(_) => Version::V3,
        }
    }
}

/// Writes an advert. Addresses beyond the 255th, and those of another family than `source`, are left out.
///
/// `dialect` matters to version 3 over IPv4 only: IPv6 always has a pseudo-header (RFC 8200 §8.1), version 2 never.
pub fn encode(advert: &Advert, source: IpAddr, destination: IpAddr, dialect: Dialect) -> Vec<u8> {
    let same_family = |address: &&IpAddr| address.is_ipv4() == source.is_ipv4();
    let addresses = advert.addresses.iter().filter(same_family).take(255);
    let mut message = vec![0; HEADER];
    let mut count: u8 = 0;
    for address in addresses {
        match address {
            IpAddr::V4(v4) => message.extend(v4.octets()),
            IpAddr::V6(v6) => message.extend(v6.octets()),
        }
        count += 1;
    }
    let version = advert.interval.version();
    message[0] = version.number() << 4 | ADVERTISEMENT;
    message[1] = advert.vrid;
    message[2] = advert.priority;
    message[3] = count;
    let covers_addresses = match advert.interval {
        Interval::Seconds(seconds) => {
            // Authentication type 0, then the interval.
            message[5] = seconds;
            message.extend([0; V2_TRAILER]);
            false
        }
        Interval::Centiseconds(hundredths) => {
            message[4..6].copy_from_slice(&(hundredths & 0x0fff).to_be_bytes());
            source.is_ipv6() || dialect == Dialect::PseudoHeader
        }
    };
    let pseudo = covers_addresses.then(|| pseudo_header(source, destination, message.len()));
    let sum = checksum(pseudo.unwrap_or_default(), &message);
    message[6..8].copy_from_slice(&sum);
    message
}

/// Reads a message, `payload` being what follows the IP header and no more (short Ethernet frames are padded: trust
/// the IP header's length). `unicast` excuses another TTL than 255, which peers behind a router can not have.
///
/// # Errors
/// The first thing that is wrong with it. Whether anybody here cares for it is for others to say.
pub fn decode(
    payload: &[u8],
    envelope: &Envelope,
    unicast: bool,
) -> Result<(Advert, Option<Dialect>), Refusal> {
    if envelope.hop_limit != HOP_LIMIT && !unicast {
        return Err(Refusal::HopLimit);
    }
    let header: &[u8; HEADER] = payload.first_chunk().ok_or(Refusal::Length)?;
    let version = version_of(header[0] >> 4, envelope)?;
    if header[0] & 0x0f != ADVERTISEMENT {
        return Err(Refusal::Type);
    }
    let addresses = addresses(payload, header[3], version, envelope)?;
    let dialect = verify(payload, version, envelope)?;
    let interval = match version {
        Version::V2 if header[4] != 0 => return Err(Refusal::Authentication),
        Version::V2 => Interval::Seconds(header[5]),
        // The four reserved bits are to be ignored (RFC 9568 §5.2.6).
        Version::V3 => Interval::Centiseconds(u16::from_be_bytes([header[4], header[5]]) & 0x0fff),
    };
    if header[1] == 0 {
        return Err(Refusal::Vrid);
    }
    if interval.duration().is_zero() {
        return Err(Refusal::Interval);
    }
    let advert = Advert {
        vrid: header[1],
        priority: header[2],
        interval,
        addresses,
    };
    Ok((advert, dialect))
}

fn version_of(number: u8, envelope: &Envelope) -> Result<Version, Refusal> {
    match number {
        3 => Ok(Version::V3),
        2 if envelope.source.is_ipv4() => Ok(Version::V2),
        _ => Err(Refusal::Version),
    }
}

fn addresses(
    payload: &[u8],
    count: u8,
    version: Version,
    envelope: &Envelope,
) -> Result<Vec<IpAddr>, Refusal> {
    if count == 0 {
        return Err(Refusal::Count);
    }
    let size = if envelope.source.is_ipv4() { 4 } else { 16 };
    let end = HEADER + usize::from(count) * size;
    let trailer = match version {
        Version::V2 => V2_TRAILER,
        Version::V3 => 0,
    };
    if payload.len() != end + trailer {
        return Err(Refusal::Length);
    }
    let body = payload.get(HEADER..end).ok_or(Refusal::Length)?;
    let address = |bytes: &[u8]| {
        let v4 = bytes.first_chunk::<4>().filter(|_| bytes.len() == 4);
        let v6 = bytes.first_chunk::<16>();
        v4.map(|octets| IpAddr::from(*octets))
            .or(v6.map(|octets| IpAddr::from(*octets)))
    };
    Ok(body.chunks_exact(size).filter_map(address).collect())
}

/// Which dialect the checksum is right in; `None` where there is only one way.
fn verify(
    payload: &[u8],
    version: Version,
    envelope: &Envelope,
) -> Result<Option<Dialect>, Refusal> {
    let right = |initial: u32| checksum(initial, payload) == [0, 0];
    let pseudo = || pseudo_header(envelope.source, envelope.destination, payload.len());
    let found = match (version, envelope.source) {
        (Version::V2, _) => right(0).then_some(None),
        (Version::V3, IpAddr::V6(_)) => right(pseudo()).then_some(None),
        (Version::V3, IpAddr::V4(_)) if right(pseudo()) => Some(Some(Dialect::PseudoHeader)),
        (Version::V3, IpAddr::V4(_)) => right(0).then_some(Some(Dialect::MessageOnly)),
    };
    found.ok_or(Refusal::Checksum)
}

/// Sum of the pseudo-header's words: RFC 8200 §8.1, and for IPv4 what RFC 9293 §3.1 has for TCP.
fn pseudo_header(source: IpAddr, destination: IpAddr, length: usize) -> u32 {
    let words = |address: IpAddr| match address {
        IpAddr::V4(v4) => sum(&v4.octets()),
        IpAddr::V6(v6) => sum(&v6.octets()),
    };
    // At most 8 + 255 * 16 + 8 bytes.
    let length = u32::try_from(length).unwrap_or(u32::MAX) & 0xffff;
    words(source) + words(destination) + u32::from(PROTOCOL) + length
}

/// Sum of 16-bit words; an odd last byte counts as the high one (RFC 1071 §4.1).
fn sum(bytes: &[u8]) -> u32 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let words: u32 = pairs
        .iter()
        .map(|pair| u32::from(u16::from_be_bytes(*pair)))
        .sum();
    words + rest.first().map_or(0, |last| u32::from(*last) << 8)
}

/// The Internet checksum of `message`, with what `initial` sums up in front of it. Zero over a message that contains
/// a right one.
fn checksum(initial: u32, message: &[u8]) -> [u8; 2] {
    let mut total = initial + sum(message);
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    let [_, _, high, low] = total.to_be_bytes();
    [!high, !low]
}

/// The checksum over a message alone, for tests that make their own.
#[cfg(test)]
pub(super) fn encode_checksum(message: &[u8]) -> [u8; 2] {
    checksum(0, message)
}
