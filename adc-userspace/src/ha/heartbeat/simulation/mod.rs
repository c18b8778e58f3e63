//! Two nodes and a network that loses, delays and reorders, with faults at random: never two active for longer than a lease
//! and the time in which that is noticed, and exactly one when all is well. A failure prints its seed; `ADC_SEED` runs it again.

mod world;

use super::{
    arbiter::{Command, Seen},
    detector::Verdict,
};
use crate::{
    ha::{Role, seed::seeds},
    model::Profile,
};
use world::{Faults, GROUP, PATHS, World};

const SEEDS: u64 = 60;
/// Seeds of runs with one fault each.
const SINGLE: u64 = 100;

fn run(seed: u64, faults: Faults, profile: Profile) {
    let mut world = World::new(seed, faults, profile);
    let lease = world.lease();
    // A lease, if the one that should stop does not run; before that, the time in which it was sure to hear of the other;
    // and before that, of a cut that goes one way, the time in which the other noticed, and half of it again in doubt.
    let longest = if faults.partitions {
        3 * lease
    } else {
        2 * lease
    };
    for round in 0..6 {
        let mut both = 0;
        let calm = world.random.u64(1..400);
        for step in 0..8_000 {
            if step % calm == 0 {
                world.disturb();
            }
            world.tick();
            let parted = world.is_parted();
            both = match world.active().len() {
                2 if !parted => both + 1,
                _ => 0,
            };
            assert!(
                both <= longest,
                "seed {seed}, round {round}: two active for {both} ms at {}: {:?}",
                world.now,
                world.nodes.each_ref().map(|node| node.last)
            );
        }
        world.heal();
        // Detection, a lease, an election, a preemption with its delay, and packets on their way.
        let settled = world.now + 6 * lease + 400;
        while world.now < settled {
            world.tick();
        }
        let first = world.active();
        for _ in 0..1_000 {
            world.tick();
            let active = world.active();
            assert_eq!(
                active.len(),
                1,
                "seed {seed}, round {round}: {active:?} active at {} though all is well: {:?}",
                world.now,
                world.nodes.each_ref().map(|node| node.last)
            );
        }
        assert_eq!(world.active(), first, "seed {seed}, round {round}: no rest");
    }
}

/// Seeds, each with the profiles whose time a simulation in milliseconds can tell.
fn drawn() -> Vec<(u64, Profile)> {
    let both = |seed| [(seed, Profile::Fast), (seed, Profile::Ultra)];
    seeds(SEEDS).into_iter().flat_map(both).collect()
}

#[test]
fn never_two_for_longer_than_a_lease_and_one_when_all_is_well() {
    for (seed, profile) in drawn() {
        let faults = Faults {
            partitions: false,
            witness: false,
        };
        run(seed, faults, profile);
    }
}

#[test]
fn parted_nodes_are_mended_by_term_when_they_meet_again() {
    for (seed, profile) in drawn() {
        let faults = Faults {
            partitions: true,
            witness: false,
        };
        run(seed, faults, profile);
    }
}

#[test]
fn a_witness_keeps_parted_nodes_from_being_active_both() {
    for (seed, profile) in drawn() {
        let faults = Faults {
            partitions: true,
            witness: true,
        };
        run(seed, faults, profile);
    }
}

/// A planned hand-over under load: there is no millisecond in which nobody is active.
#[test]
fn a_failover_on_request_leaves_no_gap_and_is_not_taken_back() {
    for (seed, profile) in drawn() {
        let faults = Faults {
            partitions: false,
            witness: false,
        };
        let mut world = World::new(seed, faults, profile);
        for _ in 0..2_000 {
            world.tick();
        }
        assert_eq!(world.active(), [0], "seed {seed}");
        world.loss = [[10; PATHS]; 2];
        let clock = world.nodes[0].clock(world.base, world.now);
        let peer = world.nodes[1].id;
        let life = world.nodes[0].life.as_mut().unwrap();
        let seen = Seen {
            verdict: life.detector.verdict(clock),
            node: peer,
            claim: life.detector.claim(GROUP),
            config_differs: false,
            confirmed: None,
        };
        assert!(matches!(seen.verdict, Verdict::Present(_)));
        life.arbiter
            .command(Command::Failover, &seen, clock)
            .unwrap();
        let mut both = 0;
        for _ in 0..3_000 {
            world.tick();
            let active = world.active();
            assert!(!active.is_empty(), "seed {seed}: a gap at {}", world.now);
            both += u64::from(active.len() == 2);
        }
        assert_eq!(world.active(), [1], "seed {seed}");
        let roles = world.nodes.each_ref().map(|node| node.last.unwrap().role);
        assert_eq!(roles, [Role::Backup, Role::Active], "seed {seed}");
        // Until the old one hears of the new one.
        assert!(both <= world.lease(), "seed {seed}: both for {both} ms");
    }
}

#[test]
fn a_dead_machine_is_replaced_as_soon_as_its_lease_must_be_over() {
    for (seed, profile) in drawn() {
        let faults = Faults {
            partitions: false,
            witness: false,
        };
        let mut world = World::new(seed, faults, profile);
        for _ in 0..2_000 {
            world.tick();
        }
        let died = world.now;
        world.nodes[0].life = None;
        world.nodes[0].lease = None;
        world.nodes[0].dead_until = u64::MAX;
        while world.active().is_empty() {
            world.tick();
            assert!(world.now < died + 2 * world.lease(), "seed {seed}");
        }
        let took = world.now - died;
        let slowest = world.lease() + world.slowest_packet + 1;
        assert!(took <= slowest, "seed {seed}: {took} ms");
    }
}

/// What ADR 0026 says of one fault: two are active for less than a lease, and one interval more if it happens just before a
/// heartbeat is due.
#[test]
fn one_fault_makes_two_active_for_no_longer_than_a_lease() {
    for seed in seeds(SINGLE) {
        for (profile, witness) in [
            (Profile::Fast, false),
            (Profile::Fast, true),
            (Profile::Ultra, false),
            (Profile::Ultra, true),
        ] {
            let faults = Faults {
                partitions: true,
                witness,
            };
            let mut world = World::new(seed, faults, profile);
            let begin = 2_000 + world.random.u64(0..100);
            for _ in 0..begin {
                world.tick();
            }
            assert_eq!(world.active().len(), 1, "before the fault");
            world.one_fault();
            let mut both = 0;
            for step in 0..6_000 {
                if step == 3_000 {
                    world.heal();
                }
                world.tick();
                both = if world.active().len() == 2 {
                    both + 1
                } else {
                    0
                };
                assert!(
                    both <= world.lease(),
                    "{profile:?}, witness {witness}: two active for {both} ms at {}: {:?}",
                    world.now,
                    world.nodes.each_ref().map(|node| node.last)
                );
            }
            assert_eq!(world.active().len(), 1, "after the fault");
        }
    }
}
