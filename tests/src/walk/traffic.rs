//! Random traffic: plausible exchanges, packet by packet in any order, some of it cut or damaged.

mod pieces;

use std::net::{IpAddr, SocketAddr};

use adc_common::abi::{InterfaceId, Protocol};

use super::{BACK, FRONT, Family, PROTOCOLS, Talk, World, association};
use crate::packets::{
    Envelope, Extension, IcmpError, Segment, Tag, arp, flip_bit, icmp_echo, ip_offset, split,
    transport_offset,
};

/// A generator of numbers that is the same on every machine (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    ///
    /// # Panics
    /// If `n` is not positive.
    pub fn below<N>(&mut self, n: N) -> N
    where
        N: TryFrom<u64> + TryInto<u64>,
    {
        let Ok(n) = n.try_into() else {
            panic!("a negative number of choices");
        };
        let Ok(number) = N::try_from(self.roll() % n) else {
            panic!("what is below an N fits an N");
        };
        number
    }

    /// True once in `n`.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n as u64) == 0
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    fn byte(&mut self) -> u8 {
        self.roll().to_le_bytes()[0]
    }

    fn word(&mut self) -> u32 {
        self.below(u32::MAX)
    }
}

/// One end-to-end exchange and what its ends know.
#[derive(Clone, Debug)]
struct Exchange {
    talk: Talk,
    protocol: Protocol,
    client_seq: u32,
    backend_seq: u32,
}

/// A stream of frames.
#[derive(Debug)]
pub struct Traffic {
    dice: Dice,
    world: World,
    exchanges: Vec<Exchange>,
    /// Fragments so far.
    fragments: usize,
}

/// Exchanges that go on at a time; one now and then is replaced by a new one.
const EXCHANGES: usize = 64;

impl Traffic {
    /// Traffic in `world`, whose services have one backend each or several.
    pub fn new(seed: u64, world: World) -> Self {
        let mut traffic = Self {
            dice: Dice::new(seed),
            world,
            exchanges: Vec::new(),
            fragments: 0,
        };
        for _ in 0..EXCHANGES {
            let exchange = traffic.exchange();
            traffic.exchanges.push(exchange);
        }
        traffic
    }

    /// The next frame, and the interface it comes in by.
    pub fn next_frame(&mut self) -> (InterfaceId, Vec<u8>) {
        if self.dice.once_in(40) {
            let gone = self.dice.below(EXCHANGES);
            self.exchanges[gone] = self.exchange();
        }
        let (interface, mut frame) = if self.dice.once_in(25) {
            self.stranger()
        } else {
            self.step()
        };
        if self.dice.once_in(7) {
            frame.truncate(self.dice.below(frame.len() + 1).max(14));
        }
        if self.dice.once_in(11) {
            let bit = self.dice.below(frame.len() * 8);
            frame = flip_bit(&frame, bit);
        }
        let interface = if self.dice.once_in(200) {
            *self.dice.pick(&[InterfaceId(0), FRONT, BACK])
        } else {
            interface
        };
        (interface, frame)
    }

    fn exchange(&mut self) -> Exchange {
        let dice = &mut self.dice;
        let family = *dice.pick(&Family::BOTH);
        let protocol = *dice.pick(&PROTOCOLS);
        let crosses = self.world.full_nat && family == Family::V6 && dice.once_in(2);
        let mut talk = if crosses {
            self.world.nat64(protocol)
        } else {
            self.world.talk(family, protocol)
        };
        let host = dice.below(200_u8);
        let address: IpAddr = match family {
            Family::V4 => [192, 0, 2, host].into(),
            Family::V6 => {
                let mut octets = [0; 16];
                octets[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
                octets[15] = host;
                octets.into()
            }
        };
        // Few ports: tuples are used again, and two services meet at one backend.
        talk.client = SocketAddr::new(address, 40_000 + dice.below(8_u16));
        if self.world.full_nat {
            // The backend may see another port; then these answers go to somebody else, or to nobody.
            talk.seen_as.set_port(talk.client.port());
        } else {
            talk.seen_as = talk.client;
        }
        // The other service at the same backend, if the world has one.
        if !crosses && dice.once_in(4) {
            talk.vip.set_port(talk.vip.port() + 1000);
        }
        // A port of a range, or just beside it.
        if let Some((first, last)) = self.world.range
            && !crosses
            && dice.once_in(4)
        {
            let port = first - 2 + dice.below(last - first + 5);
            talk.vip.set_port(port);
            talk.backend.set_port(port);
        }
        if dice.once_in(3) {
            talk.client_link.tags = vec![Tag::customer(1 + dice.below(3_u16))];
        }
        if dice.once_in(9) {
            talk.client_link.tags = vec![Tag::service(9), Tag::customer(8)];
        }
        Exchange {
            talk,
            protocol,
            client_seq: dice.word(),
            backend_seq: dice.word(),
        }
    }

    fn step(&mut self) -> (InterfaceId, Vec<u8>) {
        let chosen = self.dice.below(EXCHANGES);
        let mut exchange = self.exchanges[chosen].clone();
        let from_client = self.dice.once_in(2) || self.dice.once_in(4);
        let segment = if exchange.protocol == Protocol::TCP {
            self.tcp(&mut exchange, from_client)
        } else if exchange.protocol == Protocol::SCTP {
            let Exchange {
                client_seq: client,
                backend_seq: backend,
                ..
            } = &mut exchange;
            association::packet(&mut self.dice, client, backend, from_client)
        } else {
            self.udp()
        };
        let sender = if from_client {
            exchange.talk.client
        } else {
            exchange.talk.backend
        };
        let segment = self.vary(segment, sender.is_ipv4());
        if self.dice.once_in(50) {
            exchange.talk.client_link.far.0[5] = self.dice.below(4_u8);
        }
        self.exchanges[chosen] = exchange.clone();
        let talk = &exchange.talk;
        if self.dice.once_in(10) {
            return self.error(talk, &segment, from_client);
        }
        if segment.fragment.is_none() && self.dice.once_in(8) {
            return self.piece(talk, &segment, from_client);
        }
        if from_client {
            (talk.client_link.interface, talk.client_sends(&segment))
        } else {
            (talk.backend_link.interface, talk.backend_sends(&segment))
        }
    }

    /// An ICMP error about a packet of an exchange, from a router that the packet got to.
    fn error(
        &mut self,
        talk: &Talk,
        segment: &Segment,
        from_client: bool,
    ) -> (InterfaceId, Vec<u8>) {
        let dice = &mut self.dice;
        // The two ends may be of different families.
        let end = if from_client {
            talk.seen_as
        } else {
            talk.client
        };
        let kinds: &[u8] = if end.is_ipv4() {
            &[3, 3, 11, 12, 4, 5]
        } else {
            &[1, 2, 3, 4, 100]
        };
        let (kind, code) = (*dice.pick(kinds), dice.below(6_u8));
        let length = *dice.pick(&[28, 48, 60, 100, 2000, dice.clone().below(80)]);
        let (link, quoted, to) = if from_client {
            let quoted = talk.backend_link.outgoing(talk.seen_as, talk.backend);
            (&talk.backend_link, quoted, talk.seen_as)
        } else {
            let quoted = talk.client_link.outgoing(talk.vip, talk.client);
            (&talk.client_link, quoted, talk.vip)
        };
        let mut whole = quoted.frame(&segment.clone().padded(0));
        if dice.once_in(6) && segment.fragment.is_none() {
            whole = split(&whole, 48, 1).swap_remove(0);
        }
        let mut from = if from_client {
            talk.backend
        } else {
            talk.client
        };
        if dice.once_in(2) {
            from.set_port(0);
        }
        let error = IcmpError::new(kind, code).about(&whole, length);
        let ttl = if dice.once_in(20) { 1 } else { 64 };
        (link.interface, error.frame(&link.incoming(from, to), ttl))
    }

    /// Mostly what comes next in a connection, seen by somebody who does not know which of it arrived.
    fn tcp(&mut self, exchange: &mut Exchange, from_client: bool) -> Segment {
        let dice = &mut self.dice;
        let kinds: &[&str] = if from_client {
            &[
                "S", "S", "A", "A", "A", "PA", "PA", "FA", "R", "RA", "FPA", "SA", "SF", "U", "",
            ]
        } else {
            &["SA", "SA", "SA", "A", "PA", "PA", "FA", "R", "RA", "S"]
        };
        let flags = *dice.pick(kinds);
        if flags == "S" && from_client && dice.once_in(3) {
            exchange.client_seq = dice.word();
        }
        let (mut seq, mut ack) = if from_client {
            (exchange.client_seq, exchange.backend_seq.wrapping_add(1))
        } else {
            (exchange.backend_seq, exchange.client_seq.wrapping_add(1))
        };
        if !flags.contains('S') {
            seq = seq.wrapping_add(1);
        }
        // As if there were a PROXY protocol header that the backend has not got yet.
        if !from_client && exchange.talk.vip.port() > 1000 && dice.once_in(2) {
            ack = ack.wrapping_sub(if exchange.talk.client.is_ipv4() {
                28
            } else {
                52
            });
        }
        if dice.once_in(12) {
            ack = dice.word();
        }
        let length = if flags.contains('P') {
            dice.below(120)
        } else {
            0
        };
        let payload: Vec<u8> = (0..length).map(|_| dice.byte()).collect();
        Segment::tcp(flags, seq, ack).data(&payload)
    }

    fn udp(&mut self) -> Segment {
        let length = self.dice.below(80);
        let payload: Vec<u8> = (0..length).map(|_| self.dice.byte()).collect();
        let segment = Segment::udp(&payload);
        if self.dice.once_in(5) {
            segment.without_checksum()
        } else {
            segment
        }
    }

    /// Headers that occur now and then.
    fn vary(&mut self, mut segment: Segment, v4: bool) -> Segment {
        let dice = &mut self.dice;
        segment.id = dice.below(u16::MAX);
        if dice.once_in(30) {
            segment.ttl = dice.below(4_u8);
        }
        if dice.once_in(10) {
            segment.padding = dice.below(20);
        }
        if v4 && dice.once_in(12) {
            segment.options = vec![1; 4 * dice.below(11)];
        }
        if v4 && dice.once_in(40) {
            segment = segment.fragment(dice.below(100_u16), dice.once_in(2));
        }
        if !v4 && dice.once_in(8) {
            for _ in 0..dice.below(8) {
                let kind = *dice.pick(&[
                    Extension::HOP_BY_HOP,
                    Extension::DESTINATION,
                    Extension::AUTHENTICATION,
                    Extension::ROUTING,
                ]);
                segment
                    .extensions
                    .push(Extension::new(kind, 8 + 8 * dice.below(4)));
            }
            if dice.once_in(6) {
                segment.extensions.push(Extension::fragment(0, true));
            }
            if dice.once_in(6) {
                segment.extensions.push(Extension::routing(1));
            }
        }
        segment
    }

    /// A packet of no exchange.
    fn stranger(&mut self) -> (InterfaceId, Vec<u8>) {
        let family = *self.dice.pick(&Family::BOTH);
        let talk = self.world.tcp(family);
        let mut envelope: Envelope = talk.client_link.incoming(talk.client, talk.vip);
        let frame = match self.dice.below(5) {
            0 if family == Family::V4 => arp(&envelope),
            0 | 1 => icmp_echo(&envelope),
            2 => {
                envelope.to.set_port(22);
                envelope.frame(&Segment::tcp("S", 1, 0))
            }
            3 => {
                envelope.to = talk.backend;
                envelope.frame(&Segment::udp(b"not for you"))
            }
            _ => self.scrambled(&envelope),
        };
        (FRONT, frame)
    }

    /// A frame with random bytes in its headers.
    fn scrambled(&mut self, envelope: &Envelope) -> Vec<u8> {
        let mut frame = envelope.frame(&Segment::tcp("PA", 1, 1).data(b"0123456789"));
        let start = ip_offset(&frame);
        let end = transport_offset(&frame) + 20;
        for _ in 0..=self.dice.below(4) {
            let at = start + self.dice.below(end - start);
            frame[at] = self.dice.byte();
        }
        frame
    }
}
