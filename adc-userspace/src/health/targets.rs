//! What to check: every backend of every pool that has monitors.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::model::{BackendAddress, Config, Health, Monitor, MonitorKind, MonitorName, PoolName};

use super::{InvalidMonitor, Probe};

/// A backend of a pool, whatever its name: a renamed backend keeps its health.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetKey {
    /// Its pool.
    pub pool: PoolName,
    /// Its address and port.
    pub backend: BackendAddress,
}

/// A monitor ready to run.
#[derive(Debug)]
pub struct CompiledMonitor {
    /// Its name.
    pub name: MonitorName,
    /// Its definition.
    pub monitor: Monitor,
    pub(super) method: Method,
}

/// How a monitor finds out.
#[derive(Debug)]
pub(super) enum Method {
    /// It asks.
    Probe(Box<Probe>),
    /// It follows the backend's BFD session.
    Session,
}

/// How one backend is checked.
#[derive(Clone, Debug)]
pub struct Target {
    /// All of them must be up for the backend to be; a name occurs once.
    pub monitors: Vec<Arc<CompiledMonitor>>,
    /// Health known from before the agent started, used instead of the monitors' `initial` so that a
    /// restarted agent does not take every backend out. Ignored for a target that is already checked.
    pub seed: Option<Health>,
}

impl CompiledMonitor {
    /// Makes a monitor ready: compiles its pattern, reads its CA certificates.
    pub fn new(name: MonitorName, monitor: Monitor) -> Result<Self, InvalidMonitor> {
        let method = match &monitor.kind {
            MonitorKind::Bfd(_) => Method::Session,
            MonitorKind::Tcp | MonitorKind::Icmp | MonitorKind::Http(_) => {
                Method::Probe(Box::new(Probe::new(&monitor)?))
            }
        };
        Ok(Self {
            name,
            monitor,
            method,
        })
    }
}

impl fmt::Display for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in pool {}", self.backend, self.pool)
    }
}

/// Makes all monitors ready. Reads CA files; on failure tells of every monitor that is wrong.
pub fn compile_monitors(
    monitors: &BTreeMap<MonitorName, Monitor>,
) -> Result<BTreeMap<MonitorName, Arc<CompiledMonitor>>, BTreeMap<MonitorName, InvalidMonitor>> {
    let mut compiled = BTreeMap::new();
    let mut invalid = BTreeMap::new();
    for (name, monitor) in monitors {
        match CompiledMonitor::new(name.clone(), monitor.clone()) {
            Ok(ready) => drop(compiled.insert(name.clone(), Arc::new(ready))),
            Err(error) => drop(invalid.insert(name.clone(), error)),
        }
    }
    if invalid.is_empty() {
        Ok(compiled)
    } else {
        Err(invalid)
    }
}

/// The targets of a configuration. Backends of pools without monitors are none.
///
/// `monitors` comes from [`compile_monitors`] of the same configuration; `seeds` holds what was known
/// before this agent started.
pub fn targets(
    config: &Config,
    monitors: &BTreeMap<MonitorName, Arc<CompiledMonitor>>,
    seeds: &BTreeMap<TargetKey, Health>,
) -> BTreeMap<TargetKey, Target> {
    let mut targets = BTreeMap::new();
    for (pool_name, pool) in &config.pools {
        let mut of_pool: Vec<_> = pool
            .monitors
            .iter()
            .filter_map(|name| monitors.get(name).cloned())
            .collect();
        of_pool.sort_by(|one, other| one.name.cmp(&other.name));
        of_pool.dedup_by(|one, other| one.name == other.name);
        if of_pool.is_empty() {
            continue;
        }
        for backend in pool.backends.values() {
            let key = TargetKey {
                pool: pool_name.clone(),
                backend: backend.address,
            };
            let seed = seeds.get(&key).copied();
            let monitors = of_pool.clone();
            targets.insert(key, Target { monitors, seed });
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::model::{
        AdminState, AttachMode, Backend, BodyMatch, Dataplane, Ha, HttpCheck, InitialState, Limits,
        MonitorKind, Node, OnDown, Pool, Telemetry, Weight,
    };

    use super::*;

    fn monitor(kind: MonitorKind) -> Monitor {
        Monitor {
            kind,
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
            jitter_percent: 10,
            initial: InitialState::Down,
            port: None,
            send_proxy: false,
        }
    }

    fn backend(address: &str) -> Backend {
        Backend {
            address: BackendAddress(address.parse().unwrap()),
            weight: Weight::default(),
            admin: AdminState::Enabled,
        }
    }

    fn pool(monitors: &[&str], backends: &[(&str, &str)]) -> Pool {
        let backends = backends
            .iter()
            .map(|(name, address)| (name.parse().unwrap(), backend(address)));
        Pool {
            monitors: monitors.iter().map(|name| name.parse().unwrap()).collect(),
            on_down: OnDown::default(),
            backends: backends.collect(),
        }
    }

    fn config(pools: &[(&str, Pool)]) -> Config {
        let pools = pools
            .iter()
            .map(|(name, pool)| (name.parse().unwrap(), pool.clone()));
        Config {
            node: Node {
                name: "lb1".into(),
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
            monitors: ["ping", "port"]
                .map(|name| (name.parse().unwrap(), monitor(MonitorKind::Tcp)))
                .into(),
            pools: pools.collect(),
            services: BTreeMap::new(),
        }
    }

    fn names(target: &Target) -> Vec<&str> {
        let names = target.monitors.iter().map(|monitor| monitor.name.as_str());
        names.collect()
    }

    #[test]
    fn every_backend_of_a_monitored_pool_is_a_target_with_each_monitor_once() {
        let config = config(&[
            (
                "web",
                pool(
                    &["port", "ping", "port"],
                    &[("a", "192.0.2.1:80"), ("b", "[2001:db8::1]:80")],
                ),
            ),
            ("bare", pool(&[], &[("a", "192.0.2.1:80")])),
        ]);
        let monitors = compile_monitors(&config.monitors).unwrap();
        let known = TargetKey {
            pool: "web".parse().unwrap(),
            backend: BackendAddress("192.0.2.1:80".parse().unwrap()),
        };
        let seeds = BTreeMap::from([(known.clone(), Health::Down)]);
        let targets = targets(&config, &monitors, &seeds);
        let shown: Vec<_> = targets.keys().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            ["192.0.2.1:80 in pool web", "[2001:db8::1]:80 in pool web"]
        );
        for (key, target) in &targets {
            assert_eq!(names(target), ["ping", "port"]);
            assert_eq!(target.seed, (*key == known).then_some(Health::Down));
        }
    }

    #[test]
    fn a_renamed_backend_is_the_same_target() {
        let named = |name| config(&[("web", pool(&["port"], &[(name, "192.0.2.1:80")]))]);
        let keys = |config: &Config| {
            let monitors = compile_monitors(&config.monitors).unwrap();
            let targets = targets(config, &monitors, &BTreeMap::new());
            targets.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(keys(&named("old")), keys(&named("new")));
    }

    #[test]
    fn all_monitors_that_are_wrong_are_told_at_once() {
        let broken = |method: &str, pattern: &str| {
            monitor(MonitorKind::Http(HttpCheck {
                method: method.into(),
                path: "/".into(),
                host: None,
                status: Vec::new(),
                body: Some(BodyMatch::Regex(pattern.into())),
                tls: None,
            }))
        };
        let monitors = BTreeMap::from(
            [
                ("fine", broken("GET", "x")),
                ("method", broken("G T", "x")),
                ("pattern", broken("GET", "(")),
            ]
            .map(|(name, monitor)| (name.parse().unwrap(), monitor)),
        );
        let invalid = compile_monitors(&monitors).unwrap_err();
        let names: Vec<_> = invalid.keys().map(MonitorName::as_str).collect();
        assert_eq!(names, ["method", "pattern"]);
    }
}
