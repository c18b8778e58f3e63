//! How long rings and plans take: `cargo bench -p adc-userspace --bench plan`. Reported, never asserted.

use std::{
    collections::{BTreeMap, BTreeSet},
    hint::black_box,
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    thread,
    time::{Duration, Instant},
};

use adc_common::abi::{BackendId, Hop, Port, Protocol, ServiceEntry, ServiceKey};
use adc_userspace::{
    model::{Limits, Weight},
    plan::{Desired, DesiredService, Observed, diff},
    ring::{Builder, Member, build_each},
};

fn main() {
    println!("{:<58} {:>10} {:>10}", "", "min", "median");
    rings();
    plans();
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

/// 1 000 services of 20 backends each.
fn desired(weight: u16) -> Desired {
    let backends = (1..=20).map(|n| (SocketAddr::from(([10, 0, 0, n], 80)), Weight(weight)));
    let services = (0..1000u16).map(|index| {
        let [high, low] = index.to_be_bytes();
        let vip = IpAddr::from([203, 0, high, low]);
        let key = ServiceKey::new(vip.into(), Port::new(443), Protocol::TCP);
        let entry = ServiceEntry {
            key,
            ..ServiceEntry::default()
        };
        let name = format!("service-{index}").parse();
        let name = name.unwrap_or_else(|error| panic!("{error}"));
        (
            key,
            DesiredService {
                name,
                entry,
                ping: true,
                tunnel: None,
                backends: backends.clone().collect(),
            },
        )
    });
    Desired {
        services: services.collect(),
        hops: (1..=20)
            .map(|n| (IpAddr::from([10, 0, 0, n]), Hop::default()))
            .collect(),
        sources: BTreeMap::new(),
        down: BTreeMap::new(),
        groups: BTreeMap::new(),
    }
}

fn plans() {
    let plan = |wanted: &Desired, tables: &Observed| {
        diff(wanted, tables, &Limits::default()).unwrap_or_else(|error| panic!("{error}"))
    };
    let (wanted, changed) = (desired(100), desired(50));
    let mut tables = Observed {
        backends_with_flows: Some(BTreeSet::new()),
        ..Observed::default()
    };
    let first = plan(&wanted, &tables);
    report("plan, 1 000 services of 20 backends, all new", 21, || {
        black_box(plan(black_box(&wanted), &tables));
    });
    report("the same as text", 21, || {
        black_box(first.to_string());
    });
    for change in &first.changes {
        tables.record(change);
    }
    report("plan, nothing to do", 21, || {
        black_box(plan(black_box(&wanted), &tables));
    });
    report("plan, all weights change", 21, || {
        black_box(plan(black_box(&changed), &tables));
    });
    report("plan, all removed", 21, || {
        black_box(plan(black_box(&Desired::default()), &tables));
    });
}
