//! adc and keepalived as a pair: who is not dead serves.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use super::{
    bed::{GROUP, NAMES, STREAM, VRID, configuration, moving},
    cut::Cutter,
    instruments::{Questioner, Sign, Stream, Tap, longest_overlap},
    node::Node,
    plan::{Mode, Peering, Profile},
    trial::Observed,
};
use crate::{
    agent::Agent,
    drive::Stamp,
    keepalived::{Keepalived, Router},
    net::{Link, VethPair},
    process::Process,
    topology::{GATEWAY_V4, Topology, VIP_V4},
    wait::eventually,
};

const LONG: Duration = Duration::from_mins(1);
/// Longer than any takeover.
const LATEST: Duration = Duration::from_secs(20);
/// Replies before a fault, and from the other node after one.
const STEADY: usize = 200;

/// Priorities of the node that crashes, and of the one that takes over. Both preempt.
const FIRST: u8 = 150;
const SECOND: u8 = 100;

/// An adc node, and a Linux router with keepalived that serves the same stream by nftables.
pub(super) struct Mixed {
    // Dropped in this order.
    keepalived: Option<Keepalived>,
    node: Node,
    taps: [Tap; 2],
    peering: Peering,
    router: Link,
    files: PathBuf,
    runs: u32,
    _questioner: Questioner,
    _ports: [Process; 2],
    topology: Topology,
}

impl Mixed {
    /// Both run, and the one that is to crash is active.
    pub(super) fn start(peering: Peering) -> Self {
        let topology = Topology::one_arm(2);
        let [link, router] = topology.with_fellow(NAMES[1]);
        let ports = topology.wake_ports(NAMES[1]);
        let cable = VethPair::connect((&link.namespace, "eth1"), (&router.namespace, "eth1"));
        let vips = moving(Mode::Nat);
        let key = topology.directory().join("ha.key");
        let mut config = configuration(&topology, Profile::Vrrp, Mode::Nat, 0, &key);
        config.extra = group(peering, &vips);
        let node = Node {
            agent: Agent::prepare_in(&link.namespace, &config),
            link,
            cable: cable.a,
            port: topology.port("adc"),
            own: GATEWAY_V4.0,
            config,
            moving: vips.into(),
        };
        director(&router, &topology);
        let asking = topology.add_machine("asks", &[super::bed::QUESTIONER.into()]);
        let [adc, other] = ["adc", NAMES[1]].map(|name| topology.port(name));
        let mut mixed = Self {
            keepalived: None,
            node,
            taps: [Tap::listen(&adc), Tap::listen(&other)],
            peering,
            router,
            files: topology.directory().to_owned(),
            runs: 0,
            _questioner: Questioner::start(&asking, super::bed::QUESTIONER),
            _ports: ports,
            topology,
        };
        mixed.node.agent.spawn();
        mixed.node.wait_until_ready();
        mixed.start_keepalived();
        mixed
    }

    /// The active one crashes, the other serves, and the first comes back.
    pub(super) fn run(&mut self) -> Observed {
        self.recover();
        self.runs += 1;
        let (client, hosts) = (&self.topology.client, &self.topology.backends);
        let stream = Stream::start(client, STREAM, hosts, STREAM.port(), self.runs);
        eventually(LONG, "the stream flows", || stream.returned() >= STEADY);
        for tap in &self.taps {
            tap.forget();
        }
        let (pids, cutters) = (self.node.pids(), self.node.cutters());
        let cutter = Cutter::new(&self.router);
        let began = Stamp::now();
        if self.peering.adc_crashes {
            super::node::signal(&pids, nix::sys::signal::Signal::SIGKILL);
            cutters.iter().for_each(Cutter::down);
        } else {
            if let Some(keepalived) = &mut self.keepalived {
                keepalived.kill9();
            }
            cutter.down();
        }
        let other = &self.taps[usize::from(self.peering.adc_crashes)];
        eventually(LATEST, "the other node serves", || {
            other.count(Sign::Replied, began) >= STEADY
        });
        let stream = stream.finish();
        let replies = other
            .seen()
            .into_iter()
            .filter(|(_, what)| *what == Sign::Replied);
        let takeover = replies.map(|(at, _)| at.since(began)).min();
        let signs = |tap: &Tap| tap.seen().into_iter().map(|(at, _)| at).collect::<Vec<_>>();
        let both_active = longest_overlap(&signs(&self.taps[0]), &signs(&self.taps[1]));
        self.mend();
        Observed {
            takeover,
            stream,
            survived: 0,
            bulk: false,
            both_active,
        }
    }

    fn mend(&mut self) {
        if self.peering.adc_crashes {
            self.node.reboot();
            self.node.wait_until_ready();
        } else {
            // A router that was switched off comes back without the addresses.
            for address in moving(Mode::Nat) {
                let address = format!("{address}/32");
                let delete = [
                    "-n",
                    self.router.namespace.name(),
                    "address",
                    "del",
                    &address,
                ];
                crate::net::run_unchecked("ip", &[&delete[..], &["dev", "eth0"]].concat());
            }
            self.router.up();
            self.start_keepalived();
        }
    }

    fn start_keepalived(&mut self) {
        for file in ["keepalived.pid", "keepalived-vrrp.pid"] {
            std::fs::remove_file(self.files.join(file)).ok();
        }
        let mut router = Router::new(VRID, &moving(Mode::Nat));
        router.version = self.peering.version;
        router.interval = interval(self.peering);
        router.priority = if self.peering.adc_crashes {
            SECOND
        } else {
            FIRST
        };
        self.keepalived = Some(Keepalived::start(&self.router, &router, &self.files));
    }

    /// Waits until the one that is to crash is active, and the other is not.
    fn recover(&mut self) {
        eventually(LONG, "the one that is to crash is active", || {
            let there = self.router.addresses();
            let other_has = self.node.moving.iter().any(|vip| there.contains(vip));
            if self.peering.adc_crashes {
                self.node.is_active() && !other_has
            } else {
                other_has && self.node.is_backup()
            }
        });
        let hosts = self.topology.backends.iter().map(|host| &host.namespace);
        for namespace in hosts.chain([&self.topology.client]) {
            namespace.ip(&["neigh", "flush", "dev", "eth0"]);
        }
    }
}

fn interval(peering: Peering) -> Duration {
    // Version 2 has whole seconds.
    if peering.version == 2 {
        Duration::from_secs(1)
    } else {
        Duration::from_millis(100)
    }
}

fn group(peering: Peering, vips: &[IpAddr; 2]) -> String {
    let (version, interval) = (peering.version, interval(peering).as_millis());
    let priority = if peering.adc_crashes { FIRST } else { SECOND };
    let [vip, inside] = vips;
    format!(
        "\n[[ha.group]]\nname = \"{GROUP}\"\nvrid = {VRID}\ninterface = \"eth0\"\npriority = {priority}\n\
         version = {version}\nadvert_interval = \"{interval}ms\"\nvips = [\"{vip}\", \"{inside}/24\"]\n"
    )
}

/// Makes a Linux router forward the stream to the first backend.
fn director(router: &Link, topology: &Topology) {
    let namespace = &router.namespace;
    namespace.sysctl("net.ipv4.ip_forward", "1");
    let (vip, port) = (VIP_V4.to_string(), STREAM.port().to_string());
    let backend = topology.backends[0].v4.to_string();
    let hook = "{ type nat hook prerouting priority -100; }";
    namespace.run("nft", &["add", "table", "ip", "drill"]);
    namespace.run("nft", &["add", "chain", "ip", "drill", "in", hook]);
    let rule = ["add", "rule", "ip", "drill", "in", "ip", "daddr", &vip];
    let translate = ["udp", "dport", &port, "dnat", "to", &backend];
    namespace.run("nft", &[&rule[..], &translate].concat());
}
