//! How long rings and plans take: `cargo bench -p adc-userspace --bench plan`. Reported, never asserted.

use std::{
    hint::black_box,
    net::SocketAddr,
    num::NonZeroUsize,
    thread,
    time::{Duration, Instant},
};

use adc_common::abi::BackendId;
use adc_userspace::{
    model::Weight,
    ring::{Builder, Member, build_each},
};

fn main() {
    println!("{:<58} {:>10} {:>10}", "", "min", "median");
    rings();
}

/// Runs `work` for a while and prints its fastest and its median time.
fn report(what: &str, runs: usize, mut work: impl FnMut()) {
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    let millis = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    println!(
        "{what:<58} {:>10} {:>10}",
        millis(times[0]),
        millis(times[runs / 2])
    );
}

fn members(count: u16, weight: impl Fn(u16) -> u16) -> Vec<Member> {
    (0..count)
        .map(|index| {
            let [high, low] = index.to_be_bytes();
            Member {
                backend: BackendId(index + 1),
                identity: SocketAddr::from(([10, 0, high, low], 80)),
                weight: Weight(weight(index)),
            }
        })
        .collect()
}

fn rings() {
    let mut builder = Builder::new();
    for count in [1, 20, 100, 1000] {
        let equal = members(count, |_| 100);
        report(
            &format!("ring, {count} backends, equal weights"),
            51,
            || {
                black_box(builder.build(black_box(&equal)));
            },
        );
        // 7 919 is prime: every weight from 1 to 1 000, in no order.
        let mixed = members(count, |index| (u32::from(index) * 7919 % 1000) as u16 + 1);
        report(
            &format!("ring, {count} backends, weights 1 to 1 000"),
            51,
            || {
                black_box(builder.build(black_box(&mixed)));
            },
        );
    }
    let service = members(20, |_| 100);
    let services = vec![service.as_slice(); 1000];
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    report(
        &format!("1 000 rings of 20 backends, {threads} threads"),
        5,
        || {
            let built = build_each(&services, threads, |_, ring| {
                black_box(ring);
                Ok::<(), ()>(())
            });
            black_box(built).unwrap_or_default();
        },
    );
}
