//! Which sessions a configuration asks for. Pure.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::model::{BfdTiming, Config, MonitorKind};

/// Sessions of one node; each has two sockets.
pub const MAX_SESSIONS: usize = 256;

/// Between whom a session is. Two sessions have different ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Path {
    /// The peer, one hop away.
    pub peer: IpAddr,
    /// By which interface and no other; `None` = as routes say.
    pub interface: Option<String>,
    /// This node's address; `None` = as routes say.
    pub local: Option<IpAddr>,
}

/// What a session is to be like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// What people call it: its name in the file, or `backend ADDRESS`.
    pub name: String,
    /// How often.
    pub timing: BfdTiming,
    /// Whether to wait until the peer begins.
    pub passive: bool,
}

/// Every session: those of `[[bfd]]`, and one per address of backends whose pool has a monitor of type `bfd`. A session of
/// `[[bfd]]` with a backend's address is the backend's too. Of several monitors of one address the quickest counts.
pub fn wanted(config: &Config) -> BTreeMap<Path, Wanted> {
    let mut sessions = BTreeMap::new();
    for (name, session) in &config.bfd {
        let path = Path {
            peer: session.peer,
            interface: session.interface.clone(),
            local: session.local,
        };
        let wanted = Wanted {
            name: name.to_string(),
            timing: session.timing,
            passive: session.passive,
        };
        sessions.insert(path, wanted);
    }
    for (peer, timing) in backends(config) {
        if config.bfd.values().any(|session| session.peer == peer) {
            continue;
        }
        let path = Path {
            peer,
            interface: None,
            local: None,
        };
        let wanted = Wanted {
            name: format!("backend {peer}"),
            timing,
            passive: false,
        };
        sessions.insert(path, wanted);
    }
    sessions
}

fn backends(config: &Config) -> BTreeMap<IpAddr, BfdTiming> {
    let mut timings: BTreeMap<IpAddr, BfdTiming> = BTreeMap::new();
    let slowness = |timing: &BfdTiming| timing.interval * u32::from(timing.multiplier);
    for pool in config.pools.values() {
        let monitors = pool.monitors.iter();
        let monitors = monitors.filter_map(|name| config.monitors.get(name));
        let of_pool = monitors.filter_map(|monitor| match &monitor.kind {
            MonitorKind::Bfd(check) => Some(BfdTiming {
                interval: monitor.interval,
                multiplier: check.multiplier,
            }),
            MonitorKind::Tcp | MonitorKind::Icmp | MonitorKind::Http(_) => None,
        });
        let Some(quickest) = of_pool.min_by_key(slowness) else {
            continue;
        };
        for backend in pool.backends.values() {
            let peer = backend.address.ip().to_canonical();
            let known = timings.entry(peer).or_insert(quickest);
            if slowness(&quickest) < slowness(known) {
                *known = quickest;
            }
        }
    }
    timings
}
