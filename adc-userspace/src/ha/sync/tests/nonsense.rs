//! Who has the key and says nonsense, and who has no key, over a connection.

use std::{
    io::Write as _,
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    path::PathBuf,
    time::Duration,
};

use proptest::prelude::*;

use super::{
    super::{
        Way,
        counts::Counts,
        frame::{Frame, Kind},
        greeting::{Greeting, Hello},
        link::{Link, Lost},
        names::Names,
        receiver::{Following, Tables},
        refusal::Refusal,
        shared::Shared,
    },
    *,
};
use crate::{ha::heartbeat::key::Key, model::SyncSettings};

/// What a node says to the one that wants its flows.
type Said = (Kind, u64, Vec<u8>);

fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (near, listener.accept().unwrap().0)
}

fn greeting(key: &Key) -> Greeting<'_> {
    let hello = |life| Hello {
        life,
        nonce: [0; 32],
    };
    Greeting::new(key, &hello(1), &hello(2))
}

/// Says all that, sealed as it should be, and hangs up.
struct Heard {
    v4: Table<Addr4>,
    v6: Table<Addr6>,
    lost: Lost,
    counts: Counts,
}

impl Heard {
    fn of(said: &[Said]) -> Self {
        let key = Key::new(&[1; 32]);
        let greeting = greeting(&key);
        let mut sealing = greeting.keys().flows;
        let mut bytes = Vec::new();
        for (kind, number, payload) in said {
            let frame = Frame {
                kind: *kind,
                number: *number,
                payload,
            };
            sealing.seal(&frame, &mut bytes);
        }
        let (near, mut far) = connection();
        far.write_all(&bytes).unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        let shared = Arc::new(Shared::new());
        shared.set_directory(directory(true));
        let following = Following::new(
            Link::new(near).unwrap(),
            greeting.keys(),
            Arc::clone(&shared),
        );
        let (mut v4, mut v6) = (Table::default(), Table::default());
        let lost = following.run(&mut Tables {
            v4: &mut v4,
            v6: &mut v6,
        });
        let counts = shared.counters.counts();
        Self {
            v4,
            v6,
            lost,
            counts,
        }
    }
}

fn names() -> Said {
    let mut bytes = Vec::new();
    Names::write_backend(BACKEND, &backend_name(), &mut bytes);
    Names::write_backend(BACKEND6, &backend6_name(), &mut bytes);
    (Kind::Names, 0, bytes)
}

fn written<A: Family>(record: &FlowRecord<A>) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.write(&mut bytes);
    bytes
}

/// One byte of a record is another.
fn damaged(mut record: Vec<u8>, damage: Option<(prop::sample::Index, u8)>) -> Vec<u8> {
    if let Some((at, value)) = damage {
        let at = at.index(record.len());
        record[at] = value;
    }
    record
}

fn any_said() -> impl Strategy<Value = Said> {
    let kinds = [
        Kind::Names,
        Kind::Flows4,
        Kind::Flows6,
        Kind::BulkBegins,
        Kind::BulkEnds,
        Kind::Idle,
        Kind::Taken,
        Kind::Again,
    ];
    let noise = prop::collection::vec(any::<u8>(), 0..400);
    let noise = (prop::sample::select(kinds.to_vec()), any::<u64>(), noise);
    let record = (
        1000..1010_u16,
        2000..2010_u16,
        0..100_u32,
        prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    );
    let records = prop::collection::vec(record, 0..20);
    let flows = (any::<bool>(), any::<u64>(), records).prop_map(|(v4, number, records)| {
        let records = records.into_iter().map(|(port, local, idle, damage)| {
            let record = if v4 {
                written(&flow(port, local, idle))
            } else {
                written(&flow6(port, local, idle))
            };
            damaged(record, damage)
        });
        let kind = if v4 { Kind::Flows4 } else { Kind::Flows6 };
        (kind, number, records.collect::<Vec<_>>().concat())
    });
    let bulk = prop::sample::select(&[Kind::BulkBegins, Kind::BulkEnds, Kind::Idle][..]);
    let bulk = bulk.prop_map(|kind| (kind, 0, Vec::new()));
    prop_oneof![1 => noise, 4 => flows, 2 => bulk, 2 => Just(names())]
}

#[test]
fn what_makes_sense_is_taken_and_what_does_not_ends_the_connection() {
    let four = (Kind::Flows4, 0, written(&flow(1000, 2000, 1)));
    let six = (Kind::Flows6, 0, written(&flow6(1000, 2000, 1)));
    let bulk = |kind| (kind, 0, Vec::new());
    let good = [
        bulk(Kind::BulkBegins),
        names(),
        four.clone(),
        six,
        bulk(Kind::BulkEnds),
    ];
    let heard = Heard::of(&good);
    assert!(matches!(heard.lost, Lost::Closed), "{}", heard.lost);
    assert_eq!((heard.counts.inserted, heard.counts.pulls), (2, 1));
    assert_eq!((heard.v4.entries.len(), heard.v6.entries.len()), (2, 2));

    let short = (Kind::Flows4, 0, four.2[1..].to_vec());
    for nonsense in [
        short,
        bulk(Kind::BulkEnds),
        bulk(Kind::Taken),
        bulk(Kind::Again),
    ] {
        let heard = Heard::of(&[nonsense, names(), four.clone()]);
        assert!(
            matches!(heard.lost, Lost::Refused(Refusal::Contents)),
            "{}",
            heard.lost
        );
        assert!(
            heard.v4.entries.is_empty(),
            "the connection went on after that"
        );
    }
}

proptest! {
    #[test]
    fn a_holder_of_the_key_that_says_anything_is_heard_out_or_refused(said in prop::collection::vec(any_said(), 0..12)) {
        let heard = Heard::of(&said);
        let ended = matches!(heard.lost, Lost::Closed | Lost::Refused(Refusal::Contents));
        prop_assert!(ended, "{}", heard.lost);
        heard.v4.assert_whole();
        heard.v6.assert_whole();
        let Counts { received, inserted, ref skipped, .. } = heard.counts;
        let skipped: u64 = skipped.values().sum();
        prop_assert!(inserted + skipped <= received);
        let here = heard.v4.entries.len() + heard.v6.entries.len();
        prop_assert!(here as u64 <= 2 * inserted);
    }

    #[test]
    fn nobody_without_the_key_gets_past_the_greeting(
        noise in prop::collection::vec(any::<u8>(), 0..120), greets: bool, cut in 0..200_usize,
    ) {
        let way = Way {
            settings: SyncSettings {
                interface: "eth1".into(),
                peer: Ipv4Addr::LOCALHOST.into(),
                port: 9554,
                key_file: PathBuf::new(),
                wait_at_most: Duration::ZERO,
            },
            key: Key::new(&[1; 32]),
            life: 1,
        };
        let hello = Hello { life: 2, nonce: [0; 32] };
        let mut bytes = if greets { hello.write().to_vec() } else { Vec::new() };
        bytes.extend_from_slice(&noise);
        bytes.truncate(cut);
        let (near, mut far) = connection();
        far.write_all(&bytes).unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        let Err(lost) = way.greet(near, &Shared::new()) else {
            return Err(TestCaseError::fail("let in"));
        };
        let refused = matches!(
            lost,
            Lost::Closed | Lost::Refused(Refusal::Greeting | Refusal::Version | Refusal::OwnNode | Refusal::Key)
        );
        prop_assert!(refused, "{}", lost);
    }
}
