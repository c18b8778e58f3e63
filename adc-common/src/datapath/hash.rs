//! The flow hash that selects a ring slot.

use super::family::Family;
use crate::abi::{HashOn, Protocol, Tuple};

/// Odd constants with well-spread bits: the fractional parts of the golden ratio, sqrt 2 and sqrt 3.
const K: [u64; 3] = [
    0x9e37_79b9_7f4a_7c15,
    0x6a09_e667_f3bc_c909,
    0xbb67_ae85_84ca_a73b,
];

/// Hash of a flow: equal on every node that has the same seed, because all words are read as big-endian:
/// what differs between neighbours (the end of an address) stands in the low bits, where a multiplication spreads it best.
///
/// Three rounds of multiply and xor-shift; each input word passes at least one full round. Good
/// enough to spread (tested), cheap enough for every new flow; not a defence against an adversary
/// who knows the seed.
#[inline(always)]
pub(super) fn flow_hash<A: Family>(
    tuple: &Tuple<A>,
    protocol: Protocol,
    on: HashOn,
    seed: u32,
) -> u32 {
    let [src_low, src_high] = tuple.src.hash_words();
    let mut hash = round(src_low ^ u64::from(seed), K[0]);
    hash = round(hash ^ src_high, K[1]);
    if on == HashOn::SOURCE {
        return finish(hash);
    }
    let [dst_low, dst_high] = tuple.dst.hash_words();
    let [s0, s1] = tuple.sport.0;
    let [d0, d1] = tuple.dport.0;
    let ports = u64::from(u32::from_be_bytes([s0, s1, d0, d1]));
    hash = round(hash ^ (ports | u64::from(protocol.0) << 32), K[2]);
    hash = round(hash ^ dst_low, K[0]);
    hash = round(hash ^ dst_high, K[1]);
    finish(hash)
}

/// Another hash for another try with the same flow.
#[inline(always)]
pub(super) fn rehash(hash: u32, attempt: u32) -> u32 {
    finish(round(u64::from(hash) ^ u64::from(attempt) << 32, K[1]))
}

#[inline(always)]
const fn round(value: u64, k: u64) -> u64 {
    let product = value.wrapping_mul(k);
    product ^ (product >> 32)
}

#[inline(always)]
const fn finish(hash: u64) -> u32 {
    ((hash ^ (hash >> 29)).wrapping_mul(K[2]) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::{Addr4, Addr6, Port, RING_SLOTS, Ring};

    fn chi_square(slots: &[u32], expected: f64) -> f64 {
        slots
            .iter()
            .map(|&n| (f64::from(n) - expected).powi(2) / expected)
            .sum()
    }

    /// 64 buckets of slots; 63 degrees of freedom; 103.4 is the 99.9 % quantile.
    fn assert_spread(tuples: impl Iterator<Item = u32>) {
        let mut buckets = [0_u32; 64];
        let mut count = 0;
        for hash in tuples {
            buckets[Ring::slot_of(hash) * 64 / RING_SLOTS] += 1;
            count += 1;
        }
        let chi = chi_square(&buckets, f64::from(count) / 64.0);
        assert!(chi < 103.4, "uneven: chi-square {chi:.1}, {buckets:?}");
    }

    #[test]
    fn consecutive_source_ports_of_one_client_spread() {
        assert_spread((1024..32768_u16).map(|port| {
            let tuple = Tuple {
                src: Addr4([10, 0, 0, 1]),
                dst: Addr4([10, 0, 0, 9]),
                sport: Port::new(port),
                dport: Port::new(80),
            };
            flow_hash(&tuple, Protocol::TCP, HashOn::FIVE_TUPLE, 0)
        }));
    }

    #[test]
    fn consecutive_clients_spread_when_hashed_by_source() {
        assert_spread((0..32768_u32).map(|n| {
            let [_, _, a, b] = n.to_be_bytes();
            let tuple = Tuple {
                src: Addr4([10, 7, a, b]),
                dst: Addr4([10, 0, 0, 9]),
                sport: Port::new(9),
                dport: Port::new(80),
            };
            flow_hash(&tuple, Protocol::UDP, HashOn::SOURCE, 1)
        }));
    }

    #[test]
    fn consecutive_ipv6_interface_ids_spread() {
        assert_spread((0..32768_u128).map(|n| {
            let src = Addr6(((0xfd00_u128 << 112) + n).to_be_bytes());
            let tuple = Tuple {
                src,
                dst: src,
                sport: Port::new(1),
                dport: Port::new(2),
            };
            flow_hash(&tuple, Protocol::TCP, HashOn::SOURCE, 2)
        }));
    }

    #[test]
    fn hash_by_source_ignores_everything_else() {
        let tuple = |port| Tuple {
            src: Addr4([1, 2, 3, 4]),
            dst: Addr4([5, 6, 7, 8]),
            sport: Port::new(port),
            dport: Port::new(80),
        };
        assert_eq!(
            flow_hash(&tuple(1), Protocol::TCP, HashOn::SOURCE, 3),
            flow_hash(&tuple(2), Protocol::UDP, HashOn::SOURCE, 3)
        );
    }

    /// Nodes of a pair must agree across releases.
    #[test]
    fn hash_values_never_change() {
        let tuple = Tuple {
            src: Addr4([192, 0, 2, 1]),
            dst: Addr4([203, 0, 113, 10]),
            sport: Port::new(40_000),
            dport: Port::new(443),
        };
        assert_eq!(
            flow_hash(&tuple, Protocol::TCP, HashOn::FIVE_TUPLE, 0),
            GOLDEN
        );
    }

    const GOLDEN: u32 = 2_344_213_045;
}
