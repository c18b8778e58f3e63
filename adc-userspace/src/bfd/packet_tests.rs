//! Packets byte by byte, and hostile ones.

use proptest::prelude::*;

use super::*;

/// Up, poll, multiplier 3, discriminators 0x11 and 0x22, 50 ms both ways: bytes by hand after RFC 5880 §4.1.
const GOLDEN: [u8; LENGTH] = [
    0x20, 0xe0, 3, 24, 0, 0, 0, 0x11, 0, 0, 0, 0x22, 0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50, 0, 0, 0, 0,
];

fn golden() -> Packet {
    Packet {
        state: State::Up,
        poll: true,
        multiplier: 3,
        my_discriminator: 0x11,
        your_discriminator: 0x22,
        desired_min_tx: 50_000,
        required_min_rx: 50_000,
        ..Packet::default()
    }
}

/// The golden packet with some bytes changed.
fn damaged(changes: &[(usize, u8)]) -> Vec<u8> {
    let mut data = GOLDEN.to_vec();
    for (at, byte) in changes {
        data[*at] = *byte;
    }
    data
}

#[test]
fn a_packet_is_written_as_the_rfc_draws_it() {
    assert_eq!(golden().encode(), GOLDEN);
    assert_eq!(parse(&GOLDEN, 255), Ok(golden()));
}

#[test]
fn each_rule_has_a_refusal_of_its_own() {
    let my_zero = [(4, 0), (5, 0), (6, 0), (7, 0)];
    let your_zero = [(8, 0), (9, 0), (10, 0), (11, 0)];
    let cases: [(&[(usize, u8)], Refusal); 10] = [
        (&[(0, 0x00)], Refusal::Version),
        (&[(0, 0x40)], Refusal::Version),
        (&[(3, 23)], Refusal::Length),
        (&[(3, 25)], Refusal::Length),
        (&[(1, 0xe4)], Refusal::Length),
        (&[(2, 0)], Refusal::DetectMultiplier),
        (&[(1, 0xe1)], Refusal::Multipoint),
        (&my_zero, Refusal::MyDiscriminator),
        (&your_zero, Refusal::YourDiscriminator),
        (&[(1, 0xa0), (11, 0)], Refusal::YourDiscriminator),
    ];
    for (changes, refusal) in cases {
        assert_eq!(parse(&damaged(changes), 255), Err(refusal), "{changes:?}");
    }
    for hop_limit in [0, 1, 64, 254] {
        assert_eq!(parse(&GOLDEN, hop_limit), Err(Refusal::HopLimit));
    }
    for length in 0..LENGTH {
        assert_eq!(parse(&GOLDEN[..length], 255), Err(Refusal::Truncated));
    }
    let mut authenticated = damaged(&[(1, 0xe4), (3, 26)]);
    authenticated.extend([1, 2]);
    assert_eq!(parse(&authenticated, 255), Err(Refusal::Authentication));
}

#[test]
fn who_does_not_know_our_discriminator_may_only_be_down() {
    let your_zero = [(8, 0), (9, 0), (10, 0), (11, 0)];
    for (flags, state) in [(0x00, State::AdminDown), (0x40, State::Down)] {
        let mut data = damaged(&your_zero);
        data[1] = flags;
        assert_eq!(parse(&data, 255).map(|packet| packet.state), Ok(state));
    }
}

#[test]
fn what_follows_a_packet_is_no_part_of_it() {
    let mut longer = GOLDEN.to_vec();
    longer.extend([0xff; 40]);
    assert_eq!(parse(&longer, 255), Ok(golden()));
}

prop_compose! {
    fn packet()(
        state in (0..4u8).prop_map(State::of),
        diagnostic in (0..32u8).prop_map(Diagnostic::of),
        (poll, is_final, independent, demand) in any::<(bool, bool, bool, bool)>(),
        multiplier in 1..=u8::MAX,
        my_discriminator in 1..=u32::MAX,
        your_discriminator in 1..=u32::MAX,
        (desired_min_tx, required_min_rx, required_min_echo_rx) in any::<(u32, u32, u32)>(),
    ) -> Packet {
        Packet {
            diagnostic, state, poll, is_final, independent, demand, multiplier,
            my_discriminator, your_discriminator,
            desired_min_tx, required_min_rx, required_min_echo_rx,
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(packet in packet()) {
        prop_assert_eq!(parse(&packet.encode(), 255), Ok(packet));
    }

    #[test]
    fn hostile_bytes_are_a_packet_or_a_refusal(
        data in prop::collection::vec(any::<u8>(), 0..80), hop_limit in any::<u8>(),
    ) {
        match parse(&data, hop_limit) {
            Ok(packet) => prop_assert_eq!(parse(&packet.encode(), 255), Ok(packet)),
            Err(refusal) => prop_assert!(Refusal::ALL.contains(&refusal)),
        }
    }

    #[test]
    fn a_flipped_bit_is_another_packet_or_a_refusal(packet in packet(), bit in 0..LENGTH * 8) {
        let mut data = packet.encode();
        data[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(parse(&data, 255), Ok(packet));
    }
}
