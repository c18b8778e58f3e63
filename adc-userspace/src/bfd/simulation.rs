//! Two sessions over a network that loses, delays and reorders.
//!
//! Each test runs many random networks. A failure prints the seed; `ADC_SEED` runs that one again.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

use super::{
    packet::{self, State},
    session::{Action, Session},
    verdict::Verdict,
};
use crate::model::BfdTiming;

const NETWORKS: u64 = 100;

/// A packet on its way.
struct Flying {
    arrives: Instant,
    to: usize,
    data: [u8; packet::LENGTH],
}

struct World {
    random: fastrand::Rng,
    now: Instant,
    ends: [Session; 2],
    flying: Vec<Flying>,
    /// Percent of packets that are lost.
    loss: u32,
    longest_delay: Duration,
    cut: [bool; 2],
    /// When each end last changed its state.
    changed: [Instant; 2],
    heard: [Instant; 2],
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let now = Instant::now();
        let active = random.usize(..2);
        let ends = [0, 1].map(|end| {
            let timing = BfdTiming {
                interval: Duration::from_millis(random.u64(10..=400)),
                multiplier: random.u8(3..=6),
            };
            let number = NonZeroU32::new(random.u32(1..=u32::MAX)).unwrap();
            // At least one end begins.
            let passive = end != active && random.bool();
            Session::new(now, number, timing, passive, random.u64(..))
        });
        Self {
            random,
            now,
            ends,
            flying: Vec::new(),
            loss: 0,
            longest_delay: Duration::from_millis(2),
            cut: [false; 2],
            changed: [now; 2],
            heard: [now; 2],
        }
    }

    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let arrival = self.flying.iter().map(|flying| flying.arrives).min();
            let here = self.ends.iter().filter(|end| !end.has_left(self.now));
            let due = here.filter_map(Session::deadline).min();
            let Some(next) = arrival.into_iter().chain(due).min() else {
                break;
            };
            if next > until {
                break;
            }
            self.now = next.max(self.now);
            self.deliver();
            for end in 0..2 {
                let actions = self.ends[end].tick(self.now);
                self.act(end, actions);
            }
        }
        self.now = until;
    }

    fn deliver(&mut self) {
        let now = self.now;
        let (arrived, flying) = std::mem::take(&mut self.flying)
            .into_iter()
            .partition::<Vec<_>, _>(|flying| flying.arrives <= now);
        self.flying = flying;
        for Flying { to, data, .. } in arrived {
            let packet = packet::parse(&data, 255).expect("what a session sends is valid");
            let known = self.ends[to].discriminator().get();
            if packet.your_discriminator == 0 || packet.your_discriminator == known {
                self.heard[to] = now;
                if let Ok(actions) = self.ends[to].receive(now, &packet) {
                    self.act(to, actions);
                }
            }
        }
    }

    fn act(&mut self, end: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Changed { from, to, .. } => {
                    let lost = from == State::Up && to == State::Down;
                    if from != to {
                        self.changed[end] = self.now;
                    }
                    assert!(!lost || self.ends[end].verdict() != Verdict::Up);
                }
                Action::Send(packet) => {
                    if self.cut[end] || self.random.u32(0..100) < self.loss {
                        continue;
                    }
                    let delay = self.longest_delay.mul_f64(self.random.f64());
                    self.flying.push(Flying {
                        arrives: self.now + delay,
                        to: 1 - end,
                        data: packet.encode(),
                    });
                }
            }
        }
    }

    fn states(&self) -> [State; 2] {
        [self.ends[0].state(), self.ends[1].state()]
    }

    /// The longest that either waits in silence.
    fn patience(&self) -> Duration {
        let times = self.ends.iter().map(Session::detection_time);
        times.max().unwrap_or_default()
    }
}

/// Runs `story` in many networks.
fn in_many_networks(story: impl Fn(&mut World)) {
    let given = std::env::var("ADC_SEED").ok();
    let given = given.and_then(|seed| seed.parse::<u64>().ok());
    let first = fastrand::u64(..);
    let seeds = match given {
        Some(seed) => vec![seed],
        None => (0..NETWORKS).map(|n| first.wrapping_add(n)).collect(),
    };
    for seed in seeds {
        let run = || story(&mut World::new(seed));
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        assert!(ran.is_ok(), "failed with ADC_SEED={seed}");
    }
}

const UP: [State; 2] = [State::Up; 2];

#[test]
fn a_sound_network_takes_both_up_and_keeps_them_so() {
    in_many_networks(|world| {
        world.run(Duration::from_secs(6));
        assert_eq!(world.states(), UP);
        let before = world.changed;
        world.run(Duration::from_mins(1));
        assert_eq!(world.states(), UP);
        assert_eq!(world.changed, before, "nothing changed in a minute");
        for end in &world.ends {
            assert!(!end.polling, "what was asked was answered");
            assert_eq!(end.verdict(), Verdict::Up);
        }
    });
}

#[test]
fn a_cut_is_noticed_by_both_within_the_detection_time() {
    in_many_networks(|world| {
        world.run(Duration::from_secs(10));
        assert_eq!(world.states(), UP);
        let (patience, one_way) = (world.patience(), world.random.bool());
        world.cut = [true, !one_way];
        world.run(patience + world.longest_delay);
        if !one_way {
            assert!(!world.states().contains(&State::Up), "{:?}", world.states());
        }
        // The end that still hears is told by the other, or hears nothing either.
        world.run(patience + Duration::from_secs(2));
        assert!(!world.states().contains(&State::Up), "{:?}", world.states());
        for end in &world.ends {
            assert_eq!(end.verdict(), Verdict::Down);
        }
        world.cut = [false; 2];
        world.run(Duration::from_secs(6));
        assert_eq!(world.states(), UP, "it heals");
    });
}

#[test]
fn loss_delay_and_disorder_pass_and_leave_both_up() {
    in_many_networks(|world| {
        for _ in 0..10 {
            world.loss = world.random.u32(0..60);
            world.longest_delay = Duration::from_millis(world.random.u64(0..300));
            let time = Duration::from_millis(world.random.u64(10..5_000));
            world.run(time);
            // Nobody is up for longer than its patience without hearing anything.
            for end in 0..2 {
                let silence = world.now.saturating_duration_since(world.heard[end]);
                let session = &world.ends[end];
                let patient = silence <= session.detection_time();
                assert!(session.state() != State::Up || patient, "{silence:?}");
            }
        }
        (world.loss, world.longest_delay) = (0, Duration::from_millis(2));
        world.run(Duration::from_secs(10));
        assert_eq!(world.states(), UP);
    });
}

#[test]
fn a_change_of_timings_takes_nothing_down() {
    in_many_networks(|world| {
        world.run(Duration::from_secs(10));
        let before = world.changed;
        for _ in 0..5 {
            let end = world.random.usize(..2);
            let timing = BfdTiming {
                interval: Duration::from_millis(world.random.u64(10..=2_000)),
                multiplier: world.random.u8(3..=6),
            };
            let passive = world.ends[end].passive;
            let now = world.now;
            world.ends[end].set(now, timing, passive);
            let time = Duration::from_millis(world.random.u64(0..4_000));
            world.run(time);
        }
        world.run(Duration::from_secs(10));
        assert_eq!(world.states(), UP);
        assert_eq!(world.changed, before, "nothing went down");
        for end in &world.ends {
            assert_eq!(end.tx, end.timing.interval, "what was said counts");
        }
    });
}

#[test]
fn an_end_that_leaves_is_not_taken_for_dead() {
    in_many_networks(|world| {
        world.run(Duration::from_secs(10));
        let now = world.now;
        let actions = world.ends[0].leave(now);
        world.act(0, actions);
        world.run(Duration::from_secs(1));
        assert_eq!(world.ends[1].state(), State::Down);
        assert_eq!(world.ends[1].verdict(), Verdict::Withdrawn);
    });
}
