//! An HA group and a heartbeat for tests.

use super::{
    super::proto::{
        HaChangeView, HaCounters, HaDurations, HaGroupView, HaInterfaceView, HaPeerView,
        HaPriority, HaTrackedView, HaView, HeartbeatPathView, HeartbeatView, KeeperView, SyncView,
    },
    noon,
};
use crate::{
    ha::Role,
    model::{Election, Profile},
};

pub(crate) fn view() -> HaView {
    HaView {
        groups: vec![group_view()],
        interfaces: vec![HaInterfaceView {
            interface: "eth0".into(),
            adverts_refused: [("length".to_owned(), 0), ("vrid".to_owned(), 5)].into(),
        }],
        heartbeat: Some(HeartbeatView {
            peer: "lb-b".into(),
            profile: Profile::Fast,
            heard: true,
            since: Some(noon()),
            agent_ok: Some(false),
            config_differs: false,
            paths: vec![HeartbeatPathView {
                interface: "eth2".into(),
                address: "192.168.99.2".parse().unwrap(),
                heard: true,
                sent: 500,
                not_sent: 1,
                received: 498,
                longest_gap_micros: 41_250,
            }],
            refused: [("hmac".to_owned(), 2), ("replayed".to_owned(), 0)].into(),
        }),
        keeper: Some(KeeperView {
            pid: 4711,
            version: "0.1.0".into(),
            restarts: 1,
        }),
        sync: Some(sync_view()),
    }
}

pub(super) fn group_view() -> HaGroupView {
    HaGroupView {
        election: Election::Vrrp,
        lease_ms: Some(90),
        ruling: None,
        name: "front".parse().unwrap(),
        role: Role::Active,
        why: "192.0.2.3 has been silent for 3.6s".into(),
        since: noon(),
        vrid: 51,
        interface: "eth0".into(),
        version: 3,
        priority: HaPriority {
            configured: 150,
            effective: 100,
        },
        advert_interval_ms: 1_000,
        preempt: true,
        held: false,
        yielded: false,
        vips: vec!["192.0.2.1".parse().unwrap()],
        virtual_macs: vec!["00:00:5e:00:01:33".into()],
        peers: vec![HaPeerView {
            address: "192.0.2.3".parse().unwrap(),
            priority: 90,
            advert_interval_ms: 1_000,
            last_seen_ms: 420,
            same_vips: false,
        }],
        tracked: vec![HaTrackedView {
            what: "pool web (at least 1 up)".into(),
            well: Some(false),
            weight: -50,
            fault: false,
        }],
        sync_group: Some("edge".parse().unwrap()),
        moves_with: vec!["back".parse().unwrap()],
        changes: vec![HaChangeView {
            at: noon(),
            from: Role::Backup,
            to: Role::Active,
            why: "192.0.2.3 has been silent for 3.6s".into(),
            took: HaDurations {
                detection_micros: Some(3_610_250),
                lease_micros: Some(40),
                addresses_micros: Some(1_150),
                announcement_micros: Some(1_900),
                ..HaDurations::default()
            },
        }],
        counters: HaCounters {
            transitions: 2,
            adverts_sent: 77,
            adverts_refused: [("checksum".to_owned(), 3), ("length".to_owned(), 0)].into(),
            ..HaCounters::default()
        },
    }
}

fn sync_view() -> SyncView {
    SyncView {
        interface: "eth2".into(),
        peer: "192.168.99.2".parse().unwrap(),
        in_sync: true,
        following: true,
        serving: true,
        sent: 5_000,
        unnamed: 0,
        waiting: 12,
        lag_ms: 3,
        untold: 0,
        resyncs: 0,
        received: 700,
        inserted: 650,
        pulls: 1,
        pulled_flows: 600,
        pulled_ms: 25,
        skipped: [
            ("unknown_backend".to_owned(), 4),
            ("conflict".to_owned(), 0),
        ]
        .into(),
        refused: [("key".to_owned(), 1), ("silent".to_owned(), 0)].into(),
    }
}
