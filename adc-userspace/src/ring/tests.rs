//! Rings: share, stability, order.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
    sync::Mutex,
};

use adc_common::abi::{BackendId, RING_SLOTS, Ring};
use proptest::prelude::*;

use super::{Builder, Member, build, build_each};
use crate::model::Weight;

/// `count` backends of weight 100 on 10.0.x.y:80, with ids from 1 in that order.
fn members(count: u16) -> Vec<Member> {
    weighted(&vec![100; usize::from(count)])
}

fn weighted(weights: &[u16]) -> Vec<Member> {
    (0u16..)
        .zip(weights)
        .map(|(index, weight)| {
            let [high, low] = index.to_be_bytes();
            Member {
                backend: BackendId(index + 1),
                identity: SocketAddr::from(([10, 0, high, low], 80)),
                weight: Weight(*weight),
            }
        })
        .collect()
}

fn slots_of(ring: &Ring, backend: BackendId) -> usize {
    ring.slots.iter().filter(|slot| **slot == backend).count()
}

/// FNV-1a over the identities in slot order: what two nodes must agree on.
fn checksum(members: &[Member]) -> u64 {
    let identities: HashMap<BackendId, SocketAddr> = members
        .iter()
        .map(|member| (member.backend, member.identity))
        .collect();
    let ring = build(members);
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for slot in &ring.slots {
        for byte in identities[slot].to_string().bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash
}

/// Share of the surviving backends' slots that go elsewhere when every member that `dies` names is removed.
fn disturbance(members: &[Member], dies: impl Fn(&Member) -> bool) -> f64 {
    let survivors: Vec<Member> = members.iter().filter(|m| !dies(m)).copied().collect();
    let (before, after) = (build(members), build(&survivors));
    let (mut kept, mut moved) = (0u32, 0u32);
    for (old, new) in before.slots.iter().zip(&after.slots) {
        if survivors.iter().any(|member| member.backend == *old) {
            kept += 1;
            moved += u32::from(old != new);
        }
    }
    f64::from(moved) / f64::from(kept)
}

#[test]
fn same_members_give_the_same_ring_in_every_release() {
    // Other nodes and older releases hold these very rings. Do not change a number here without an ADR
    // that says how flows live through the change.
    let mut dual_stack = weighted(&[1, 100, 1000, 7, 0, 250]);
    dual_stack.push(Member {
        backend: BackendId(77),
        identity: SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x14), 8080)),
        weight: Weight(100),
    });
    let checksums = [
        checksum(&members(1)),
        checksum(&members(3)),
        checksum(&members(1000)),
        checksum(&dual_stack),
    ];
    assert_eq!(
        checksums,
        [
            0x374d_9f4b_5cfb_2325,
            0x227f_0a26_bbab_2eb6,
            0x7734_4ea3_dc72_0d2d,
            0x02fb_8bcc_9f07_84bf,
        ]
    );
}

#[test]
fn no_member_with_a_weight_leaves_every_slot_unset() {
    for members in [weighted(&[]), weighted(&[0, 0])] {
        assert!(
            build(&members)
                .slots
                .iter()
                .all(|slot| *slot == BackendId(0))
        );
    }
}

#[test]
fn a_builder_keeps_nothing_of_the_ring_before() {
    let mut builder = Builder::new();
    builder.build(&weighted(&[5, 9, 13]));
    assert!(builder.build(&members(20)).slots == build(&members(20)).slots);
    assert!(builder.build(&[]).slots == build(&[]).slots);
}

#[test]
fn an_ipv4_address_and_its_mapped_form_are_the_same_identity() {
    let plain = members(3);
    let mapped: Vec<Member> = plain
        .iter()
        .map(|member| {
            let IpAddr::V4(v4) = member.identity.ip() else {
                panic!("an IPv4 member")
            };
            let identity = SocketAddr::from((v4.to_ipv6_mapped(), member.identity.port()));
            Member {
                identity,
                ..*member
            }
        })
        .collect();
    assert!(build(&plain).slots == build(&mapped).slots);
}

#[test]
fn equal_weights_differ_by_one_slot_at_most() {
    for count in [1, 2, 3, 7, 20, 100, 1000] {
        let ring = build(&members(count));
        for member in members(count) {
            let ideal = RING_SLOTS / usize::from(count);
            assert!((ideal..=ideal + 1).contains(&slots_of(&ring, member.backend)));
        }
    }
}

#[test]
fn a_tiny_weight_among_large_ones_still_has_a_slot() {
    let mut weights = vec![1000; 999];
    weights.push(1);
    assert_eq!(slots_of(&build(&weighted(&weights)), BackendId(1000)), 1);
}

#[test]
fn removing_a_backend_hardly_moves_the_others() {
    for (count, limit) in [(3, 0.20), (20, 0.05), (100, 0.02), (1000, 0.02)] {
        let moved = disturbance(&members(count), |member| member.backend == BackendId(2));
        println!(
            "{count} backends, one removed: {:.2} % of the others' slots move",
            moved * 100.0
        );
        assert!(moved < limit, "{count} backends: {moved}");
    }
}

#[test]
fn a_weight_change_moves_little_more_than_it_must() {
    let before = members(20);
    let mut after = before.clone();
    after[3].weight = Weight(50);
    let (old, new) = (build(&before), build(&after));
    let moved = old
        .slots
        .iter()
        .zip(&new.slots)
        .filter(|(a, b)| a != b)
        .count();
    let must = slots_of(&old, BackendId(4)) - slots_of(&new, BackendId(4));
    println!("weight 100 to 50 of 1 in 20: {moved} slots move, {must} must");
    assert!(moved < 4 * must, "{moved} of {must}");
}

#[test]
fn rings_built_together_are_the_rings_built_alone() {
    let sets: Vec<Vec<Member>> = (0..40).map(members).collect();
    let rings: Vec<&[Member]> = sets.iter().map(Vec::as_slice).collect();
    let seen = Mutex::new(Vec::new());
    let threads = NonZeroUsize::new(4).expect("4 is not 0");
    build_each(&rings, threads, |index, ring| {
        assert!(ring.slots == build(rings[index]).slots);
        seen.lock().expect("not poisoned").push(index);
        Ok::<(), ()>(())
    })
    .expect("no take fails");
    let mut seen = seen.into_inner().expect("not poisoned");
    seen.sort_unstable();
    assert_eq!(seen, (0..40).collect::<Vec<_>>());
}

#[test]
fn a_ring_that_can_not_be_taken_stops_the_rest() {
    let set = members(2);
    let rings = vec![set.as_slice(); 10_000];
    let taken = Mutex::new(0);
    let threads = NonZeroUsize::new(2).expect("2 is not 0");
    let result = build_each(&rings, threads, |index, _| {
        *taken.lock().expect("not poisoned") += 1;
        if index == 3 { Err("map full") } else { Ok(()) }
    });
    assert_eq!(result, Err("map full"));
    assert!(taken.into_inner().expect("not poisoned") < 10_000);
}

/// Up to 60 distinct backends of both families with any weight.
fn any_members() -> impl Strategy<Value = Vec<Member>> {
    let ip = prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from(bits))),
    ];
    proptest::collection::btree_map((ip, 1u16..), 0u16..=1000, 0..60).prop_map(|set| {
        (1u16..)
            .zip(set)
            .map(|(id, ((ip, port), weight))| Member {
                backend: BackendId(id),
                identity: SocketAddr::new(ip, port),
                weight: Weight(weight),
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_order_and_the_ids_of_the_members_do_not_matter(
        (members, shuffled) in any_members()
            .prop_flat_map(|members| (Just(members.clone()), Just(members).prop_shuffle()))
    ) {
        let renumbered: Vec<Member> = (1u16..)
            .zip(&shuffled)
            .map(|(id, member)| Member { backend: BackendId(id), ..*member })
            .collect();
        let identity_by_slot = |members: &[Member]| -> Vec<Option<SocketAddr>> {
            let identities: HashMap<_, _> = members.iter().map(|m| (m.backend, m.identity)).collect();
            build(members).slots.iter().map(|slot| identities.get(slot).copied()).collect()
        };
        prop_assert!(identity_by_slot(&members) == identity_by_slot(&renumbered));
    }

    #[test]
    fn slots_follow_weights_and_none_is_left_unset(members in any_members()) {
        let ring = build(&members);
        let total: f64 = members.iter().map(|m| f64::from(m.weight.0)).sum();
        for member in &members {
            let slots = f64::from(u32::try_from(slots_of(&ring, member.backend)).expect("at most 65 536"));
            let ideal = if total > 0.0 { f64::from(member.weight.0) / total * 65_536.0 } else { 0.0 };
            // A slot of rounding each, and 0.1 % for the first turns that everybody has.
            prop_assert!((slots - ideal).abs() <= 1.0 + ideal * 0.001, "{slots} of {ideal}");
        }
        if total > 0.0 {
            prop_assert_eq!(slots_of(&ring, BackendId(0)), 0);
        }
    }

    #[test]
    fn removing_any_backend_leaves_most_of_the_ring_in_place(
        members in any_members().prop_filter("some to remove", |m| m.len() > 4),
        pick in any::<proptest::sample::Index>(),
    ) {
        let gone = members[pick.index(members.len())].backend;
        let moved = disturbance(&members, |member| member.backend == gone);
        prop_assert!(moved < 0.5, "{moved}");
    }
}
