//! What goes over the wire: read back as written, and nothing else is believed.

use proptest::prelude::*;

use super::{
    super::{
        frame::{Direction, Frame, HEAD, Kind, MAX_PAYLOAD, SEAL},
        greeting::{Greeting, HELLO, Hello, PROOF, VERSION, WELCOME},
        names::Names,
        refusal::Refusal,
    },
    *,
};
use crate::ha::heartbeat::key::Key;

const PAYLOAD: &[u8] = b"flows of a kind";

fn written<A: Family>(record: &FlowRecord<A>) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.write(&mut bytes);
    bytes
}

fn direction() -> Direction {
    Direction::new(&[1; 32])
}

fn sealed(direction: &mut Direction, number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let frame = Frame {
        kind: Kind::Flows4,
        number,
        payload: PAYLOAD,
    };
    direction.seal(&frame, &mut bytes);
    bytes
}

fn hello(life: u64, nonce: u8) -> Hello {
    Hello {
        life,
        nonce: [nonce; 32],
    }
}

#[test]
fn a_record_has_one_size_and_is_read_back() {
    let mut flow = flow(1000, 2000, 30);
    flow.phase = Phase::HALF_CLOSED;
    flow.reply_fin = true;
    let bytes = written(&flow);
    assert_eq!((bytes.len(), Addr4::RECORD, Addr6::RECORD), (46, 46, 94));
    assert_eq!(FlowRecord::read(&bytes), Some(flow));
    let six = flow6(1000, 2000, 30);
    assert_eq!(FlowRecord::read(&written(&six)), Some(six));
}

#[test]
fn what_is_no_validated_flow_is_no_record() {
    let good = written(&flow(1000, 2000, 30));
    assert!(FlowRecord::<Addr4>::read(&good).is_some());
    assert!(FlowRecord::<Addr6>::read(&good).is_none(), "another family");
    let wrong = [
        ("protocol", 24, 1),
        ("phase of a half-open flow", 25, Phase::SYN_SENT.0),
        ("phase of UDP", 25, Phase::REPLIED.0),
        ("unknown phase", 25, 200),
        ("flag of an entry", 26, FlowFlags::REPLY.0),
        ("direct, but for another tuple", 26, FlowFlags::DIRECT.0),
        ("FINs", 27, 4),
        ("idle for ever", 42, 0xff),
    ];
    for (what, at, value) in wrong {
        let mut bytes = good.clone();
        bytes[at] = value;
        assert_eq!(FlowRecord::<Addr4>::read(&bytes), None, "{what}");
    }
}

#[test]
fn frames_open_in_their_order_on_their_connection_and_once() {
    let (mut from, mut to) = (direction(), direction());
    let frames: Vec<_> = (0..3).map(|number| sealed(&mut from, number)).collect();
    assert_eq!(
        to.open(&frames[1]),
        Err(Refusal::Hmac),
        "the first is missing"
    );
    for (number, bytes) in (0..).zip(&frames) {
        let frame = to.open(bytes).unwrap();
        assert_eq!((frame.number, frame.payload), (number, PAYLOAD));
        assert_eq!(to.open(bytes), Err(Refusal::Hmac), "sent twice");
    }
    let mut other = Direction::new(&[2; 32]);
    assert_eq!(other.open(&frames[0]), Err(Refusal::Hmac));
}

#[test]
fn no_length_is_believed_that_no_frame_has() {
    let smallest = HEAD - 4 + SEAL;
    let largest = smallest + MAX_PAYLOAD;
    for (length, good) in [
        (0, false),
        (smallest - 1, false),
        (smallest, true),
        (largest, true),
        (largest + 1, false),
        (u32::MAX as usize, false),
    ] {
        let bytes = u32::try_from(length).unwrap().to_be_bytes();
        assert_eq!(Direction::rest(bytes).is_ok(), good, "{length}");
    }
}

#[test]
fn both_ends_need_the_key_and_a_greeting_serves_one_connection() {
    let (key, other_key) = (Key::new(&[1; 32]), Key::new(&[2; 32]));
    let (wants, has) = (hello(1, 10), hello(2, 20));
    let greeting = Greeting::new(&key, &wants, &has);
    let welcome = greeting.welcome();
    assert_eq!(welcome.len(), WELCOME);
    let seal = &welcome[HELLO..];
    assert_eq!(greeting.check_welcome(seal), Ok(()));
    assert_eq!(greeting.check_proof(&greeting.proof()), Ok(()));
    let reflected: [u8; PROOF] = seal.try_into().unwrap();
    assert_eq!(greeting.check_proof(&reflected), Err(Refusal::Key));
    for other in [
        Greeting::new(&other_key, &wants, &has),
        Greeting::new(&key, &hello(1, 11), &has),
        Greeting::new(&key, &wants, &hello(2, 21)),
        Greeting::new(&key, &has, &wants),
    ] {
        assert_eq!(other.check_welcome(seal), Err(Refusal::Key));
        assert_eq!(other.check_proof(&greeting.proof()), Err(Refusal::Key));
    }
    let (mut flows, mut answers) = (greeting.keys().flows, greeting.keys().answers);
    let frame = sealed(&mut flows, 0);
    assert_eq!(answers.open(&frame), Err(Refusal::Hmac), "reflected");
}

#[test]
fn strangers_and_this_node_itself_are_no_other_node() {
    let good = hello(1, 10);
    assert_eq!(Hello::read(&good.write(), 2), Ok(good));
    assert_eq!(Hello::read(&good.write(), 1), Err(Refusal::OwnNode));
    let mut newer = good.write();
    newer[4] = 2;
    assert_eq!(Hello::read(&newer, 2), Err(Refusal::Version));
    assert_eq!(Hello::read(&[0; HELLO], 2), Err(Refusal::Greeting));
}

#[test]
fn names_are_read_back_and_what_is_none_is_refused() {
    let mut bytes = Vec::new();
    Names::write_backend(BACKEND, &backend_name(), &mut bytes);
    Names::write_interface(InterfaceId(3), "eth0", &mut bytes);
    let mut names = Names::default();
    assert!(names.read(&bytes));
    assert_eq!(names.backends[&BACKEND], backend_name());
    assert_eq!(names.interfaces[&InterfaceId(3)], "eth0");
    for cut in 1..bytes.len() {
        let whole = cut == bytes.len() - 8;
        // Between the two names there is no end to miss.
        assert_eq!(Names::default().read(&bytes[..cut]), whole, "{cut}");
    }
    assert!(!Names::default().read(&[9]));
}

/// Nothing is read that would be written otherwise.
fn assert_written_alike<A: Family>(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Some(flow) = FlowRecord::<A>::read(bytes) {
        prop_assert_eq!(written(&flow), bytes);
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_a_record_that_is_written_alike_or_none(bytes in prop::collection::vec(any::<u8>(), 94)) {
        assert_written_alike::<Addr4>(&bytes[..46])?;
        assert_written_alike::<Addr6>(&bytes)?;
    }

    #[test]
    fn nearly_a_record_is_one_that_is_written_alike_or_none(at: prop::sample::Index, value: u8) {
        let mut good = [written(&flow(1000, 2000, 30)), written(&flow6(1000, 2000, 30))];
        for bytes in &mut good {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        assert_written_alike::<Addr4>(&good[0])?;
        assert_written_alike::<Addr6>(&good[1])?;
    }

    #[test]
    fn of_another_length_nothing_is_a_record(length in 0..200_usize, byte: u8) {
        let bytes = vec![byte; length];
        prop_assert!(length == 46 || FlowRecord::<Addr4>::read(&bytes).is_none());
        prop_assert!(length == 94 || FlowRecord::<Addr6>::read(&bytes).is_none());
    }

    #[test]
    fn any_bytes_are_a_greeting_of_another_node_or_refused_by_reason(
        noise in prop::collection::vec(any::<u8>(), HELLO), begins: bool, of_this_version: bool, own: u64,
    ) {
        let mut bytes: [u8; HELLO] = noise.try_into().unwrap();
        if begins {
            bytes[..4].copy_from_slice(b"adcS");
        }
        if of_this_version {
            bytes[4] = VERSION;
        }
        match Hello::read(&bytes, own) {
            Ok(hello) => {
                prop_assert!(hello.life != own);
                let again = hello.write();
                // Three bytes between are for later versions.
                prop_assert_eq!((&again[..5], &again[8..]), (&bytes[..5], &bytes[8..]));
            }
            Err(Refusal::Greeting) => prop_assert!(bytes[..4] != *b"adcS"),
            Err(Refusal::Version) => prop_assert!(bytes[4] != VERSION),
            Err(Refusal::OwnNode) => prop_assert_eq!(&bytes[8..16], &own.to_be_bytes()),
            Err(other) => prop_assert!(false, "refused as {:?}", other),
        }
    }

    #[test]
    fn a_greeting_that_was_touched_is_another_or_none(life in 1..u64::MAX, nonce: u8, at in 0..HELLO, bit in 0..8) {
        let good = hello(life, nonce);
        let mut bytes = good.write();
        bytes[at] ^= 1_u8 << bit;
        let reserved = (5..8).contains(&at);
        let read = Hello::read(&bytes, 0);
        prop_assert_eq!(read == Ok(good), reserved, "{:?}", read);
    }

    #[test]
    fn no_bytes_are_a_frame_and_no_frame_opens_that_was_touched(noise in prop::collection::vec(any::<u8>(), 0..200), at: prop::sample::Index, bit in 0..8) {
        prop_assert!(direction().open(&noise).is_err());
        let mut bytes = sealed(&mut direction(), 9);
        let at = at.index(bytes.len());
        bytes[at] ^= 1_u8 << bit;
        prop_assert_eq!(direction().open(&bytes), Err(Refusal::Hmac));
    }

    #[test]
    fn any_bytes_are_names_or_not(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut names = Names::default();
        names.read(&bytes);
        prop_assert!(names.backends.len() * 42 + names.interfaces.len() * 5 <= bytes.len());
    }
}
