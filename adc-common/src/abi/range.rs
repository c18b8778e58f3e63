//! Ports in many, as the packet walk finds them: by the longest prefix of their sixteen bits.

use super::{Addr16, Port, Protocol, ServiceKey, abi_struct};

abi_struct! {
    /// Key of `SERVICE_RANGES`, an LPM trie: the kernel reads the first word as a length, and compares that many bits of
    /// what follows from the front (`struct bpf_lpm_trie_key_hdr`, Linux 6.1 and later).
    pub struct RangeKey [24] {
        /// Bits of the rest that count, host order: [`RangeKey::FIXED_BITS`] and 0 to 16 of the port.
        pub prefix_len: u32,
        /// The VIP.
        pub vip: Addr16,
        /// TCP or UDP.
        pub protocol: Protocol,
        /// Zero; compared, too.
        pub _pad: u8,
        /// A port, of which only the first bits may count; the others are zero.
        pub port: Port,
    }
}

/// Prefixes that a range of ports may come to: two for each of the sixteen bits, but for both ends of the whole.
pub const MAX_RANGE_PREFIXES: u32 = 30;

impl RangeKey {
    /// Bits before the port: VIP, protocol and padding.
    pub const FIXED_BITS: u32 = 144;

    /// [`Self::prefix_len`] of a lookup, and of a single port.
    pub const ALL_BITS: u32 = Self::FIXED_BITS + 16;

    /// Makes it the key to look a port up by; the padding stays as it is.
    #[inline(always)]
    pub fn set(&mut self, vip: Addr16, port: Port, protocol: Protocol) {
        self.prefix_len = Self::ALL_BITS;
        self.vip = vip;
        self.protocol = protocol;
        self.port = port;
    }

    /// The fewest keys that together match the ports of a service, at most [`MAX_RANGE_PREFIXES`] and in order; none for
    /// a service with one port, which `SERVICE_INDEX` has.
    pub fn of_service(key: &ServiceKey) -> impl Iterator<Item = Self> + use<> {
        let key = *key;
        let (first, end) = match key.ports() {
            Some((first, last)) => (u32::from(first), u32::from(last) + 1),
            None => (0, 0),
        };
        Blocks { first, end }.map(move |(first, bits)| Self {
            prefix_len: Self::ALL_BITS - bits,
            vip: key.vip,
            protocol: key.protocol,
            _pad: 0,
            port: Port::new(first),
        })
    }

    /// The service key of just the ports that this key matches.
    pub fn as_service(&self) -> ServiceKey {
        let free = Self::ALL_BITS.saturating_sub(self.prefix_len).min(16);
        let first = u32::from(self.port.host());
        let last = first + (1_u32 << free) - 1;
        let last = Port::new(u16::try_from(last).unwrap_or(u16::MAX));
        ServiceKey::range(self.vip, self.port, last, self.protocol)
    }
}

/// Cuts `first..end` into blocks that one prefix matches each: their first number, and how many bits are free in them.
struct Blocks {
    first: u32,
    end: u32,
}

impl Iterator for Blocks {
    type Item = (u16, u32);

    fn next(&mut self) -> Option<Self::Item> {
        let left = self.end.checked_sub(self.first).filter(|left| *left > 0)?;
        // As large as the first number is even, and as fits.
        let bits = self.first.trailing_zeros().min(left.ilog2());
        let first = u16::try_from(self.first).ok()?;
        self.first += 1 << bits;
        Some((first, bits))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use crate::abi::Addr4;

    fn keys(first: u16, last: u16) -> Vec<RangeKey> {
        let vip = Addr4([192, 0, 2, 1]).into();
        let (first, last) = (Port::new(first), Port::new(last));
        RangeKey::of_service(&ServiceKey::range(vip, first, last, Protocol::TCP)).collect()
    }

    /// As the kernel compares them.
    fn matches(key: &RangeKey, port: u16) -> bool {
        let free = RangeKey::ALL_BITS - key.prefix_len;
        u32::from(port) >> free == u32::from(key.port.host()) >> free
    }

    #[test]
    fn a_range_is_cut_into_prefixes_that_match_its_ports_and_no_others() {
        let ends = [
            0, 1, 2, 3, 79, 80, 81, 1023, 1024, 4999, 5000, 5100, 32_767, 32_768, 65_534, 65_535,
        ];
        for first in ends {
            for last in ends.into_iter().filter(|last| *last >= first.max(1)) {
                let keys = keys(first, last);
                assert!(keys.len() <= MAX_RANGE_PREFIXES as usize);
                for port in 0..=u16::MAX {
                    let times = keys.iter().filter(|key| matches(key, port)).count();
                    let wanted = usize::from((first..=last).contains(&port));
                    assert_eq!(times, wanted, "port {port} in {first}-{last}");
                }
            }
        }
    }

    #[test]
    fn the_worst_range_takes_thirty_prefixes_and_any_port_one() {
        assert_eq!(keys(1, 65_534).len(), MAX_RANGE_PREFIXES as usize);
        let any = keys(0, u16::MAX);
        assert_eq!(any.len(), 1);
        assert_eq!(any[0].prefix_len, RangeKey::FIXED_BITS);
    }

    #[test]
    fn the_key_of_a_service_with_one_port_has_no_prefixes() {
        let key = ServiceKey::new(Addr4([192, 0, 2, 1]).into(), Port::new(80), Protocol::TCP);
        assert_eq!(RangeKey::of_service(&key).count(), 0);
    }

    #[test]
    fn each_prefix_is_a_range_of_its_own() {
        for key in keys(5000, 5100).into_iter().chain(keys(0, u16::MAX)) {
            let own = key.as_service();
            assert!(RangeKey::of_service(&own).eq([key]), "{own:?}");
        }
    }
}
