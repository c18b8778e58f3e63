//! Random valid configurations and edits, for property tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use proptest::{option, prelude::*, sample::select};

use super::edit::Edit;
use crate::model::{
    AdminState, AttachMode, Backend, BackendAddress, BodyMatch, Config, Dataplane, Ha, Hash,
    HeartbeatPath, HeartbeatSettings, HttpCheck, InitialState, Limits, Mode, Monitor, MonitorKind,
    MssClamp, Node, OnDown, Pool, Ports, Profile, Require, RouteAnnouncement, Scheduler, Service,
    StatusRange, SyncSettings, Telemetry, Timeouts, TlsVerify, TransportProtocol, Tunnel, Weight,
};

/// Names that TOML has to quote are among them.
const NAMES: [&str; 4] = ["web", "a.b", "[::1]:80", "x-_y"];
/// Pools of even index are IPv4.
const POOLS: [&str; 4] = ["four", "six", "4.x", "6:x"];
const BACKENDS: [&str; 5] = ["one", "two", "10.0.0.1:80", "[2001:db8::1]:80", "a.b"];

fn is_v4(pool: usize) -> bool {
    pool.is_multiple_of(2)
}

/// A configuration that keeps every rule.
pub(super) fn config() -> impl Strategy<Value = Config> {
    let pools = POOLS.iter().enumerate().map(|(index, name)| {
        option::weighted(0.8, pool(is_v4(index))).prop_map(move |pool| (*name, pool))
    });
    let monitors = prop::collection::btree_map(select(&NAMES[..]), monitor(), 0..3);
    let pools: Vec<_> = pools.collect();
    let services = prop::collection::vec((0..POOLS.len(), service_values()), 0..4);
    let ha = super::samples_ha::ha();
    (node_dataplane_telemetry(), monitors, pools, services, ha).prop_map(
        |((node, dataplane, telemetry), monitors, pools, services, ha)| {
            let monitor_names: Vec<_> = monitors.keys().map(|name| name.parse().unwrap()).collect();
            let pools: BTreeMap<_, _> = pools
                .into_iter()
                .filter_map(|(name, pool)| Some((name, pool?)))
                .map(|(name, mut pool)| {
                    pool.monitors.clone_from(&monitor_names);
                    (name.parse().unwrap(), pool)
                })
                .collect();
            let services = services
                .into_iter()
                .zip(NAMES)
                .enumerate()
                .filter(|(_, ((pool, _), _))| pools.contains_key(&POOLS[*pool].parse().unwrap()))
                .map(|(index, ((pool, values), name))| {
                    (name.parse().unwrap(), service(index, pool, values))
                });
            let heartbeat = heartbeat(&dataplane, &node.name);
            let announce = announce(&dataplane);
            let sync = sync(&dataplane);
            Config {
                node,
                dataplane,
                telemetry,
                ha: Ha {
                    heartbeat,
                    sync,
                    ..ha
                },
                announce,
                monitors: monitors
                    .into_iter()
                    .map(|(name, m)| (name.parse().unwrap(), m))
                    .collect(),
                services: services.collect(),
                pools,
            }
        },
    )
}

/// An edit of a configuration such as [`config`] makes; it may well not fit.
pub(super) fn edit() -> impl Strategy<Value = Edit> {
    let pool = || select(&POOLS[..]).prop_map(|name| name.parse().unwrap());
    let name = || select(&BACKENDS[..]).prop_map(|name| name.parse().unwrap());
    let service_name = || select(&NAMES[..]).prop_map(|name| name.parse().unwrap());
    let service = (0..3usize, 0..POOLS.len(), service_values())
        .prop_map(|(index, pool, values)| service(index, pool, values));
    let state = select(
        &[
            AdminState::Enabled,
            AdminState::Draining,
            AdminState::Maintenance,
        ][..],
    );
    prop_oneof![
        (service_name(), service).prop_map(|(name, service)| Edit::ServiceAdd { name, service }),
        service_name().prop_map(|name| Edit::ServiceRemove { name }),
        (0..POOLS.len()).prop_flat_map(|index| {
            self::pool(is_v4(index)).prop_map(move |pool| Edit::PoolAdd {
                name: POOLS[index].parse().unwrap(),
                pool,
            })
        }),
        pool().prop_map(|name| Edit::PoolRemove { name }),
        (pool(), name(), any::<bool>(), 0..6u8, 0..1100u16).prop_map(
            |(pool, name, v4, host, weight)| Edit::BackendAdd {
                pool,
                name,
                backend: Backend {
                    address: address(v4, host),
                    weight: Weight(weight),
                    admin: AdminState::Enabled,
                },
            }
        ),
        (pool(), name()).prop_map(|(pool, name)| Edit::BackendRemove { pool, name }),
        (pool(), name(), 0..3u16).prop_map(|(pool, name, w)| Edit::BackendWeight {
            pool,
            name,
            weight: Weight(w)
        }),
        (pool(), name(), state).prop_map(|(pool, name, state)| Edit::BackendAdmin {
            pool,
            name,
            state
        }),
    ]
}

fn address(v4: bool, host: u8) -> BackendAddress {
    let address = if v4 {
        format!("10.0.0.{}:80", host + 1)
    } else {
        format!("[2001:db8::{}]:80", host + 1)
    };
    BackendAddress(address.parse::<SocketAddr>().unwrap())
}

fn pool(v4: bool) -> impl Strategy<Value = Pool> {
    let admin = select(
        &[
            AdminState::Enabled,
            AdminState::Draining,
            AdminState::Maintenance,
        ][..],
    );
    let backend = option::weighted(0.6, (0..=2u16, admin));
    let on_down = select(&[OnDown::Reset, OnDown::Reselect, OnDown::Keep][..]);
    let backends = prop::collection::vec(backend, BACKENDS.len());
    (backends, on_down).prop_map(move |(backends, on_down)| Pool {
        monitors: Vec::new(),
        on_down,
        backends: backends
            .into_iter()
            .enumerate()
            .filter_map(|(index, values)| {
                let (weight, admin) = values?;
                let host = u8::try_from(index).unwrap();
                let backend = Backend {
                    address: address(v4, host),
                    weight: Weight(weight),
                    admin,
                };
                Some((BACKENDS[index].parse().unwrap(), backend))
            })
            .collect(),
    })
}

type ServiceValues = (TransportProtocol, Hash, bool, Timeouts);

fn service_values() -> impl Strategy<Value = ServiceValues> {
    let protocol = select(&[TransportProtocol::Tcp, TransportProtocol::Udp][..]);
    let timeouts = prop::array::uniform7(1..=604_800u32).prop_map(|t| Timeouts {
        handshake: t[0],
        established: t[1],
        half_closed: t[2],
        closed: t[3],
        reset: t[4],
        udp_unreplied: t[5],
        udp_replied: t[6],
    });
    let hash = select(&[Hash::FiveTuple, Hash::Source][..]);
    (protocol, hash, any::<bool>(), timeouts)
}

fn service(index: usize, pool: usize, (protocol, hash, ping, timeouts): ServiceValues) -> Service {
    let vip = if is_v4(pool) {
        format!("203.0.113.{}", index + 1)
    } else {
        format!("2001:db8:1::{}", index + 1)
    };
    Service {
        vip: vip.parse().unwrap(),
        port: match index % 3 {
            0 => Ports::One(80),
            1 => Ports::Range {
                first: 5000,
                last: 5100,
            },
            _ => Ports::Any,
        },
        protocol,
        pool: POOLS[pool].parse().unwrap(),
        mode: Mode::Nat,
        snat: BTreeSet::new(),
        tunnel: Tunnel::default(),
        mss_clamp: MssClamp::Off,
        proxy_protocol: None,
        scheduler: Scheduler::Maglev,
        hash,
        ping,
        timeouts,
    }
}

fn monitor() -> impl Strategy<Value = Monitor> {
    let kind = prop_oneof![
        Just(MonitorKind::Tcp),
        Just(MonitorKind::Icmp),
        http_check().prop_map(MonitorKind::Http)
    ];
    let times = (100..=3_600_000u64).prop_flat_map(|interval| (Just(interval), 10..=interval));
    let counts = (1..=100u32, 1..=100u32, 0..=50u8);
    let initial = select(&[InitialState::Up, InitialState::Down][..]);
    (kind, times, counts, initial, option::of(1..=u16::MAX)).prop_map(
        |(kind, (interval, timeout), (rise, fall, jitter_percent), initial, port)| Monitor {
            port: port.filter(|_| kind != MonitorKind::Icmp),
            send_proxy: rise % 2 == 0 && kind != MonitorKind::Icmp,
            kind,
            interval: Duration::from_millis(interval),
            timeout: Duration::from_millis(timeout),
            rise,
            fall,
            jitter_percent,
            initial,
        },
    )
}

fn http_check() -> impl Strategy<Value = HttpCheck> {
    let range = (100..=599u16)
        .prop_flat_map(|first| (first..=599).prop_map(move |last| StatusRange { first, last }));
    let body = prop_oneof![
        "\\PC{1,20}|\"\"\"|\\\\\n\t'".prop_map(BodyMatch::Text),
        "[a-z]{1,5}[.]*".prop_map(BodyMatch::Regex)
    ];
    let tls = (option::of("[a-z0-9.-]{1,20}"), option::of("/[a-z ]{1,9}")).prop_map(|(sni, ca)| {
        TlsVerify {
            sni,
            verify: true,
            ca_file: ca.map(Into::into),
        }
    });
    let host = option::of("[a-z0-9.:]{1,20}");
    let status = prop::collection::vec(range, 1..4);
    (
        select(&["GET", "POST"][..]),
        "/[!-~]{0,20}",
        host,
        status,
        option::of(body),
        option::of(tls),
    )
        .prop_map(|(method, path, host, status, body, tls)| HttpCheck {
            method: method.to_owned(),
            path,
            host,
            status,
            body,
            tls,
        })
}

/// Some configurations announce VIPs, of their services or by name.
fn announce(dataplane: &Dataplane) -> Option<RouteAnnouncement> {
    let number = dataplane.limits.flows_v4;
    let vips = ["192.0.2.10", "2001:db8::10"].map(|vip| vip.parse().unwrap());
    let named = usize::try_from(number % 3).unwrap();
    number.is_multiple_of(2).then(|| RouteAnnouncement {
        table: 256 + number,
        vips: vips.into_iter().take(named).collect(),
        require: if number.is_multiple_of(4) {
            Require::All
        } else {
            Require::Any
        },
        min_up: 1 + number % 9,
        up_after: Duration::from_millis((number % 3_600_000).into()),
        down_after: Duration::from_millis((number % 1_000).into()),
        drain: Duration::from_millis((number % 20_000).into()),
    })
}

/// As arbitrary as its data plane is.
fn heartbeat(dataplane: &Dataplane, node: &str) -> Option<HeartbeatSettings> {
    let number = dataplane.self_check;
    let paths = dataplane.interfaces.iter().zip(1..).map(|(name, n)| {
        let v4 = IpAddr::from([10, 99, n, 2]);
        let v6 = IpAddr::from([0xfe80_u16, 0, 0, 0, 0, 0, 0, u16::from(n)]);
        HeartbeatPath {
            interface: name.clone(),
            peer: if number.is_multiple_of(2) { v4 } else { v6 },
        }
    });
    (!number.is_multiple_of(3)).then(|| HeartbeatSettings {
        peer: format!("{}2", &node[..node.len().min(60)]),
        profile: Profile::ALL[number as usize % 3],
        key_file: "/etc/adc/ha.key".into(),
        port: 1 + u16::try_from(number).unwrap(),
        paths: paths.collect(),
        witness: number
            .is_multiple_of(5)
            .then(|| IpAddr::from([10, 99, 0, 1])),
    })
}

/// As arbitrary, too.
fn sync(dataplane: &Dataplane) -> Option<SyncSettings> {
    let number = dataplane.self_check;
    number.is_multiple_of(2).then(|| SyncSettings {
        interface: dataplane.interfaces.first().unwrap().clone(),
        peer: IpAddr::from([10, 99, 0, 2]),
        port: 1 + u16::try_from(number).unwrap(),
        key_file: "/etc/adc/sync.key".into(),
        wait_at_most: Duration::from_secs(number.into()),
    })
}

fn node_dataplane_telemetry() -> impl Strategy<Value = (Node, Dataplane, Telemetry)> {
    let paths = ("[a-zA-Z0-9._-]{1,64}", "/[ -~]{0,20}", "/\\PC{0,20}");
    let interfaces = prop::collection::btree_set("[a-z][a-z0-9.@-]{0,14}", 1..4);
    let attach = select(&[AttachMode::Native, AttachMode::Skb][..]);
    let vip_interface = option::of("[a-z]{1,3}[0-9]");
    let limits = (1_024..=16_777_216u32, 1_000..=65_535u32);
    let listen = option::of(1..=u16::MAX);
    (paths, interfaces, attach, vip_interface, limits, listen).prop_map(
        |((name, state_dir, pin_path), interfaces, attach, vip_interface, (flows, ids), listen)| {
            let node = Node {
                name,
                state_dir: state_dir.into(),
                run_dir: "/run".into(),
            };
            let limits = Limits {
                flows_v4: flows,
                services: ids,
                backends: ids,
                ..Limits::default()
            };
            let dataplane = Dataplane {
                interfaces: interfaces.into_iter().collect(),
                attach,
                pin_path: pin_path.into(),
                vip_interface,
                self_check: flows % 1_000,
                limits,
            };
            let listen = listen.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
            (node, dataplane, Telemetry { listen })
        },
    )
}
