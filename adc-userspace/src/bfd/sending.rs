//! What a session says, and when (RFC 5880 §6.8.3 and §6.8.7). Pure.

use std::time::{Duration, Instant};

use super::{
    packet::{Packet, State},
    session::{SLOW, Session},
};

impl Session {
    /// Says other intervals than before, if so, and polls.
    pub(super) fn propose(&mut self) {
        let up = self.state == State::Up;
        let (tx, rx) = (self.desired(), self.timing.interval);
        // A longer pause of ours, and a shorter one of the peer, wait for its word: else it would miss packets that we do
        // not send, or we would miss packets that it does not send yet.
        if !up || tx < self.tx {
            self.tx = tx;
        }
        if !up || rx > self.rx {
            self.rx = rx;
        }
        self.polling = up;
    }

    /// The peer has confirmed what we say.
    pub(super) fn settle(&mut self) {
        self.polling = false;
        self.tx = self.desired();
        self.rx = self.timing.interval;
    }

    /// What we say that we send.
    fn desired(&self) -> Duration {
        match self.state {
            State::Up => self.timing.interval,
            State::AdminDown | State::Down | State::Init => self.timing.interval.max(SLOW),
        }
    }

    pub(super) fn may_send(&self) -> bool {
        let asked_for = !self.passive || self.remote.discriminator != 0;
        let both_up = self.state == State::Up && self.remote.state == State::Up;
        let hushed = self.remote.demand && both_up && !self.polling;
        asked_for && !hushed && !self.remote.min_rx.is_zero()
    }

    /// A packet went out: the next is due an interval later, less a quarter at most.
    pub(super) fn sent(&mut self, now: Instant) {
        self.last_sent = Some(now);
        self.next = None;
        self.schedule(now);
    }

    /// Sees to it that the next packet is due no later than it should be, and that none is due that should not go out.
    pub(super) fn schedule(&mut self, now: Instant) {
        let pace = self.transmit_interval().filter(|_| self.may_send());
        let Some(interval) = pace else {
            self.next = None;
            return;
        };
        let stays = self.pace.is_some_and(|before| before <= interval);
        if self.next.is_some() && stays {
            return;
        }
        self.pace = pace;
        let pause = self.jittered(interval);
        let due = self.last_sent.map_or(now, |sent| (sent + pause).max(now));
        self.next = Some(self.next.map_or(due, |next| next.min(due)));
    }

    /// RFC 5880 §6.8.7: 75 to 100 % of the interval, 90 % if the peer may not miss any.
    fn jittered(&mut self, interval: Duration) -> Duration {
        let most = if self.timing.multiplier == 1 {
            900
        } else {
            1000
        };
        interval * self.random.u32(750..=most) / 1000
    }

    /// What goes out now.
    pub(super) fn packet(&self) -> Packet {
        Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: self.polling,
            is_final: false,
            independent: false,
            demand: false,
            multiplier: self.timing.multiplier,
            my_discriminator: self.local.get(),
            your_discriminator: self.remote.discriminator,
            desired_min_tx: in_micros(self.desired()),
            required_min_rx: in_micros(self.timing.interval),
            required_min_echo_rx: 0,
        }
    }
}

fn in_micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
