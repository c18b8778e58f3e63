//! Many rings at once.

use std::{
    num::NonZeroUsize,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use adc_common::abi::Ring;

use super::{Builder, Member};

/// Builds the ring of each of `rings` and hands it, with its index in `rings`, to `take`, on up to `threads`
/// threads at once; in no particular order. Only one ring per thread is held in memory.
///
/// Building keeps a CPU busy, but putting a ring into an array-of-maps waits for an RCU grace period (4
/// to 16 ms), and threads that wait together share one. So more threads than CPUs pay if `take` swaps
/// rings in.
///
/// # Errors
/// The first error of `take`. Rings not begun by then are not built.
pub fn build_each<E: Send>(
    rings: &[&[Member]],
    threads: NonZeroUsize,
    take: impl Fn(usize, &Ring) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    let work = || {
        let mut builder = Builder::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(members) = rings.get(index) else {
                return;
            };
            if let Err(error) = take(index, builder.build(members)) {
                // Nobody gets an index any more.
                next.store(rings.len(), Ordering::Relaxed);
                failed
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(error);
                return;
            }
        }
    };
    thread::scope(|scope| {
        // The calling thread works too.
        for _ in 1..threads.get().min(rings.len()) {
            scope.spawn(work);
        }
        work();
    });
    failed
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .map_or(Ok(()), Err)
}
