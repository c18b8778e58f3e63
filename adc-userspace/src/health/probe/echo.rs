//! ICMP and ICMPv6 echo messages (RFC 792, RFC 4443 section 4). Pure.

/// Bytes of random payload: enough that neither a late reply to an older probe nor somebody else's
/// ping can look like the answer.
pub(crate) const PAYLOAD: usize = 32;

/// Length of a whole echo message.
pub(crate) const MESSAGE: usize = HEADER + PAYLOAD;

const HEADER: usize = 8;

/// Which of the two protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    fn request_type(self) -> u8 {
        match self {
            Self::V4 => 8,
            Self::V6 => 128,
        }
    }

    pub(crate) fn reply_type(self) -> u8 {
        match self {
            Self::V4 => 0,
            Self::V6 => 129,
        }
    }
}

/// One echo request, and what its reply must be.
#[derive(Clone, Debug)]
pub(crate) struct Echo {
    pub(crate) family: Family,
    pub(crate) id: u16,
    pub(crate) sequence: u16,
    pub(crate) payload: [u8; PAYLOAD],
}

impl Echo {
    /// The request. The kernel fills in the ICMPv6 checksum, which covers addresses we do not know here
    /// (RFC 3542 section 3.1); the ICMP one is ours.
    pub(crate) fn request(&self) -> [u8; MESSAGE] {
        let mut message = self.message(self.family.request_type());
        if self.family == Family::V4 {
            let sum = checksum(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        message
    }

    /// Whether `message` (without IP header) answers this request. `id` is compared only if `own_id`:
    /// the kernel chooses the identifier of an unprivileged socket, and filters by it.
    pub(crate) fn is_answered_by(&self, message: &[u8], own_id: bool) -> bool {
        let wanted = self.message(self.family.reply_type());
        message.len() == MESSAGE
            && message[..2] == wanted[..2]
            && (!own_id || message[4..6] == wanted[4..6])
            && message[6..] == wanted[6..]
    }

    /// Type, code 0, checksum 0, identifier, sequence number, payload.
    fn message(&self, kind: u8) -> [u8; MESSAGE] {
        let mut message = [0; MESSAGE];
        message[0] = kind;
        message[4..6].copy_from_slice(&self.id.to_be_bytes());
        message[6..8].copy_from_slice(&self.sequence.to_be_bytes());
        message[HEADER..].copy_from_slice(&self.payload);
        message
    }
}

/// What follows the IPv4 header of a packet as a raw socket gives it (`raw(7)`).
pub(crate) fn after_ipv4_header(packet: &[u8]) -> Option<&[u8]> {
    let words = usize::from(packet.first()? & 0x0f);
    packet.get(words.max(5) * 4..)
}

/// Internet checksum of an even number of bytes (RFC 1071).
fn checksum(message: &[u8; MESSAGE]) -> u16 {
    let (words, _none) = message.as_chunks::<2>();
    let mut sum: u32 = words
        .iter()
        .map(|word| u32::from(u16::from_be_bytes(*word)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo(family: Family) -> Echo {
        Echo {
            family,
            id: 0x1234,
            sequence: 7,
            payload: std::array::from_fn(|index| u8::try_from(index * 7).unwrap()),
        }
    }

    fn reply(echo: &Echo) -> [u8; MESSAGE] {
        let mut message = echo.request();
        message[0] = match echo.family {
            Family::V4 => 0,
            Family::V6 => 129,
        };
        message
    }

    #[test]
    fn the_checksum_makes_the_message_sum_to_zero() {
        assert_eq!(checksum(&echo(Family::V4).request()), 0);
        // The same 40 bytes summed by hand: 0x0800 + 0x1234 + 0x0007 + sixteen payload words.
        let words: u32 = (0..16u32).map(|i| i * 14 * 256 + i * 14 + 7).sum();
        let folded = |sum: u32| (sum & 0xffff) + (sum >> 16);
        let sum = folded(folded(0x0800 + 0x1234 + 0x0007 + words));
        let request = echo(Family::V4).request();
        assert_eq!(
            u32::from(u16::from_be_bytes([request[2], request[3]])),
            0xffff - sum
        );
    }

    #[test]
    fn only_the_reply_to_this_very_request_is_an_answer() {
        for family in [Family::V4, Family::V6] {
            let echo = echo(family);
            let good = reply(&echo);
            assert!(echo.is_answered_by(&good, true));
            assert!(
                !echo.is_answered_by(&echo.request(), true),
                "our own request"
            );
            for byte in (0..MESSAGE).filter(|byte| ![2, 3].contains(byte)) {
                let mut bad = good;
                bad[byte] ^= 1;
                assert!(!echo.is_answered_by(&bad, true), "byte {byte} differs");
            }
            for len in 0..MESSAGE {
                assert!(!echo.is_answered_by(&good[..len], true), "cut to {len}");
            }
        }
    }

    #[test]
    fn an_unprivileged_socket_may_have_another_identifier() {
        let echo = echo(Family::V4);
        let mut message = reply(&echo);
        message[4] ^= 0xff;
        assert!(echo.is_answered_by(&message, false));
        assert!(!echo.is_answered_by(&message, true));
    }

    #[test]
    fn ip_options_are_skipped_and_short_packets_refused() {
        let mut packet = vec![0x47; 28];
        packet.extend([1, 2, 3]);
        assert_eq!(after_ipv4_header(&packet), Some(&[1, 2, 3][..]));
        assert_eq!(after_ipv4_header(&packet[..27]), None);
        assert_eq!(after_ipv4_header(&[]), None);
    }
}
