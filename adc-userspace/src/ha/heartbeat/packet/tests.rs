//! What is written is read, and nothing else is believed.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn key() -> Key {
    Key::new(&[0x5a; 32])
}

fn claim(group: &str, role: Role) -> Claim {
    Claim {
        group: GroupId::of(group),
        role,
        priority: 150,
        term: 0x0102_0304_0506_0708,
        held: false,
        yields: true,
        wants: false,
    }
}

fn sample() -> Heartbeat {
    Heartbeat {
        node: NodeId(0x1111_2222_3333_4444),
        boot: Boot(0x0000_0190_0000_0001),
        seq: 77,
        path: 1,
        heard: 0b11,
        echo: Echo {
            boot: Boot(9),
            seq: 8,
        },
        interval: Duration::from_millis(20),
        multiplier: 5,
        data_plane_ok: true,
        agent_ok: false,
        config_hash: 0xaabb_ccdd_eeff_0011,
        sync: SyncState::InSync,
        groups: vec![claim("edge", Role::Active), claim("inner", Role::Backup)],
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

#[test]
fn the_layout_is_the_documented_one() {
    let bytes = sample().encode(&key());
    let (body, tag) = bytes.split_at(bytes.len() - TAG);
    let [edge, inner] = ["edge", "inner"].map(|name| format!("{:08x}", GroupId::of(name).0));
    let expected = [
        "61646348 01 01 01 02 0088 0003 00004e20",
        "1111222233334444 0000019000000001 000000000000004d",
        "0000000000000009 0000000000000008 aabbccddeeff0011",
        "05 02 000000000000",
        &edge,
        "02 96 02 00 0102030405060708",
        &inner,
        "01 96 02 00 0102030405060708",
    ];
    assert_eq!(hex(body), expected.concat().replace(' ', ""));
    // Computed by Python's `hmac` over the bytes above.
    assert_eq!(hex(tag), GOLDEN_TAG);
}

const GOLDEN_TAG: &str = "e608d5eb22c49a79ce78030e4082049673c1f489a103d793fd848c229cc281f7";

#[test]
fn names_have_the_ids_that_sha256_gives_them() {
    // The first bytes of `printf edge | sha256sum`.
    assert_eq!(GroupId::of("edge").0, GOLDEN_EDGE);
    assert_eq!(NodeId::of("edge").0 >> 32, u64::from(GOLDEN_EDGE));
}

const GOLDEN_EDGE: u32 = 0xa1cb_100f;

#[test]
fn every_refusal_of_the_codec_has_its_case() {
    let good = sample().encode(&key());
    let changed = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        bytes
    };
    let resealed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        bytes.truncate(bytes.len() - TAG);
        change(&mut bytes);
        let tag = sealed(&key(), &bytes).finalize().into_bytes();
        bytes.extend(tag);
        bytes
    };
    let cases: [(&str, Vec<u8>, Refusal); 12] = [
        ("nothing", Vec::new(), Refusal::Length),
        (
            "a byte less",
            good[..good.len() - 1].to_vec(),
            Refusal::Length,
        ),
        ("a byte more", [&good[..], &[0]].concat(), Refusal::Length),
        ("too long", vec![0; MAX_LENGTH + 1], Refusal::Length),
        ("another protocol", changed(0, b'x'), Refusal::Version),
        ("another version", changed(4, 2), Refusal::Version),
        ("a group more than there is", changed(7, 3), Refusal::Length),
        ("a changed flag", changed(5, 3), Refusal::Hmac),
        (
            "a changed tag",
            changed(good.len() - 1, good[good.len() - 1] ^ 1),
            Refusal::Hmac,
        ),
        (
            "no boot",
            resealed(&|bytes| bytes[24..32].fill(0)),
            Refusal::Field,
        ),
        (
            "an unknown sync state",
            resealed(&|bytes| bytes[65] = 9),
            Refusal::Field,
        ),
        (
            "an unknown role",
            resealed(&|bytes| bytes[76] = 4),
            Refusal::Field,
        ),
    ];
    for (name, bytes, refusal) in cases {
        assert_eq!(Heartbeat::decode(&bytes, &key()), Err(refusal), "{name}");
    }
    let other = Key::new(&[0x5b; 32]);
    assert_eq!(Heartbeat::decode(&good, &other), Err(Refusal::Hmac));
}

#[test]
fn groups_beyond_the_room_are_left_out() {
    let mut heartbeat = sample();
    heartbeat.groups = vec![claim("edge", Role::Backup); MAX_GROUPS + 5];
    let bytes = heartbeat.encode(&key());
    assert_eq!(bytes.len(), MAX_LENGTH);
    let read = Heartbeat::decode(&bytes, &key()).unwrap();
    assert_eq!(read.groups.len(), MAX_GROUPS);
}

fn claims() -> impl Strategy<Value = Claim> {
    let flags = any::<(bool, bool, bool)>();
    (any::<u32>(), 0..4_usize, any::<u8>(), any::<u64>(), flags).prop_map(
        |(group, role, priority, term, (held, yields, wants))| Claim {
            group: GroupId(group),
            role: Role::ALL[role],
            priority,
            term,
            held,
            yields,
            wants,
        },
    )
}

fn heartbeats() -> impl Strategy<Value = Heartbeat> {
    let ids = any::<(u64, u64, u8, u16)>();
    let echo = any::<(u64, u64, u64)>();
    let timing = (1..u32::MAX, 1..u8::MAX, 0..3_usize, any::<(bool, bool)>());
    let groups = prop::collection::vec(claims(), 0..=MAX_GROUPS);
    (ids, 1..u64::MAX, echo, timing, groups).prop_map(|(ids, boot, echo, timing, groups)| {
        let (interval, multiplier, sync, (data_plane_ok, agent_ok)) = timing;
        Heartbeat {
            node: NodeId(ids.0),
            boot: Boot(boot),
            seq: ids.1,
            path: ids.2,
            heard: ids.3,
            echo: Echo {
                boot: Boot(echo.0),
                seq: echo.1,
            },
            interval: Duration::from_micros(interval.into()),
            multiplier,
            data_plane_ok,
            agent_ok,
            config_hash: echo.2,
            sync: SyncState::ALL[sync],
            groups,
        }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(heartbeat in heartbeats()) {
        let bytes = heartbeat.encode(&key());
        prop_assert_eq!(Heartbeat::decode(&bytes, &key()), Ok(heartbeat));
    }

    #[test]
    fn no_bytes_are_believed_and_none_are_fatal(bytes in prop::collection::vec(any::<u8>(), 0..=MAX_LENGTH + 8)) {
        prop_assert!(Heartbeat::decode(&bytes, &key()).is_err());
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed(heartbeat in heartbeats(), at: prop::sample::Index, bit in 0..8_u8) {
        let mut bytes = heartbeat.encode(&key());
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(Heartbeat::decode(&bytes, &key()).is_err());
    }

    #[test]
    fn whatever_a_holder_of_the_key_writes_is_read_or_refused(mut body in prop::collection::vec(any::<u8>(), HEADER..=MAX_LENGTH - TAG)) {
        body[..5].copy_from_slice(&[b'a', b'd', b'c', b'H', VERSION]);
        body[7] = u8::try_from((body.len() - HEADER) / GROUP).unwrap();
        let length = u16::try_from(body.len() + TAG).unwrap();
        body[8..10].copy_from_slice(&length.to_be_bytes());
        let tag = sealed(&key(), &body).finalize().into_bytes();
        body.extend(tag);
        if let Ok(read) = Heartbeat::decode(&body, &key()) {
            prop_assert!(read.groups.len() <= MAX_GROUPS);
        }
    }
}
