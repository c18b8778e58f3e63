//! Fragments that wait for the first of their datagram. Bounded in every direction; pure.

use std::collections::HashMap;

use adc_common::abi::{Addr16, Orphan, Protocol, Tick};

/// How long a fragment waits. What is late by reordering comes within milliseconds; what was lost is sent again whole.
const PATIENCE: Tick = Tick::from_secs(1);

/// Bytes that wait at a time.
const BYTES: usize = 4 << 20;

/// Fragments of one sender that wait at a time: four datagrams of 64 KiB, in frames of 1500 bytes.
const PER_SENDER: usize = 180;

/// What the fragments of a datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Datagram {
    pub(super) src: Addr16,
    pub(super) dst: Addr16,
    pub(super) id: u32,
    pub(super) protocol: Protocol,
}

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) ifindex: u32,
    pub(super) seen: Tick,
    pub(super) bytes: Box<[u8]>,
}

/// All that waits.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    frames: HashMap<Datagram, Vec<Frame>>,
    per_sender: HashMap<Addr16, usize>,
    bytes: usize,
}

impl Waiting {
    /// Keeps a frame. False if it came too long ago, its sender has too many here, or there is no room.
    pub(super) fn keep(&mut self, about: &Orphan, frame: &[u8], now: Tick) -> bool {
        let sender = self.per_sender.get(&about.src).copied().unwrap_or(0);
        let late = now.since(about.seen) >= PATIENCE;
        if late || sender >= PER_SENDER || self.bytes + frame.len() > BYTES {
            return false;
        }
        let datagram = Datagram {
            src: about.src,
            dst: about.dst,
            id: about.id,
            protocol: about.protocol,
        };
        self.bytes += frame.len();
        self.per_sender.insert(about.src, sender + 1);
        self.frames.entry(datagram).or_default().push(Frame {
            ifindex: about.ifindex,
            seen: about.seen,
            bytes: frame.into(),
        });
        true
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Takes out the frames of every datagram whose first fragment is `known`, in the order they came.
    pub(super) fn take(&mut self, mut known: impl FnMut(&Datagram) -> bool) -> Vec<Frame> {
        let ready: Vec<Datagram> = (self.frames.keys())
            .filter(|datagram| known(datagram))
            .copied()
            .collect();
        let mut taken = Vec::new();
        for datagram in ready {
            let frames = self.frames.remove(&datagram).unwrap_or_default();
            for frame in &frames {
                self.let_go(datagram.src, frame);
            }
            taken.extend(frames);
        }
        taken
    }

    /// Drops what has waited too long, and says how many that was.
    pub(super) fn expire(&mut self, now: Tick) -> usize {
        let mut expired = Vec::new();
        self.frames.retain(|datagram, frames| {
            let late = |frame: &mut Frame| now.since(frame.seen) >= PATIENCE;
            expired.extend(
                frames
                    .extract_if(.., late)
                    .map(|frame| (datagram.src, frame)),
            );
            !frames.is_empty()
        });
        for (src, frame) in &expired {
            self.let_go(*src, frame);
        }
        expired.len()
    }

    fn let_go(&mut self, src: Addr16, frame: &Frame) {
        self.bytes = self.bytes.saturating_sub(frame.bytes.len());
        if let Some(count) = self.per_sender.get_mut(&src) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_sender.remove(&src);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orphan(src: u8, id: u32, seen: u32) -> Orphan {
        Orphan {
            src: Addr16([src; 16]),
            id,
            seen: Tick::from_secs(seen),
            ..Orphan::default()
        }
    }

    fn now(seconds: u32) -> Tick {
        Tick::from_secs(seconds)
    }

    #[test]
    fn frames_of_a_known_datagram_come_out_in_order_and_once() {
        let mut waiting = Waiting::default();
        for (id, frame) in [(1, b"a"), (2, b"x"), (1, b"b")] {
            assert!(waiting.keep(&orphan(1, id, 10), frame, now(10)));
        }
        let taken = waiting.take(|datagram| datagram.id == 1);
        let bytes: Vec<&[u8]> = taken.iter().map(|frame| &*frame.bytes).collect();
        assert_eq!(bytes, [b"a", b"b"]);
        assert!(waiting.take(|datagram| datagram.id == 1).is_empty());
        assert!(!waiting.is_empty());
        assert_eq!(waiting.take(|_| true).len(), 1);
        assert!(waiting.is_empty());
    }

    #[test]
    fn nothing_waits_for_longer_than_a_second() {
        let mut waiting = Waiting::default();
        assert!(waiting.keep(&orphan(1, 1, 10), b"early", now(10)));
        assert!(waiting.keep(&orphan(1, 1, 11), b"late", now(11)));
        assert_eq!(waiting.expire(now(11)), 1);
        assert_eq!(waiting.take(|_| true).len(), 1);
        assert!(!waiting.keep(&orphan(1, 1, 10), b"old news", now(12)));
    }

    #[test]
    fn one_sender_takes_a_bounded_place_and_gets_it_back() {
        let mut waiting = Waiting::default();
        let flood = |waiting: &mut Waiting| {
            let ids = 0..10_000;
            ids.filter(|id| waiting.keep(&orphan(1, *id, 10), &[0; 1500], now(10)))
                .count()
        };
        assert_eq!(flood(&mut waiting), PER_SENDER);
        assert!(waiting.keep(&orphan(2, 1, 10), b"another sender", now(10)));
        assert_eq!(waiting.expire(now(11)), PER_SENDER + 1);
        assert_eq!(flood(&mut waiting), PER_SENDER);
    }

    #[test]
    fn all_senders_together_take_a_bounded_place() {
        let mut waiting = Waiting::default();
        let kept = (0..=255)
            .flat_map(|src| (0..100).map(move |id| orphan(src, id, 10)))
            .filter(|orphan| waiting.keep(orphan, &[0; 1500], now(10)))
            .count();
        assert_eq!(kept, BYTES / 1500);
        assert_eq!(waiting.bytes, kept * 1500);
        assert_eq!(waiting.expire(now(20)), kept);
        assert_eq!((waiting.bytes, waiting.per_sender.len()), (0, 0));
    }
}
