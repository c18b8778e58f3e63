//! What the fake agent runs.

use std::collections::BTreeMap;

use super::{super::proto::ConfigSummary, noon};
use crate::model::{AttachMode, Config, Dataplane, Ha, Limits, Node, OnDown, Pool, Telemetry};

pub(super) fn config_summary() -> ConfigSummary {
    ConfigSummary {
        path: "/etc/adc/adc.toml".into(),
        generation: 7,
        hash: "5f1d7a84db00d2fc".into(),
        edits: 0,
        applied: noon(),
        last_reload_error: None,
    }
}

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
        ha: Ha::default(),
        announce: None,
        bfd: BTreeMap::new(),
        monitors: BTreeMap::new(),
        pools: [("web".parse().unwrap(), pool)].into(),
        services: BTreeMap::new(),
    }
}
