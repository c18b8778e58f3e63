//! How long a ring takes to build and to swap in.

use std::time::Duration;

use adc_common::abi::{BackendId, Ring};
use adc_userspace::{
    model::Weight,
    ring::{Builder, Member},
};
use aya::maps::Array;

use super::{
    bed::{Bed, Objects, Raw, Settings},
    measure::time,
    path::Tables,
};

/// Backends in the ring.
const MEMBERS: u16 = 1_000;

/// Least and median times.
pub(crate) struct Rings {
    pub(crate) build: (Duration, Duration),
    pub(crate) swap: (Duration, Duration),
}

/// Builds rings of different weights, and swaps them in through a new inner map, as the agent does.
pub(crate) fn measure(objects: &Objects, quick: bool) -> Rings {
    let runs = if quick { 11 } else { 51 };
    let members: Vec<Member> = (0..MEMBERS)
        .map(|index| {
            let [high, low] = index.to_be_bytes();
            Member {
                backend: BackendId(index + 1),
                identity: ([10, 0, high, low], 80).into(),
                weight: Weight(1 + index % 100),
            }
        })
        .collect();
    let mut builder = Builder::new();
    let build = time(runs, || {
        builder.build(&members);
    });
    let ring: &Ring = builder.build(&members);
    let mut bed = Bed::new(objects, Tables::TCP4, Settings::default());
    let rings = bed.rings();
    let mut rings = rings;
    let swap = time(runs, || {
        let mut inner = Array::<_, Raw<Ring>>::create(1, 0).expect("creating a ring's map");
        inner.set(0, Raw(*ring), 0).expect("filling a ring's map");
        rings.set(1, &inner, 0).expect("swapping a ring in");
    });
    Rings { build, swap }
}
