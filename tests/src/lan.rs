//! An adc node and another router on one switch, with VIPs that move between them.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::{
    agent::{Agent, Backend, Config},
    drive::get_in,
    keepalived::{Keepalived, Router},
    net::Link,
    scene::{HTTP_PORT, WWW},
    serve::{self, TcpServer},
    topology::{ROUTER_V4, ROUTER_V6, Topology, VIP_V4, VIP_V6},
    wait::eventually,
};

/// Virtual router id of the group.
pub const VRID: u8 = 51;
/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(20);

/// An adc node and a keepalived node on one switch.
#[derive(Debug)]
pub struct Lan {
    /// The agent; its group is called `front`.
    pub agent: Agent,
    /// The other router's interface.
    pub router: Link,
    /// The adc node's interface.
    pub adc: Link,
    /// The addresses that move.
    pub vips: Vec<IpAddr>,
    /// What the agent runs.
    pub config: Config,
    /// The network.
    pub topology: Topology,
    _servers: Vec<TcpServer>,
}

impl Lan {
    /// A group of `vips` with these lines more, and service `www` at the first; the agent runs.
    pub fn new(vips: &[IpAddr], more: &str) -> Self {
        let topology = Topology::one_arm(1);
        let router = topology.add_machine("router", &[ROUTER_V4.into(), ROUTER_V6.into()]);
        let servers = topology
            .backends
            .iter()
            .map(|host| serve::http(host, HTTP_PORT));
        let servers = servers.collect();
        let backends = topology
            .backends
            .iter()
            .map(|host| Backend::v4(host, HTTP_PORT));
        let mut config = Config::new(&topology)
            .pool("web", &[], backends.collect())
            .service("www", WWW, "tcp", "web");
        let quoted: Vec<_> = vips.iter().map(|vip| format!("\"{vip}\"")).collect();
        config.extra = format!(
            "\n[[ha.group]]\nname = \"front\"\nvrid = {VRID}\ninterface = \"eth0\"\nvips = [{}]\n{more}\n",
            quoted.join(", ")
        );
        let agent = Agent::start(&topology, &config);
        Self {
            agent,
            router,
            adc: topology.interfaces[0].clone(),
            vips: vips.to_vec(),
            config,
            topology,
            _servers: servers,
        }
    }

    /// Starts keepalived on the other router.
    pub fn keepalived(&self, router: &Router) -> Keepalived {
        Keepalived::start(&self.router, router, self.topology.directory())
    }

    /// What the agent says of its group.
    pub fn group(&self) -> serde_json::Value {
        self.agent.json(&["ha", "status"])["groups"][0].clone()
    }

    /// Whether adc is active and has all VIPs.
    pub fn adc_has_all(&self) -> bool {
        let here = self.adc.namespace.addresses();
        self.group()["role"] == "active" && self.vips.iter().all(|vip| here.contains(vip))
    }

    /// Whether adc is not active and has no VIP.
    pub fn adc_has_none(&self) -> bool {
        let here = self.adc.namespace.addresses();
        self.group()["role"] != "active" && !self.vips.iter().any(|vip| here.contains(vip))
    }

    /// Whether the other router has all VIPs.
    pub fn other_has_all(&self) -> bool {
        let there = self.router.namespace.addresses();
        self.vips.iter().all(|vip| there.contains(vip))
    }

    /// Whether the other router has no VIP.
    pub fn other_has_none(&self) -> bool {
        let there = self.router.namespace.addresses();
        !self.vips.iter().any(|vip| there.contains(vip))
    }

    /// Waits until adc has the VIPs, and nobody else.
    #[track_caller]
    pub fn wait_for_adc(&self) -> Duration {
        eventually(LONG, "adc has the VIPs, and adc alone", || {
            self.adc_has_all() && self.other_has_none()
        })
    }

    /// Waits until the other router has the VIPs, and nobody else.
    #[track_caller]
    pub fn wait_for_other(&self) -> Duration {
        eventually(
            LONG,
            "keepalived has the VIPs, and keepalived alone",
            || self.adc_has_none() && self.other_has_all(),
        )
    }

    /// Two nodes at peace: for a second nobody changes anything.
    #[track_caller]
    pub fn assert_peace(&self) {
        let transitions = || self.group()["counters"]["transitions"].clone();
        let (before, began) = (transitions(), Instant::now());
        eventually(LONG, "a second has passed", || {
            began.elapsed() > Duration::from_secs(1)
        });
        assert_eq!(transitions(), before, "the role moved");
    }

    /// Nothing that the other router sent was refused, and it was heard.
    #[track_caller]
    pub fn assert_understood(&self) {
        let group = self.group();
        let refused = group["counters"]["adverts_refused"].as_object().unwrap();
        assert!(refused.values().all(|count| count == 0), "{group}");
        assert!(
            group["counters"]["adverts_received"].as_u64() > Some(0),
            "{group}"
        );
        assert_eq!(group["peers"][0]["same_vips"], true, "{group}");
    }

    /// Waits until a client is served at the VIP.
    #[track_caller]
    pub fn assert_served(&self) {
        let timeout = Duration::from_secs(2);
        let get = || get_in(&self.topology.client, WWW, "/", timeout);
        eventually(LONG, "the client is served at the VIP", || {
            get().is_ok_and(|answer| answer.body == "web1")
        });
    }
}

/// The IPv4 VIP.
pub fn v4() -> Vec<IpAddr> {
    vec![VIP_V4.into()]
}

/// VIPs of both families.
pub fn both() -> Vec<IpAddr> {
    vec![VIP_V4.into(), VIP_V6.into()]
}
