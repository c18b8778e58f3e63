//! How long a ring takes to build and to swap in.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use adc_common::abi::{BackendId, Ring};
use adc_userspace::{
    model::Weight,
    ring::{Builder, Member},
};
use aya::maps::{ArrayOfMaps, MapData, MapError};

use crate::program::raw::Raw;

use super::{
    bed::{Bed, Objects},
    fill::{RingArray, SERVICE},
    measure::Times,
    path::Tables,
};

/// Backends in the ring.
const MEMBERS: u16 = 1_000;

/// What was measured.
pub(crate) struct Rings {
    /// From the list of backends to the ring.
    pub(crate) build: Times,
    /// From the ring to the moment when packets meet it: a new inner map is made, filled and put in place.
    pub(crate) swap: Times,
    /// Until the call that puts it in place returns: the kernel makes its caller wait until no packet can
    /// still see the old ring (`maybe_wait_bpf_programs`, kernel/bpf/syscall.c).
    pub(crate) swap_return: Times,
}

/// Builds a ring of different weights, and swaps it in again and again, as the agent does.
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
    let build = (0..runs)
        .map(|_| {
            let start = Instant::now();
            builder.build(&members);
            start.elapsed()
        })
        .collect();
    let ring: &Ring = builder.build(&members);
    let mut bed = Bed::new(objects, Tables::TCP4, 1);
    let watched = bed.watch_rings();
    let mut rings = bed.rings();
    let (swap, swap_return) = (0..runs)
        .map(|_| swap_in(ring, &mut rings, &watched))
        .unzip();
    Rings {
        build: Times::new(build),
        swap: Times::new(swap),
        swap_return: Times::new(swap_return),
    }
}

/// Swaps a ring in; the time until another thread sees it in place, and until the call returns.
fn swap_in(
    ring: &Ring,
    rings: &mut ArrayOfMaps<&mut MapData, RingArray>,
    watched: &ArrayOfMaps<MapData, MapData>,
) -> (Duration, Duration) {
    let old = in_place(watched);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            while in_place(watched) == old {}
            Instant::now()
        });
        let start = Instant::now();
        let mut inner = RingArray::create(1, 0).expect("creating a ring's map");
        inner.set(0, Raw(*ring), 0).expect("filling a ring's map");
        rings
            .set(u32::from(SERVICE.0), &inner, 0)
            .expect("swapping a ring in");
        let returned = start.elapsed();
        let seen = watcher.join().expect("the watching thread");
        (seen.duration_since(start), returned)
    })
}

/// The kernel's id of the inner map that packets of the service see.
fn in_place(rings: &ArrayOfMaps<MapData, MapData>) -> u32 {
    loop {
        match rings.get(&u32::from(SERVICE.0), 0) {
            Ok(inner) => return inner.info().expect("the ring's map").id(),
            // Reading takes two calls, id and then handle; the ring was swapped in between and its id is gone.
            Err(MapError::SyscallError(failed))
                if failed.io_error.kind() == io::ErrorKind::NotFound => {}
            Err(other) => panic!("reading the ring in place: {other}"),
        }
    }
}
