//! Incremental internet checksums (RFC 1624).
//!
//! One's complement sums do not depend on byte order as long as every word is loaded the same way
//! (RFC 1071 §2 B), so words are taken in native order and nothing is ever swapped. A change of any
//! number of words is gathered in one [`Delta`] and folded once.

use super::family::Family;
use crate::abi::{Port, Protocol, Tuple};

/// A partial one's complement sum: what to add to the (un-complemented) checksum.
///
/// Holds at most a few dozen 32-bit words, so 64 bits can not overflow.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Delta(u64);

impl Delta {
    /// No change.
    pub(super) const NONE: Self = Self(0);

    /// The sum of one 32-bit word.
    #[inline(always)]
    pub(super) const fn of_word(word: u32) -> Self {
        Self(word as u64)
    }

    /// The sum of one 64-bit word.
    #[inline(always)]
    pub(super) const fn of_long(word: u64) -> Self {
        Self((word >> 32) + (word & 0xffff_ffff))
    }

    /// The sum of one 16-bit word.
    #[inline(always)]
    pub(super) const fn of_half(word: [u8; 2]) -> Self {
        Self(u16::from_ne_bytes(word) as u64)
    }

    /// The sum of 32 bytes.
    #[inline(always)]
    pub(super) fn of_block(block: &[u8; 32]) -> Self {
        let words: [u32; 8] = bytemuck::cast(*block);
        let mut sum = 0_u64;
        for word in words {
            sum += u64::from(word);
        }
        Self(sum)
    }

    /// The sum of what a pseudo-header has besides addresses: `length` bytes of `protocol`.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "an IP packet has no more")]
    pub(super) const fn of_transport(protocol: Protocol, length: usize) -> Self {
        let [high, low] = (length as u16).to_be_bytes();
        Self(u16::from_ne_bytes([0, protocol.0]) as u64 + u16::from_ne_bytes([high, low]) as u64)
    }

    /// The sum of the two ports of a packet.
    #[inline(always)]
    pub(super) const fn of_ports(sport: Port, dport: Port) -> Self {
        Self(u16::from_ne_bytes(sport.0) as u64 + u16::from_ne_bytes(dport.0) as u64)
    }

    /// The change from the addresses of one tuple to those of another.
    #[inline(always)]
    pub(super) fn of_addresses<A: Family>(from: &Tuple<A>, to: &Tuple<A>) -> Self {
        Self::replace(
            from.src.checksum_words().plus(from.dst.checksum_words()),
            to.src.checksum_words().plus(to.dst.checksum_words()),
        )
    }

    /// The same for the ports.
    #[inline(always)]
    pub(super) fn of_port_change<A>(from: &Tuple<A>, to: &Tuple<A>) -> Self {
        Self::replace(
            Self::of_ports(from.sport, from.dport),
            Self::of_ports(to.sport, to.dport),
        )
    }

    /// Both changes.
    #[inline(always)]
    pub(super) const fn plus(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    /// The change from words that sum to `old` to words that sum to `new`.
    ///
    /// Subtraction is addition of the complement; 2^48 - 1 is a multiple of 0xffff, so it is zero in
    /// one's complement 16-bit arithmetic, and above any sum gathered here.
    #[inline(always)]
    pub(super) const fn replace(old: Self, new: Self) -> Self {
        Self(new.0.wrapping_add(((1 << 48) - 1) - old.0))
    }

    /// The change of one 16-bit word.
    #[inline(always)]
    pub(super) const fn replace16(old: u16, new: u16) -> Self {
        Self((!old) as u64 + new as u64)
    }
}

/// The checksum after `change`: HC' = ~(~HC + ~m + m') (RFC 1624 eqn. 3).
#[inline(always)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "folded below 2^16 before the cast"
)]
pub(super) const fn apply(check: [u8; 2], change: Delta) -> [u8; 2] {
    let mut sum = change.0.wrapping_add(!u16::from_ne_bytes(check) as u64);
    // 64 → 33 → 18 → 17 → 16 bits; each fold adds the carries back in.
    sum = (sum >> 32) + (sum & 0xffff_ffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    (!(sum as u16)).to_ne_bytes()
}

/// The checksum of what sums to `sum` (RFC 1071 §1).
#[inline(always)]
pub(super) const fn of(sum: Delta) -> [u8; 2] {
    // All ones is the complement of nothing yet.
    apply([0xff, 0xff], sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The checksum from scratch, in the plainest way (RFC 1071 §4.1).
    fn full(words: &[u16]) -> u16 {
        let mut sum: u32 = words.iter().copied().map(u32::from).sum();
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        !u16::try_from(sum).unwrap()
    }

    /// 0x0000 and 0xffff are the two zeros of one's complement.
    fn same(a: u16, b: u16) -> bool {
        a == b || (a.is_multiple_of(0xffff) && b.is_multiple_of(0xffff))
    }

    #[test]
    fn rfc_1624_example_gives_zero_not_ffff() {
        // RFC 1624 §4: HC = 0xdd2f, m = 0x5555, m' = 0x3285, HC' = 0x0000. RFC 1141's formula said 0xffff.
        let change = Delta::replace16(0x5555_u16.to_be(), 0x3285_u16.to_be());
        assert_eq!(apply(0xdd2f_u16.to_be_bytes(), change), [0, 0]);
    }

    proptest! {
        #[test]
        fn incremental_equals_full(mut words in prop::collection::vec(any::<u16>(), 8..40), at in 0_usize..6, new: [u16; 2]) {
            let before = full(&words);
            let old = [words[at], words[at + 1]];
            words[at] = new[0];
            words[at + 1] = new[1];
            let word = |w: [u16; 2]| Delta::of_word(u32::from(w[0]) | u32::from(w[1]) << 16);
            let change = Delta::replace(word(old), word(new));
            let after = u16::from_ne_bytes(apply(before.to_ne_bytes(), change));
            prop_assert!(same(after, full(&words)), "{after:04x} != {:04x}", full(&words));
        }

        #[test]
        fn long_words_sum_like_short_ones(long: u64, check: u16) {
            let [short_low, short_high] = [long & 0xffff_ffff, long >> 32].map(|word| u32::try_from(word).unwrap());
            let sum = Delta::of_word(short_low).plus(Delta::of_word(short_high));
            prop_assert_eq!(apply(check.to_ne_bytes(), Delta::of_long(long)), apply(check.to_ne_bytes(), sum));
        }
    }
}
