//! Random valid HA groups, for property tests.

use std::time::Duration;

use proptest::{option, prelude::*, sample::select};

use crate::model::{
    Announce, Checksum, Election, GroupVip, Ha, HaGroup, Script, Track, Tracked, VrrpVersion,
};

/// Groups whose addresses no service or backend of the other samples has.
pub(super) fn ha() -> impl Strategy<Value = Ha> {
    prop::collection::vec(values(), 0..3).prop_map(|groups| Ha {
        heartbeat: None,
        agent_grace: Ha::AGENT_GRACE,
        sync_groups: std::collections::BTreeMap::new(),
        sync: None,
        groups: groups
            .into_iter()
            .enumerate()
            .map(|(index, values)| {
                let number = u8::try_from(index).unwrap() + 1;
                (
                    format!("group{number}").parse().unwrap(),
                    group(number, values),
                )
            })
            .collect(),
    })
}

type Values = (
    (bool, bool, u8, u64),
    (bool, u64, Checksum),
    (Option<String>, Option<u8>),
    (Announce, Vec<Track>),
);

fn values() -> impl Strategy<Value = Values> {
    let checksum = select(
        &[
            Checksum::Auto,
            Checksum::PseudoHeader,
            Checksum::MessageOnly,
        ][..],
    );
    let announce = (0..=100u8, 0..3_600u64, 0..=100u8, 0..3_600u64).prop_map(
        |(count, repeat_after, repeat_count, refresh)| Announce {
            count,
            repeat_after: Duration::from_secs(repeat_after),
            repeat_count,
            refresh: Duration::from_secs(refresh),
        },
    );
    (
        (any::<bool>(), any::<bool>(), 1..=254u8, 1..=40u64),
        (any::<bool>(), 0..=3_600_000u64, checksum),
        (option::of("[a-z]{1,3}[0-9]"), option::of(1..=32u8)),
        (announce, prop::collection::vec(track(), 0..3)),
    )
}

fn track() -> impl Strategy<Value = Track> {
    let script = (
        "/[a-z ]{1,9}",
        prop::collection::vec("[ -~]{0,5}", 0..3),
        100..9_999u64,
    );
    let what = prop_oneof![
        "[a-z]{1,3}[0-9]".prop_map(Tracked::Interface),
        Just(Tracked::SelfTest),
        (script, 1..=100u32, 1..=100u32).prop_map(|((program, args, interval), rise, fall)| {
            Tracked::Script(Script {
                program: program.into(),
                args,
                interval: Duration::from_millis(interval),
                timeout: Duration::from_millis(interval),
                rise,
                fall,
            })
        }),
    ];
    let weight = option::of(prop_oneof![-253..=-1i16, 1..=253i16]);
    (what, weight).prop_map(|(what, weight)| Track { what, weight })
}

fn group(number: u8, values: Values) -> HaGroup {
    let ((v2, unicast, priority, interval), (preempt, delay, checksum), (interface, length), rest) =
        values;
    let vip = |text: String, length| GroupVip {
        address: text.parse().unwrap(),
        length,
        interface: interface.clone(),
    };
    let mut vips = vec![vip(format!("198.51.100.{number}"), length)];
    let mut unicast_peers = Vec::new();
    if unicast {
        unicast_peers.push("198.51.100.99".parse().unwrap());
    }
    if !v2 {
        vips.push(vip(format!("2001:db8:99::{number}"), None));
        if unicast {
            unicast_peers.push("fe80::99".parse().unwrap());
        }
    }
    HaGroup {
        election: Election::Vrrp,
        vrid: number,
        interface: "eth0".into(),
        version: if v2 { VrrpVersion::V2 } else { VrrpVersion::V3 },
        priority,
        advert_interval: Duration::from_secs(interval),
        preempt,
        preempt_delay: Duration::from_millis(delay),
        checksum,
        unicast_peers,
        vips,
        virtual_mac: priority % 2 == 0,
        announce: rest.0,
        track: rest.1,
    }
}
