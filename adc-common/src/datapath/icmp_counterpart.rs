//! What the other family calls an ICMP error (RFC 7915 §4.2, §5.2).

/// Least MTU of IPv6 (RFC 8200 §5). An IPv4 packet of the size that fits it may be fragmented, see `translate`.
const LEAST_MTU: u32 = 1280;

/// Bytes of an IPv4 header without options.
const IPV4_HEADER: u32 = 20;

/// By how much an IPv6 header is longer than an IPv4 one.
const LONGER_BY: u32 = 20;

/// MTUs that links have (RFC 1191 §7.1), largest first. The smaller ones are below [`LEAST_MTU`].
const PLATEAUS: [u32; 6] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492];

/// An ICMP header but for its checksum.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Headline {
    /// Type.
    pub(super) kind: u8,
    /// Code.
    pub(super) code: u8,
    /// Bytes 5 to 8: MTU, pointer, or what the type has no use for.
    pub(super) rest: [u8; 4],
}

/// MTUs of the interfaces that the error came in by and is to leave by, in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mtus {
    /// Of the one on the IPv4 side.
    pub(super) v4: u32,
    /// Of the one on the IPv6 side.
    pub(super) v6: u32,
}

/// Makes an ICMPv4 error what it is in ICMPv6; `length` is that of the quoted packet, without its header. False if there is nothing like it.
///
/// A length of the quote (RFC 4884) is not kept: the quote grows by less than that counts in, so what follows it counts as quoted.
#[inline(never)]
pub(super) fn in_ipv6(headline: &mut Headline, mtus: &Mtus, length: u16) -> bool {
    let [pointer, _, high, low] = headline.rest;
    let (kind, code, rest) = match (headline.kind, headline.code) {
        // Protocol unreachable: the next header, byte 6, is not known.
        (3, 2) => (4, 1, 6),
        (3, 3) => (1, 4, 0),
        (3, 4) => (
            2,
            0,
            mtu_in_ipv6(u16::from_be_bytes([high, low]), mtus, length),
        ),
        (3, 9 | 10 | 13 | 15) => (1, 1, 0),
        (3, 0 | 1 | 5..=8 | 11 | 12) => (1, 0, 0),
        (11, code) => (3, code, 0),
        (12, 0 | 2) => match pointer {
            0 | 1 => (4, 0, u32::from(pointer)),
            2 | 3 => (4, 0, 4),
            8 => (4, 0, 7),
            9 => (4, 0, 6),
            12..=15 => (4, 0, 8),
            16..=19 => (4, 0, 24),
            _ => return false,
        },
        _ => return false,
    };
    headline.kind = kind;
    headline.code = code;
    headline.rest = rest.to_be_bytes();
    true
}

/// The next-hop MTU of a packet that was too big in IPv4, for IPv6.
#[inline(always)]
fn mtu_in_ipv6(said: u16, mtus: &Mtus, length: u16) -> u32 {
    let mtu = if said == 0 {
        // A router from before RFC 1191 says nothing: the greatest plateau below what was too big.
        let total = u32::from(length) + IPV4_HEADER;
        let mut guess = 0;
        for plateau in PLATEAUS {
            if guess == 0 && plateau < total {
                guess = plateau;
            }
        }
        guess
    } else {
        u32::from(said)
    };
    // No less than the least: hosts ignore that (RFC 8201 §4), and what fits that may be fragmented in IPv4.
    (mtu.min(mtus.v4) + LONGER_BY).min(mtus.v6).max(LEAST_MTU)
}

/// Makes an ICMPv6 error what it is in ICMPv4. False if there is nothing like it.
#[inline(never)]
pub(super) fn in_ipv4(headline: &mut Headline, mtus: &Mtus) -> bool {
    let said = u32::from_be_bytes(headline.rest);
    let (kind, code, rest) = match (headline.kind, headline.code) {
        // No route, beyond the scope of the source, address unreachable: host unreachable.
        (1, 0 | 2 | 3) => (3, 1, 0),
        // Administratively prohibited: host administratively prohibited.
        (1, 1) => (3, 10, 0),
        (1, 4) => (3, 3, 0),
        (2, _) => {
            let mtu = said.min(mtus.v6).max(LEAST_MTU) - LONGER_BY;
            (3, 4, mtu.min(mtus.v4))
        }
        (3, code) => (11, code, 0),
        // The pointer is the first of the four bytes.
        (4, 0) => match said {
            0 | 1 => (12, 0, said << 24),
            4 | 5 => (12, 0, 2 << 24),
            6 => (12, 0, 9 << 24),
            7 => (12, 0, 8 << 24),
            8..=23 => (12, 0, 12 << 24),
            24..=39 => (12, 0, 16 << 24),
            _ => return false,
        },
        // An unknown next header: protocol unreachable.
        (4, 1) => (3, 2, 0),
        _ => return false,
    };
    headline.kind = kind;
    headline.code = code;
    headline.rest = rest.to_be_bytes();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const MTUS: Mtus = Mtus { v4: 1500, v6: 1500 };

    fn headline(kind: u8, code: u8, rest: [u8; 4]) -> Headline {
        Headline { kind, code, rest }
    }

    fn v6(kind: u8, code: u8, rest: [u8; 4], mtus: Mtus, total: u16) -> Option<(u8, u8, u32)> {
        let mut it = headline(kind, code, rest);
        let told = in_ipv6(&mut it, &mtus, total - 20);
        told.then_some((it.kind, it.code, u32::from_be_bytes(it.rest)))
    }

    fn v4(kind: u8, code: u8, rest: u32, mtus: Mtus) -> Option<(u8, u8, [u8; 4])> {
        let mut it = headline(kind, code, rest.to_be_bytes());
        in_ipv4(&mut it, &mtus).then_some((it.kind, it.code, it.rest))
    }

    #[test]
    fn unreachable_codes_are_those_of_rfc_7915() {
        let codes: Vec<_> = (0..17)
            .map(|code| v6(3, code, [0; 4], MTUS, 1500))
            .collect();
        let no_route = Some((1, 0, 0));
        let prohibited = Some((1, 1, 0));
        assert_eq!(
            codes,
            [
                no_route,
                no_route,
                Some((4, 1, 6)),
                Some((1, 4, 0)),
                Some((2, 0, 1500)),
                no_route,
                no_route,
                no_route,
                no_route,
                prohibited,
                prohibited,
                no_route,
                no_route,
                prohibited,
                None,
                prohibited,
                None,
            ]
        );
        let host = Some((3, 1, [0; 4]));
        let codes: Vec<_> = (0..7).map(|code| v4(1, code, 0, MTUS)).collect();
        let known = [
            host,
            Some((3, 10, [0; 4])),
            host,
            host,
            Some((3, 3, [0; 4])),
        ];
        assert_eq!(codes, [&known[..], &[None, None]].concat());
    }

    #[test]
    fn other_types_have_no_counterpart() {
        for kind in (0..=255).filter(|kind| ![3, 11, 12].contains(kind)) {
            assert_eq!(v6(kind, 0, [0; 4], MTUS, 1500), None, "ICMPv4 type {kind}");
        }
        for kind in (0..=255).filter(|kind| !(1..=4).contains(kind)) {
            assert_eq!(v4(kind, 0, 0, MTUS), None, "ICMPv6 type {kind}");
        }
    }

    #[test]
    fn time_exceeded_keeps_its_code() {
        for code in 0..2 {
            assert_eq!(v6(11, code, [0; 4], MTUS, 1500), Some((3, code, 0)));
            assert_eq!(v4(3, code, 0, MTUS), Some((11, code, [0; 4])));
        }
    }

    #[test]
    fn pointers_point_at_the_same_field() {
        let none = None;
        let v6_of = |pointer| v6(12, 0, [pointer, 0, 0, 0], MTUS, 1500).map(|(_, _, at)| at);
        let expected = [
            Some(0),
            Some(1),
            Some(4),
            Some(4),
            none,
            none,
            none,
            none,
            Some(7),
            Some(6),
            none,
            none,
        ];
        assert_eq!((0..12).map(v6_of).collect::<Vec<_>>(), expected);
        assert!((12..16).all(|at| v6_of(at) == Some(8)), "source");
        assert!((16..20).all(|at| v6_of(at) == Some(24)), "destination");
        assert!((20..=255).all(|at| v6_of(at).is_none()), "options");
        assert_eq!(v6(12, 1, [0; 4], MTUS, 1500), None, "a missing option");
        assert_eq!(v6(12, 2, [2, 0, 0, 0], MTUS, 1500), Some((4, 0, 4)));
        let v4_of = |pointer| v4(4, 0, pointer, MTUS).map(|(_, _, [at, ..])| at);
        let expected = [
            Some(0),
            Some(1),
            None,
            None,
            Some(2),
            Some(2),
            Some(9),
            Some(8),
        ];
        assert_eq!((0..8).map(v4_of).collect::<Vec<_>>(), expected);
        assert!((8..24).all(|at| v4_of(at) == Some(12)), "source");
        assert!((24..40).all(|at| v4_of(at) == Some(16)), "destination");
        assert_eq!(v4_of(40), None);
        assert_eq!(v4_of(u32::MAX), None);
        assert_eq!(v4(4, 1, 6, MTUS), Some((3, 2, [0; 4])));
        assert_eq!(v4(4, 2, 6, MTUS), None);
    }

    #[test]
    fn mtus_differ_by_the_length_of_the_headers() {
        let of = |said: u16, mtus: Mtus, total: u16| {
            let [high, low] = said.to_be_bytes();
            v6(3, 4, [0, 0, high, low], mtus, total).map(|(_, _, mtu)| mtu)
        };
        assert_eq!(of(1400, MTUS, 1480), Some(1420));
        assert_eq!(
            of(1490, MTUS, 1480),
            Some(1500),
            "that of the next hop at most"
        );
        let small = Mtus { v4: 1400, v6: 1500 };
        assert_eq!(
            of(1490, small, 1480),
            Some(1420),
            "the way it came counts too"
        );
        assert_eq!(of(600, MTUS, 1480), Some(1280), "no less than IPv6's least");
        assert_eq!(of(0, MTUS, 1500), Some(1500), "a plateau of 1492");
        assert_eq!(of(0, MTUS, 1492), Some(1280), "below that is too small");
        let jumbo = Mtus { v4: 9000, v6: 9000 };
        assert_eq!(of(0, jumbo, 9000), Some(8186), "a plateau of 8166");
        let of =
            |said, mtus| v4(2, 0, said, mtus).map(|(_, _, [.., a, b])| u16::from_be_bytes([a, b]));
        assert_eq!(of(1400, MTUS), Some(1380));
        assert_eq!(of(9000, MTUS), Some(1480));
        assert_eq!(of(9000, small), Some(1400));
        assert_eq!(of(68, MTUS), Some(1260), "nobody may say less than 1280");
        assert_eq!(of(u32::MAX, MTUS), Some(1480));
    }
}
