//! How the CRC of an SCTP packet changes with its ports (RFC 9260 appendix A).
//!
//! CRC32c is linear: the CRCs of two packets of one length differ by the remainder of their difference. When only the ports
//! change, that difference *D* is the first four bytes, followed by zeros to the end of the packet, and its remainder is
//! *D · x^(8n)* modulo the polynomial, *n* being the length of the whole packet. So no byte of the payload is read, and a
//! packet that came with a wrong CRC leaves with a wrong one.
//!
//! Polynomials are reflected, as the CRC is: the most significant bit of a word is the coefficient of x^0. There are no
//! branches but those on the length, and no tables: in the BPF program a table is a map, and a branch is two ways for
//! the verifier to follow.

/// Castagnoli's polynomial, without x^32.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// The same with x^32, which stands in the lowest bit, and without x^0, which is bit 32.
const DIVISOR: u32 = POLYNOMIAL << 1 | 1;

/// Its inverse modulo 2^32: what Barrett's reduction multiplies by to divide.
const INVERSE: u32 = inverse();

const _: () = assert!(POLYNOMIAL >> 31 == 1 && low(carryless(DIVISOR, INVERSE)) == 1);

/// By Newton's method, which doubles the number of right bits; x (2 - dx) is d x² where 2 is 0.
const fn inverse() -> u32 {
    let mut inverse = 1;
    let mut bits = 1;
    while bits < u32::BITS {
        inverse = low(carryless(DIVISOR, low(carryless(inverse, inverse))));
        bits *= 2;
    }
    inverse
}

/// x^(8 · 2^n).
const fn power(n: u32) -> u32 {
    let mut power = 1 << (31 - 8);
    let mut squared = 0;
    while squared < n {
        power = product(power, power);
        squared += 1;
    }
    power
}

/// How the CRC of a packet of `length` bytes (below 64 KiB) changes if its first four change by `difference`; both as little
/// endian numbers, as the CRC is written.
///
/// One multiplication for each bit that is set in the length, by a constant.
#[inline(never)]
pub(super) fn change(difference: u32, length: usize) -> u32 {
    macro_rules! multiply {
        ($change:ident: $($bit:literal)*) => {
            $(if length >> $bit & 1 != 0 {
                $change = times($change, const { power($bit) });
            })*
        };
    }
    let mut change = difference;
    multiply!(change: 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    change
}

/// Out of line: sixteen of them would be much code.
#[inline(never)]
fn times(a: u32, b: u32) -> u32 {
    product(a, b)
}

/// The product of two polynomials, modulo CRC32c's.
#[inline(always)]
const fn product(a: u32, b: u32) -> u32 {
    // 63 bits, moved up so that the lower half is what has to be divided: the powers from x^63 down to x^32.
    let product = carryless(a, b) << 1;
    let quotient = low(carryless(low(product), INVERSE));
    high(product) ^ high(carryless(quotient, DIVISOR)) ^ quotient
}

/// The product without carries.
///
/// Each factor is taken apart so that of every four bits one is left: carries of the usual multiplication (a sum of eight
/// at most) then end in the three bits between, and are cut off.
#[inline(always)]
const fn carryless(a: u32, b: u32) -> u64 {
    const EVERY_FOURTH: u64 = 0x1111_1111_1111_1111;
    let (a, b) = (a as u64, b as u64);
    let mut product = 0;
    let mut offset = 0;
    while offset < 4 {
        let mut sum = 0;
        let mut part = 0;
        while part < 4 {
            let other = (4 + offset - part) % 4;
            sum ^= (a & EVERY_FOURTH << part).wrapping_mul(b & EVERY_FOURTH << other);
            part += 1;
        }
        product |= sum & EVERY_FOURTH << offset;
        offset += 1;
    }
    product
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
const fn low(product: u64) -> u32 {
    product as u32
}

#[inline(always)]
const fn high(product: u64) -> u32 {
    (product >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crc::{CRC_32_ISCSI, Crc};
    use proptest::prelude::*;

    /// Somebody else's CRC32c.
    const JUDGE: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

    /// As appendix A of RFC 9260 has it: over the packet with a checksum of zero.
    fn of(packet: &[u8]) -> u32 {
        let mut packet = packet.to_vec();
        packet[8..12].fill(0);
        JUDGE.checksum(&packet)
    }

    fn start(packet: &[u8]) -> u32 {
        u32::from_le_bytes(packet[..4].try_into().unwrap())
    }

    #[test]
    fn the_reduction_is_the_published_one() {
        // "Fast CRC Computation for iSCSI Polynomial Using CRC32 Instruction" (Intel, 2011): u' without its top bit.
        assert_eq!(INVERSE, 0xdea7_13f1);
        assert_eq!(DIVISOR, 0x05ec_76f1);
    }

    #[test]
    fn nothing_changes_if_nothing_does() {
        assert_eq!(change(0, 1500), 0);
    }

    proptest! {
        #[test]
        fn ports_change_the_crc_as_computed_from_scratch(
            mut packet in prop::collection::vec(any::<u8>(), 12..2000),
            ports: [u8; 4],
        ) {
            let (before, old) = (of(&packet), start(&packet));
            packet[..4].copy_from_slice(&ports);
            let difference = old ^ start(&packet);
            prop_assert_eq!(before ^ change(difference, packet.len()), of(&packet));
        }

        #[test]
        fn any_length_that_ip_can_say_will_do(length in 12_usize..=65_535, ports: [u8; 4]) {
            let mut packet = vec![0x5a; length];
            let (before, old) = (of(&packet), start(&packet));
            packet[..4].copy_from_slice(&ports);
            let difference = old ^ start(&packet);
            prop_assert_eq!(before ^ change(difference, length), of(&packet));
        }
    }
}
