//! A configuration for tests.

use std::collections::BTreeMap;

use crate::model::{AttachMode, Config, Dataplane, Limits, Node, OnDown, Pool, Telemetry};

/// A node with one pool and no service.
pub(super) fn config() -> Config {
    let pool = Pool {
        monitors: vec!["http".parse().unwrap()],
        on_down: OnDown::default(),
        backends: BTreeMap::new(),
    };
    Config {
        node: Node {
            name: "lb-a".into(),
            state_dir: "/var/lib/adc".into(),
            run_dir: "/run/adc".into(),
        },
        dataplane: Dataplane {
            interfaces: vec!["eth0".into()],
            attach: AttachMode::Native,
            pin_path: "/sys/fs/bpf/adc".into(),
            vip_interface: None,
            self_check: 0,
            limits: Limits::default(),
        },
        telemetry: Telemetry { listen: None },
        heartbeat: None,
        monitors: BTreeMap::new(),
        pools: [("web".parse().unwrap(), pool)].into(),
        services: BTreeMap::new(),
    }
}
