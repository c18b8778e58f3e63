//! The state machine of one session in asynchronous mode (RFC 5880 §6). Pure.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    packet::{Diagnostic, Packet, State},
    refusal::Refusal,
    verdict::Verdict,
};
use crate::model::BfdTiming;

/// While a session is not up, packets come no more often than this (RFC 5880 §6.8.3).
pub const SLOW: Duration = Duration::from_secs(1);

/// So many slow intervals a session may take to come up before it counts as down.
const FIRST: u32 = 3;

/// What the peer last said. Forgotten when it is silent (RFC 5880 §6.8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remote {
    /// Its number for the session; 0 = not known.
    pub(super) discriminator: u32,
    pub(super) state: State,
    pub(super) diagnostic: Diagnostic,
    /// It will not send more often.
    pub(super) min_tx: Duration,
    /// It does not want more; zero = none at all.
    pub(super) min_rx: Duration,
    pub(super) multiplier: u8,
    pub(super) demand: bool,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// This goes to the peer, now.
    Send(Packet),
    /// State or verdict is another.
    Changed {
        /// Before.
        from: State,
        /// Now.
        to: State,
        /// Why, for people.
        why: String,
    },
}

/// One session.
#[derive(Clone, Debug)]
pub struct Session {
    pub(super) timing: BfdTiming,
    pub(super) passive: bool,
    /// Our number for the session.
    pub(super) local: NonZeroU32,
    pub(super) state: State,
    pub(super) diagnostic: Diagnostic,
    pub(super) verdict: Verdict,
    pub(super) remote: Remote,
    /// Intervals that count. Others that were said count once the peer has answered a poll (RFC 5880 §6.8.3).
    pub(super) tx: Duration,
    pub(super) rx: Duration,
    pub(super) polling: bool,
    /// When the next periodic packet is due; `None` = none is.
    pub(super) next: Option<Instant>,
    /// The interval that `next` was chosen by.
    pub(super) pace: Option<Duration>,
    pub(super) last_sent: Option<Instant>,
    pub(super) expires: Option<Instant>,
    /// Until when one that never came up may still do so.
    pub(super) first: Option<Instant>,
    /// On its way out: until when the peer is told.
    pub(super) leaves: Option<Instant>,
    pub(super) random: fastrand::Rng,
}

impl Remote {
    /// Nothing known; one microsecond is what RFC 5880 §6.8.1 begins with.
    pub(super) const UNKNOWN: Self = Self {
        discriminator: 0,
        state: State::Down,
        diagnostic: Diagnostic::None,
        min_tx: Duration::ZERO,
        min_rx: Duration::from_micros(1),
        multiplier: 0,
        demand: false,
    };
}

impl Session {
    /// A session that begins. `seed` spreads its packets.
    pub fn new(
        now: Instant,
        local: NonZeroU32,
        timing: BfdTiming,
        passive: bool,
        seed: u64,
    ) -> Self {
        let slow = timing.interval.max(SLOW);
        Self {
            timing,
            passive,
            local,
            state: State::Down,
            diagnostic: Diagnostic::None,
            verdict: Verdict::Unknown,
            remote: Remote::UNKNOWN,
            tx: slow,
            rx: timing.interval,
            polling: false,
            next: (!passive).then_some(now),
            pace: None,
            last_sent: None,
            expires: None,
            first: Some(now + slow * FIRST),
            leaves: None,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Our number for it.
    pub fn discriminator(&self) -> NonZeroU32 {
        self.local
    }

    /// Its state.
    pub fn state(&self) -> State {
        self.state
    }

    /// What it means for those that follow it.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// When something is due.
    pub fn deadline(&self) -> Option<Instant> {
        let times = [self.next, self.expires, self.first, self.leaves];
        times.into_iter().flatten().min()
    }

    /// Whether the peer was told for long enough that this ended.
    pub fn has_left(&self, now: Instant) -> bool {
        self.leaves.is_some_and(|leaves| leaves <= now)
    }

    /// Takes in a packet that [`super::packet::parse`] let through, and that is for this session.
    ///
    /// # Errors
    /// The session is taken down on this side.
    pub fn receive(&mut self, now: Instant, packet: &Packet) -> Result<Vec<Action>, Refusal> {
        self.remote = Remote {
            discriminator: packet.my_discriminator,
            state: packet.state,
            diagnostic: packet.diagnostic,
            min_tx: micros(packet.desired_min_tx),
            min_rx: micros(packet.required_min_rx),
            multiplier: packet.multiplier,
            demand: packet.demand,
        };
        if packet.is_final && self.polling {
            self.settle();
        }
        if self.leaves.is_some() {
            return Err(Refusal::AdminDown);
        }
        let mut actions = Vec::new();
        self.follow(now, &mut actions);
        self.expires = Some(now + self.detection_time());
        if packet.poll {
            // Not one of the periodic packets: those go on as they were due (RFC 5880 §6.8.7).
            let answer = Packet {
                poll: false,
                is_final: true,
                ..self.packet()
            };
            actions.push(Action::Send(answer));
        }
        self.schedule(now);
        Ok(actions)
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) -> Vec<Action> {
        let due = |time: Option<Instant>| time.is_some_and(|time| time <= now);
        let mut actions = Vec::new();
        if due(self.first) {
            self.first = None;
            self.give_up_waiting(&mut actions);
        }
        if due(self.expires) {
            self.expires = None;
            self.forget(now, &mut actions);
        }
        if due(self.next) {
            actions.push(Action::Send(self.packet()));
            self.sent(now);
        }
        actions
    }

    /// It did not come up in time.
    fn give_up_waiting(&mut self, actions: &mut Vec<Action>) {
        if self.verdict != Verdict::Unknown {
            return;
        }
        self.verdict = Verdict::Down;
        let why = match self.state {
            State::Init => "the peer is heard, and does not hear this node",
            State::AdminDown | State::Down | State::Up => "the peer was not heard yet",
        };
        actions.push(self.same(why));
    }

    /// Nothing was heard for the detection time.
    fn forget(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let silence = self.detection_time();
        self.remote = Remote::UNKNOWN;
        if matches!(self.state, State::Init | State::Up) {
            let shown = humantime::format_duration(silence);
            let why = format!("nothing heard for {shown}, the detection time");
            let diagnostic = Diagnostic::DetectionTimeExpired;
            self.change(now, State::Down, diagnostic, why, actions);
        }
        self.schedule(now);
    }

    /// Takes other timings; the peer is asked to confirm them.
    pub fn set(&mut self, now: Instant, timing: BfdTiming, passive: bool) {
        self.passive = passive;
        if timing != self.timing {
            self.timing = timing;
            self.propose();
        }
        self.schedule(now);
    }

    /// Takes the session down for good. The peer is told for as long as it takes to be sure of it (RFC 5880 §6.8.16).
    pub fn leave(&mut self, now: Instant) -> Vec<Action> {
        let interval = self.transmit_interval().unwrap_or(self.tx);
        let told = interval * u32::from(self.timing.multiplier);
        let mut actions = Vec::new();
        let why = "taken down on this side".to_owned();
        let diagnostic = Diagnostic::AdministrativelyDown;
        self.change(now, State::AdminDown, diagnostic, why, &mut actions);
        (self.expires, self.first) = (None, None);
        self.leaves = Some(now + told.max(SLOW));
        actions
    }

    /// After how long without a packet the session goes down; zero = the peer is not heard.
    pub fn detection_time(&self) -> Duration {
        self.rx.max(self.remote.min_tx) * u32::from(self.remote.multiplier)
    }

    /// Between two packets of ours, before jitter; `None` = the peer wants none.
    pub fn transmit_interval(&self) -> Option<Duration> {
        (!self.remote.min_rx.is_zero()).then(|| self.tx.max(self.remote.min_rx))
    }

    /// What the peer's state makes of ours (RFC 5880 §6.8.6).
    fn follow(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let signaled = Diagnostic::NeighborSignaledDown;
        let (to, diagnostic, why) = match (self.state, self.remote.state) {
            (_, State::AdminDown) => {
                let before = std::mem::replace(&mut self.verdict, Verdict::Withdrawn);
                let why = "the peer took it down on purpose";
                if self.state == State::Down {
                    if before != Verdict::Withdrawn {
                        actions.push(self.same(why));
                    }
                    return;
                }
                (State::Down, signaled, why)
            }
            (State::Down, State::Down) => (State::Init, Diagnostic::None, "the peer is heard"),
            (State::Down | State::Init, State::Init) | (State::Init, State::Up) => {
                (State::Up, Diagnostic::None, "both hear each other")
            }
            (State::Up, State::Down) => (State::Down, signaled, "the peer says that it is down"),
            (State::Down, State::Up)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up)
            | (State::AdminDown, State::Down | State::Init | State::Up) => return,
        };
        self.change(now, to, diagnostic, why.to_owned(), actions);
    }

    /// Another verdict in the same state.
    fn same(&self, why: &str) -> Action {
        Action::Changed {
            from: self.state,
            to: self.state,
            why: why.to_owned(),
        }
    }

    /// Goes into another state, and tells the peer without waiting (RFC 5880 §6.8.7).
    fn change(
        &mut self,
        now: Instant,
        to: State,
        diagnostic: Diagnostic,
        why: String,
        actions: &mut Vec<Action>,
    ) {
        let from = std::mem::replace(&mut self.state, to);
        // The way to Init is no reason to forget why it went down.
        if to != State::Init {
            self.diagnostic = diagnostic;
        }
        if to == State::Up {
            self.first = None;
        }
        self.verdict = match to {
            State::Up => Verdict::Up,
            State::Down if from == State::Up && self.verdict != Verdict::Withdrawn => Verdict::Down,
            State::Down | State::Init | State::AdminDown => self.verdict,
        };
        self.propose();
        actions.push(Action::Changed { from, to, why });
        if self.may_send() {
            actions.push(Action::Send(self.packet()));
            self.sent(now);
        } else {
            self.next = None;
        }
    }
}

fn micros(count: u32) -> Duration {
    Duration::from_micros(count.into())
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
