//! The drill: its instruments see faults, and its table has the promised shape.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Command,
    time::Duration,
};

use adc_tests::{
    drill::instruments::{Bulk, Questioner, Sign, Stream, Tap, longest_overlap},
    drive::Stamp,
    net::Link,
    require,
    topology::{BackendHost, Topology, VIP_V4, VIP_V6},
    wait::eventually,
};

const PATIENCE: Duration = Duration::from_secs(30);
const ASKING: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 9);
const STREAM: SocketAddr = SocketAddr::new(IpAddr::V4(VIP_V4), 9);

/// A machine with the VIP that serves by itself.
fn machine(topology: &Topology, name: &str) -> (Link, BackendHost) {
    let link = topology.add_machine(name, &[VIP_V4.into()]);
    let host = BackendHost {
        name: name.to_owned(),
        namespace: link.namespace.clone(),
        v4: VIP_V4,
        v6: VIP_V6,
    };
    (link, host)
}

fn stamps(tap: &Tap, kind: Sign) -> Vec<Stamp> {
    let seen = tap.seen().into_iter();
    seen.filter(|(_, sign)| *sign == kind)
        .map(|(at, _)| at)
        .collect()
}

#[test]
fn the_stream_counts_what_is_lost_and_the_taps_tell_who_served() {
    require!(namespaces);
    let topology = Topology::one_arm(0);
    let (first, host) = machine(&topology, "first");
    let (_second, _) = machine(&topology, "second");
    let taps = ["first", "second"].map(|name| Tap::listen(&topology.port(name)));
    let start = |run| {
        let hosts = [host.clone()];
        // The second has the VIP as well, and is nobody's neighbour.
        let octets = first.mac().0.map(|octet| format!("{octet:02x}"));
        let mac = octets.join(":");
        let vip = VIP_V4.to_string();
        let neighbour = ["neigh", "replace", &vip, "lladdr", &mac, "dev", "eth0"];
        topology.client.ip(&neighbour);
        let stream = Stream::start(&topology.client, STREAM, &hosts, STREAM.port(), run);
        eventually(PATIENCE, "the stream flows", || stream.returned() > 100);
        stream
    };
    let whole = start(1).finish();
    assert!(whole.sent > 100, "{whole:?}");
    assert_eq!((whole.lost_forward, whole.lost_reply), (0, 0), "{whole:?}");
    assert!(!stamps(&taps[0], Sign::Replied).is_empty());
    assert!(stamps(&taps[1], Sign::Replied).is_empty());

    let stream = start(2);
    let before = Stamp::now();
    first.down();
    let sent = stream.sent();
    eventually(PATIENCE, "packets are lost", || stream.sent() > sent + 100);
    first.up();
    let returned = stream.returned();
    eventually(PATIENCE, "the stream flows again", || {
        stream.returned() > returned + 100
    });
    let broken = stream.finish();
    assert!(broken.lost_forward >= 100, "{broken:?}");
    assert!(broken.longest_gap > whole.longest_gap, "{broken:?}");
    assert!(taps[0].count(Sign::Replied, before) > 0);
}

#[test]
fn two_machines_with_the_vip_are_seen_as_long_as_there_are_two() {
    require!(namespaces);
    let topology = Topology::one_arm(0);
    let (first, _) = machine(&topology, "first");
    let (second, _) = machine(&topology, "second");
    let asking = topology.add_machine("asks", &[ASKING.into()]);
    let taps = ["first", "second"].map(|name| Tap::listen(&topology.port(name)));
    let _questions = Questioner::start(&asking, ASKING);
    let claims = || {
        taps.each_ref()
            .map(|tap| tap.count(Sign::Claimed, Stamp(0)))
    };
    let answer_again = |who: usize| {
        let before = claims()[who];
        eventually(PATIENCE, "the VIP is claimed", || {
            claims()[who] > before + 20
        });
    };
    answer_again(0);
    answer_again(1);
    let overlap = || {
        longest_overlap(
            &stamps(&taps[0], Sign::Claimed),
            &stamps(&taps[1], Sign::Claimed),
        )
    };
    assert!(overlap() > Duration::ZERO);

    let vip = format!("{VIP_V4}/24");
    first.namespace.ip(&["address", "del", &vip, "dev", "eth0"]);
    for tap in &taps {
        tap.forget();
    }
    answer_again(1);
    assert_eq!(overlap(), Duration::ZERO);
    second
        .namespace
        .ip(&["address", "del", &vip, "dev", "eth0"]);
    first.namespace.ip(&["address", "add", &vip, "dev", "eth0"]);
    answer_again(0);
    assert_eq!(overlap(), Duration::ZERO, "one after the other");
}

#[test]
fn a_transfer_that_is_cut_does_not_go_on() {
    require!(namespaces, "iperf3", "ss");
    let topology = Topology::one_arm(0);
    let (link, host) = machine(&topology, "only");
    let vip = VIP_V4.to_string();
    let bulk = Bulk::start(&topology.client, &vip, &host, topology.directory());
    assert!(bulk.goes_on(PATIENCE));
    link.down();
    assert!(!bulk.goes_on(Duration::from_secs(1)));
    link.up();
    assert!(bulk.goes_on(PATIENCE));
}

#[test]
fn a_crash_gives_a_row_with_a_takeover_and_all_that_was_measured() {
    require!(namespaces, agent, object, "iperf3", "ss");
    let mut command = Command::new(env!("CARGO_BIN_EXE_adc-drill"));
    command.args(["--only", "crash", "--profile", "vrrp", "--mode", "nat"]);
    command.args(["--runs", "1", "--connections", "20", "--json"]);
    let output = command.output().unwrap();
    let progress = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{progress}");
    let table: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = table["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{table}");
    let row = &rows[0];
    for (key, value) in [("fault", "crash"), ("profile", "vrrp"), ("mode", "nat")] {
        assert_eq!(row[key], value, "{row}");
    }
    assert_eq!(row["expected"], "failover", "{row}");
    assert_eq!((&row["runs"], &row["takeovers"]), (&1.into(), &1.into()));
    assert_eq!(row["connections"], 20, "{row}");
    assert!(row["takeover_ms_median"].as_f64() > Some(0.0), "{row}");
    // Nobody serves until the other node takes over.
    assert!(row["packets_lost_median"].as_u64() > Some(0), "{row}");
    for key in ["connections_survived", "dual_active_ms_max"] {
        assert!(row[key].is_number(), "{row}");
    }
}
