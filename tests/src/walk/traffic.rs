//! Random traffic: plausible sessions, packet by packet in any order, some of it cut or damaged.

use std::net::{IpAddr, SocketAddr};

use adc_common::abi::{InterfaceId, Protocol};

use super::{BACK, FRONT, Family, Talk, World};
use crate::packets::{
    Envelope, Extension, Segment, Tag, arp, flip_bit, icmp_echo, ip_offset, transport_offset,
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
    /// If `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.roll() % n as u64).expect("below a usize")
    }

    /// True once in `n`.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of several.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    fn word(&mut self) -> u32 {
        (self.roll() >> 32) as u32
    }
}

/// One end-to-end session and what its ends know.
#[derive(Clone, Debug)]
struct Session {
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
    sessions: Vec<Session>,
}

/// Sessions that go on at a time; one now and then is replaced by a new one.
const SESSIONS: usize = 64;

impl Traffic {
    /// Traffic in `world`, whose services have one backend each or several.
    pub fn new(seed: u64, world: World) -> Self {
        let mut traffic = Self {
            dice: Dice::new(seed),
            world,
            sessions: Vec::new(),
        };
        for _ in 0..SESSIONS {
            let session = traffic.session();
            traffic.sessions.push(session);
        }
        traffic
    }

    /// The next frame, and the interface it comes in by.
    pub fn next_frame(&mut self) -> (InterfaceId, Vec<u8>) {
        if self.dice.once_in(40) {
            let gone = self.dice.below(SESSIONS);
            self.sessions[gone] = self.session();
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

    fn session(&mut self) -> Session {
        let dice = &mut self.dice;
        let family = *dice.pick(&Family::BOTH);
        let protocol = *dice.pick(&[Protocol::TCP, Protocol::UDP]);
        let mut talk = self.world.talk(family, protocol);
        let host = dice.below(200) as u8;
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
        talk.client = SocketAddr::new(address, 40_000 + dice.below(8) as u16);
        talk.seen_as = talk.client;
        // The other service at the same backend, if the world has one.
        if dice.once_in(4) {
            talk.vip.set_port(talk.vip.port() + 1000);
        }
        if dice.once_in(3) {
            talk.client_link.tags = vec![Tag::customer(1 + dice.below(3) as u16)];
        }
        if dice.once_in(9) {
            talk.client_link.tags = vec![Tag::service(9), Tag::customer(8)];
        }
        Session {
            talk,
            protocol,
            client_seq: dice.word(),
            backend_seq: dice.word(),
        }
    }

    fn step(&mut self) -> (InterfaceId, Vec<u8>) {
        let chosen = self.dice.below(SESSIONS);
        let mut session = self.sessions[chosen].clone();
        let from_client = self.dice.once_in(2) || self.dice.once_in(4);
        let segment = if session.protocol == Protocol::TCP {
            self.tcp(&mut session, from_client)
        } else {
            self.udp()
        };
        let segment = self.vary(segment, session.talk.client.is_ipv4());
        if self.dice.once_in(50) {
            session.talk.client_link.far.0[5] = self.dice.below(4) as u8;
        }
        self.sessions[chosen] = session.clone();
        let talk = &session.talk;
        if from_client {
            (talk.client_link.interface, talk.from_client(&segment))
        } else {
            (talk.backend_link.interface, talk.from_backend(&segment))
        }
    }

    /// Mostly what comes next in a connection, seen by somebody who does not know which of it arrived.
    fn tcp(&mut self, session: &mut Session, from_client: bool) -> Segment {
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
            session.client_seq = dice.word();
        }
        let (mut seq, mut ack) = if from_client {
            (session.client_seq, session.backend_seq.wrapping_add(1))
        } else {
            (session.backend_seq, session.client_seq.wrapping_add(1))
        };
        if !flags.contains('S') {
            seq = seq.wrapping_add(1);
        }
        if dice.once_in(12) {
            ack = dice.word();
        }
        let length = if flags.contains('P') {
            dice.below(120)
        } else {
            0
        };
        let payload: Vec<u8> = (0..length).map(|_| dice.roll() as u8).collect();
        Segment::tcp(flags, seq, ack).data(&payload)
    }

    fn udp(&mut self) -> Segment {
        let length = self.dice.below(80);
        let payload: Vec<u8> = (0..length).map(|_| self.dice.roll() as u8).collect();
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
        segment.id = dice.roll() as u16;
        if dice.once_in(30) {
            segment.ttl = dice.below(4) as u8;
        }
        if dice.once_in(10) {
            segment.padding = dice.below(20);
        }
        if v4 && dice.once_in(12) {
            segment.options = vec![1; 4 * dice.below(11)];
        }
        if v4 && dice.once_in(40) {
            segment = segment.fragment(dice.below(100) as u16, dice.once_in(2));
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

    /// A packet of no session.
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
            frame[at] = self.dice.roll() as u8;
        }
        frame
    }
}
