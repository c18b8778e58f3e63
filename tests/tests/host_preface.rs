//! What a backend makes of a stream that begins with a PROXY protocol header, when the network loses, doubles and
//! reorders: the header, then every byte of the client, in order, whatever happens.

use std::{cell::RefCell, collections::BTreeMap, net::SocketAddr};

use adc_common::abi::Protocol;
use adc_tests::{
    packets::{Segment, checksums_hold},
    walk::{Exit, Family, HostWalk, Talk, Walk as _, World},
};
use etherparse::{SlicedPacket, TcpSlice, TransportSlice};
use proptest::prelude::*;

/// Packets on one way, which may be lost, doubled and overtaken.
#[derive(Default)]
struct Wire {
    packets: Vec<Vec<u8>>,
}

/// What the network does to the next packet.
#[derive(Clone, Copy, Debug)]
enum Weather {
    Fine,
    Loses,
    Doubles,
    /// The one that was sent last arrives first.
    Overtakes,
}

impl Wire {
    fn next(&mut self, weather: Weather) -> Option<Vec<u8>> {
        if self.packets.is_empty() {
            return None;
        }
        match weather {
            Weather::Fine => Some(self.packets.remove(0)),
            Weather::Loses => {
                self.packets.remove(0);
                None
            }
            Weather::Doubles => Some(self.packets[0].clone()),
            Weather::Overtakes => self.packets.pop(),
        }
    }
}

/// One end of a connection, as simple as TCP may be: it sends everything it has not got acknowledged again and again.
struct End {
    /// Number of its SYN.
    start: u32,
    /// What it has to say.
    says: Vec<u8>,
    /// Bytes of a segment at most.
    mss: usize,
    /// Number of the other end's SYN, when that was seen.
    peer: Option<u32>,
    /// What it heard, by place in the other end's stream.
    heard: BTreeMap<usize, u8>,
    /// Bytes that the other end acknowledged; `None` while that is not even its SYN.
    acknowledged: Option<usize>,
}

impl End {
    fn new(start: u32, says: &[u8], mss: usize) -> Self {
        Self {
            start,
            says: says.to_vec(),
            mss,
            peer: None,
            heard: BTreeMap::new(),
            acknowledged: None,
        }
    }

    /// Bytes heard without a gap.
    fn in_order(&self) -> usize {
        let places = self.heard.keys().enumerate();
        places.take_while(|(n, at)| n == *at).count()
    }

    fn stream(&self) -> Vec<u8> {
        self.heard.values().copied().collect()
    }

    fn hear(&mut self, tcp: &TcpSlice<'_>) {
        if tcp.syn() {
            self.peer = Some(tcp.sequence_number());
        }
        let Some(peer) = self.peer else { return };
        if tcp.ack() {
            let all = tcp.acknowledgment_number().wrapping_sub(self.start);
            if all.cast_signed() < 0 {
                // Overtaken by what the backend said later: an old duplicate, and within the window (RFC 5961 §5.2).
                assert!(self.acknowledged.is_some(), "no answer to this SYN");
                assert!(
                    all.wrapping_neg() <= 52,
                    "{all} is too old to be a duplicate"
                );
            } else {
                assert!(all as usize <= self.says.len() + 1, "{all} was never sent");
                if all > 0 {
                    let before = self.acknowledged.unwrap_or(0);
                    self.acknowledged = Some(before.max(all as usize - 1));
                }
            }
        }
        let at = tcp.sequence_number().wrapping_sub(peer.wrapping_add(1));
        for (n, byte) in tcp.payload().iter().enumerate() {
            let place = at as usize + n;
            let before = self.heard.insert(place, *byte);
            assert!(
                before.is_none_or(|old| old == *byte),
                "byte {place} changed"
            );
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "short streams")]
    fn acknowledgement(&self) -> u32 {
        self.peer
            .map_or(0, |peer| peer.wrapping_add(1 + self.in_order() as u32))
    }

    /// Everything that may still be missing at the other end.
    #[expect(clippy::cast_possible_truncation, reason = "short streams")]
    fn send(&self, opens: bool) -> Vec<Segment> {
        let ack = self.acknowledgement();
        let Some(done) = self.acknowledged else {
            return match (opens, self.peer) {
                (true, None) => vec![Segment::tcp("S", self.start, 0)],
                (false, Some(_)) => vec![Segment::tcp("SA", self.start, ack)],
                (true, Some(_)) | (false, None) => Vec::new(),
            };
        };
        let mut segments = Vec::new();
        for at in (done..self.says.len()).step_by(self.mss) {
            let end = self.says.len().min(at + self.mss);
            let number = self.start.wrapping_add(1 + at as u32);
            segments.push(Segment::tcp("PA", number, ack).data(&self.says[at..end]));
        }
        if segments.is_empty() {
            let number = self.start.wrapping_add(1 + self.says.len() as u32);
            segments.push(Segment::tcp("A", number, ack));
        }
        segments
    }
}

/// A packet through the balancer and to its receiver.
fn cross(host: &mut HostWalk, frame: &[u8], from_client: bool, talk: &Talk, to: &mut End) {
    let link = if from_client {
        &talk.client_link
    } else {
        &talk.backend_link
    };
    let arrival = host.arrive(frame, link.interface).expect("a whole frame");
    if arrival.exit == Exit::Drop {
        // Nothing but what a handshake forbids, and then it is sent again.
        return;
    }
    assert!(checksums_hold(&arrival.frame), "{arrival:?}");
    let packet = SlicedPacket::from_ethernet(&arrival.frame).expect("a packet");
    let Some(TransportSlice::Tcp(tcp)) = packet.transport else {
        panic!("no TCP: {arrival:?}");
    };
    to.hear(&tcp);
}

fn weather() -> impl Strategy<Value = Vec<Weather>> {
    let one = prop_oneof![
        4 => Just(Weather::Fine),
        2 => Just(Weather::Loses),
        1 => Just(Weather::Doubles),
        1 => Just(Weather::Overtakes),
    ];
    proptest::collection::vec(one, 0..120)
}

fn talks() -> impl Strategy<Value = (World, Talk)> {
    (0..5).prop_map(|which| {
        let world = World::two_arm();
        let far = world.clone().with_full_nat();
        match which {
            0 => (world.clone(), world.tcp(Family::V4)),
            1 => (world.clone(), world.tcp(Family::V6)),
            2 => (far.clone(), far.tcp(Family::V4)),
            3 => (far.clone(), far.tcp(Family::V6)),
            _ => (far.clone(), far.nat64(Protocol::TCP)),
        }
    })
}

thread_local! {
    /// Kept from case to case, because its rings take longer to write than a case to run.
    static HOST: RefCell<HostWalk> = RefCell::default();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn a_backend_hears_the_header_and_then_every_byte_of_the_client(
        (mut world, talk) in talks(),
        weather in weather(),
        starts: (u32, u32),
        says in proptest::collection::vec(any::<u8>(), 0..300),
        answers in proptest::collection::vec(any::<u8>(), 0..100),
        mss in 1_usize..200,
    ) {
        for service in world.contents.services.values_mut() {
            service.proxy_protocol = 1;
        }
        let mut host = HOST.take();
        host.pour(&world.contents);
        let mut client = End::new(starts.0, &says, mss);
        let mut backend = End::new(starts.1, &answers, mss);
        let length = if talk.client.is_ipv4() { 28 } else { 52 };
        let (mut up, mut down) = (Wire::default(), Wire::default());
        let mut weather = weather.into_iter();
        let mut weather = || weather.next().unwrap_or(Weather::Fine);
        let done = |client: &End, backend: &End| {
            backend.in_order() == length + says.len() && client.in_order() == answers.len()
        };
        for _round in 0..60 {
            if done(&client, &backend) {
                break;
            }
            up.packets.extend(client.send(true).iter().map(|s| talk.client_sends(s)));
            for _ in 0..up.packets.len() {
                if let Some(frame) = up.next(weather()) {
                    cross(&mut host, &frame, true, &talk, &mut backend);
                }
            }
            down.packets.extend(backend.send(false).iter().map(|s| talk.backend_sends(s)));
            for _ in 0..down.packets.len() {
                if let Some(frame) = down.next(weather()) {
                    cross(&mut host, &frame, false, &talk, &mut client);
                }
            }
        }
        HOST.set(host);
        prop_assert!(done(&client, &backend), "the connection never ends");
        let heard = backend.stream();
        let (header, stream) = heard.split_at(length);
        let header = ppp::v2::Header::try_from(header).expect("a header");
        let told = ends(&header.addresses);
        prop_assert_eq!(told, Some((talk.client, talk.vip)));
        prop_assert_eq!(stream, says.as_slice());
        prop_assert_eq!(client.stream(), answers);
    }
}

/// Client and VIP as a header names them.
fn ends(addresses: &ppp::v2::Addresses) -> Option<(SocketAddr, SocketAddr)> {
    use ppp::v2::Addresses;
    match addresses {
        Addresses::IPv4(ip) => Some((
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        )),
        Addresses::IPv6(ip) => Some((
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        )),
        Addresses::Unspecified | Addresses::Unix(_) => None,
    }
}
