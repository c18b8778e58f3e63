//! The codec against messages of other implementations, and against itself.

use std::{net::IpAddr, time::Duration};

use proptest::prelude::*;

use super::{Advert, Dialect, Envelope, Interval, Refusal, Version, decode, encode};

/// keepalived 2.2: VRID 51, priority 150, 10 hundredths, from 10.99.0.1, VIP 10.99.0.100.
const PSEUDO: [u8; 12] = [
    0x31, 0x33, 0x96, 0x01, 0x00, 0x0a, 0x43, 0x07, 0x0a, 0x63, 0x00, 0x64,
];
/// The same as RFC 9568 has it.
const MESSAGE_ONLY: [u8; 12] = [
    0x31, 0x33, 0x96, 0x01, 0x00, 0x0a, 0x2d, 0xfa, 0x0a, 0x63, 0x00, 0x64,
];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn from(source: &str, destination: &str) -> Envelope {
    Envelope {
        source: ip(source),
        destination: ip(destination),
        hop_limit: 255,
    }
}

fn lan() -> Envelope {
    from("10.99.0.1", "224.0.0.18")
}

fn golden() -> Advert {
    Advert {
        vrid: 51,
        priority: 150,
        interval: Interval::Centiseconds(10),
        addresses: vec![ip("10.99.0.100")],
    }
}

/// A message of version 2, made by hand, with `change` made to it before its checksum.
fn version_two(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let advert = Advert {
        interval: Interval::Seconds(1),
        ..golden()
    };
    let mut message = encode(
        &advert,
        ip("10.99.0.1"),
        ip("224.0.0.18"),
        Dialect::default(),
    );
    change(&mut message);
    with_checksum(message)
}

/// Replaces the checksum by the right one over the message alone.
fn with_checksum(mut message: Vec<u8>) -> Vec<u8> {
    message[6..8].fill(0);
    let sum = super::packet::encode_checksum(&message);
    message[6..8].copy_from_slice(&sum);
    message
}

fn three(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut message = MESSAGE_ONLY.to_vec();
    change(&mut message);
    with_checksum(message)
}

#[test]
fn both_dialects_are_understood_and_told_apart() {
    assert_eq!(
        decode(&PSEUDO, &lan(), false),
        Ok((golden(), Some(Dialect::PseudoHeader)))
    );
    assert_eq!(
        decode(&MESSAGE_ONLY, &lan(), false),
        Ok((golden(), Some(Dialect::MessageOnly)))
    );
}

#[test]
fn what_is_sent_is_what_others_send() {
    let send = |dialect| encode(&golden(), ip("10.99.0.1"), ip("224.0.0.18"), dialect);
    assert_eq!(send(Dialect::PseudoHeader), PSEUDO);
    assert_eq!(send(Dialect::MessageOnly), MESSAGE_ONLY);
}

#[test]
fn version_two_has_its_interval_in_seconds_and_ends_with_eight_zeroes() {
    let message = version_two(|_| {});
    assert_eq!(message[..6], [0x21, 51, 150, 1, 0, 1]);
    assert_eq!(message[8..], [10, 99, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0]);
    let (advert, dialect) = decode(&message, &lan(), false).unwrap();
    assert_eq!(advert.interval, Interval::Seconds(1));
    assert_eq!(dialect, None);
}

#[test]
fn a_unicast_checksum_covers_the_true_destination() {
    let to = ip("10.99.0.2");
    let message = encode(&golden(), ip("10.99.0.1"), to, Dialect::PseudoHeader);
    assert_ne!(message, PSEUDO);
    let envelope = from("10.99.0.1", "10.99.0.2");
    let (_, dialect) = decode(&message, &envelope, true).unwrap();
    assert_eq!(dialect, Some(Dialect::PseudoHeader));
    assert_eq!(decode(&message, &lan(), true), Err(Refusal::Checksum));
}

#[test]
fn every_damage_has_its_own_reason() {
    use Refusal as R;
    let short = PSEUDO[..7].to_vec();
    let cut = PSEUDO[..11].to_vec();
    let longer = [&PSEUDO[..], &[0; 20]].concat();
    let mut damaged = PSEUDO.to_vec();
    damaged[2] ^= 1;
    let cases = [
        (short, R::Length),
        (cut, R::Length),
        (longer, R::Length),
        (damaged, R::Checksum),
        (three(|m| m[0] = 0x41), R::Version),
        (three(|m| m[0] = 0x11), R::Version),
        (three(|m| m[0] = 0x32), R::Type),
        (three(|m| m[1] = 0), R::Vrid),
        (three(|m| m[5] = 0), R::Interval),
        (three(|m| m[3] = 0), R::Count),
        (three(|m| m[3] = 2), R::Length),
        (version_two(|m| m[4] = 1), R::Authentication),
        (version_two(|m| m[5] = 0), R::Interval),
        (version_two(|m| m.truncate(12)), R::Length),
    ];
    for (message, refusal) in cases {
        assert_eq!(
            decode(&message, &lan(), false),
            Err(refusal),
            "{message:x?}"
        );
    }
}

#[test]
fn what_crossed_a_router_is_refused_unless_a_unicast_peer_sent_it() {
    let routed = Envelope {
        hop_limit: 254,
        ..lan()
    };
    assert_eq!(decode(&PSEUDO, &routed, false), Err(Refusal::HopLimit));
    assert!(decode(&PSEUDO, &routed, true).is_ok());
}

#[test]
fn version_two_does_not_exist_over_ipv6() {
    let advert = Advert {
        addresses: vec![ip("fe80::100")],
        ..golden()
    };
    let envelope = from("fe80::1", "ff02::12");
    let (source, destination) = (envelope.source, envelope.destination);
    let mut message = encode(&advert, source, destination, Dialect::MessageOnly);
    assert!(decode(&message, &envelope, false).is_ok());
    message[0] = 0x21;
    assert_eq!(decode(&message, &envelope, false), Err(Refusal::Version));
}

#[test]
fn reserved_bits_are_ignored() {
    let message = three(|m| m[4] |= 0xf0);
    let (advert, _) = decode(&message, &lan(), false).unwrap();
    assert_eq!(advert.interval, Interval::Centiseconds(10));
}

#[test]
fn an_interval_that_the_wire_can_not_say_becomes_the_nearest() {
    let of = |version, millis| Interval::of(version, Duration::from_millis(millis));
    assert_eq!(of(Version::V3, 14), Interval::Centiseconds(1));
    assert_eq!(of(Version::V3, 0), Interval::Centiseconds(1));
    assert_eq!(of(Version::V3, 90_000), Interval::Centiseconds(4095));
    assert_eq!(of(Version::V2, 1_400), Interval::Seconds(1));
    assert_eq!(of(Version::V2, 600), Interval::Seconds(1));
    assert_eq!(of(Version::V2, 999_000), Interval::Seconds(255));
}

#[test]
fn no_more_addresses_are_sent_than_can_be_counted() {
    let advert = Advert {
        addresses: (0..300)
            .map(|n: u32| IpAddr::from(n.to_be_bytes()))
            .collect(),
        ..golden()
    };
    let envelope = lan();
    let message = encode(
        &advert,
        envelope.source,
        envelope.destination,
        Dialect::default(),
    );
    let (read, _) = decode(&message, &envelope, false).unwrap();
    assert_eq!(read.addresses, advert.addresses[..255]);
}

fn advert(v4: bool) -> impl Strategy<Value = Advert> {
    let address = move |bytes: [u8; 16]| match bytes.first_chunk::<4>() {
        Some(four) if v4 => IpAddr::from(*four),
        _ => IpAddr::from(bytes),
    };
    let addresses = prop::collection::vec(any::<[u8; 16]>().prop_map(address), 1..=255);
    let seconds = (1..=u8::MAX).prop_map(Interval::Seconds);
    let hundredths = (1..=4095_u16).prop_map(Interval::Centiseconds);
    let interval = if v4 {
        prop_oneof![seconds, hundredths].boxed()
    } else {
        hundredths.boxed()
    };
    (1..=u8::MAX, any::<u8>(), interval, addresses).prop_map(
        |(vrid, priority, interval, addresses)| Advert {
            vrid,
            priority,
            interval,
            addresses,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_reads_back_over_ipv4(
        advert in advert(true), source: [u8; 4], destination: [u8; 4], pseudo: bool,
    ) {
        let dialect = if pseudo { Dialect::PseudoHeader } else { Dialect::MessageOnly };
        let envelope = Envelope { source: source.into(), destination: destination.into(), hop_limit: 255 };
        let message = encode(&advert, envelope.source, envelope.destination, dialect);
        let (read, _) = decode(&message, &envelope, false).unwrap();
        prop_assert_eq!(read, advert);
    }

    #[test]
    fn what_is_written_reads_back_over_ipv6(
        advert in advert(false), source: [u8; 16], destination: [u8; 16],
    ) {
        let envelope = Envelope { source: source.into(), destination: destination.into(), hop_limit: 255 };
        let message = encode(&advert, envelope.source, envelope.destination, Dialect::default());
        prop_assert_eq!(decode(&message, &envelope, false), Ok((advert, None)));
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..200), v4: bool, hop_limit: u8, unicast: bool,
    ) {
        let source = if v4 { ip("10.0.0.1") } else { ip("fe80::1") };
        let envelope = Envelope { source, destination: source, hop_limit };
        // Past the checksum of both versions as well.
        let sealed = |first: u8| {
            let mut bytes = bytes.clone();
            bytes[0] = first;
            with_checksum(bytes)
        };
        let mut tried = vec![bytes.clone()];
        if bytes.len() >= 8 {
            tried.extend([sealed(0x21), sealed(0x31)]);
        }
        for bytes in tried {
            if let Ok((advert, _)) = decode(&bytes, &envelope, unicast) {
                prop_assert!(advert.vrid > 0 && !advert.addresses.is_empty());
            }
        }
    }

    #[test]
    fn nearly_an_advert_of_either_version_is_read_or_refused(
        at: prop::sample::Index, value: u8, length in 8..40_usize,
    ) {
        for mut bytes in [version_two(|_| {}), three(|_| {})] {
            let at = at.index(bytes.len());
            bytes[at] = value;
            bytes.resize(length, 0);
            let bytes = with_checksum(bytes);
            match decode(&bytes, &lan(), false) {
                Ok((advert, _)) => prop_assert!(advert.vrid > 0 && !advert.addresses.is_empty()),
                Err(refusal) => prop_assert!(refusal != Refusal::Checksum),
            }
        }
    }
}
