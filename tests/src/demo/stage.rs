//! Network, servers and agent of the demonstration.

use std::{net::SocketAddr, time::Duration};

use crate::{
    agent::{Agent, Backend, Config, Monitor},
    topology::{BackendHost, Topology, VIP_V4, VIP_V6},
    wait::eventually,
};

use super::web_server::WebServer;

/// Port of the web servers.
pub(super) const SERVER_PORT: u16 = 8080;
/// Port of the services.
const SERVICE_PORT: u16 = 80;
/// The pools: adc's `nat` keeps the address family, so each family has a pool.
pub(super) const POOLS: [&str; 2] = ["web", "web6"];
const MONITOR: &str = "healthz";
/// Added to the time the checks need: telling the data plane takes a moment too.
const REACTION: Duration = Duration::from_millis(250);

/// Everything that is up.
pub(super) struct Stage {
    // Dropped in this order: what runs in the network goes before the network.
    pub(super) agent: Agent,
    servers: Vec<WebServer>,
    pub(super) topology: Topology,
}

impl Stage {
    /// Client, adc node and `count` web servers, nothing started yet but the servers.
    pub(super) fn network(count: usize) -> (Topology, Vec<WebServer>) {
        let topology = Topology::demo(count);
        let servers = topology
            .backends
            .iter()
            .map(|host| WebServer::start(host, SERVER_PORT, topology.directory()))
            .collect();
        (topology, servers)
    }

    /// Starts the agent.
    pub(super) fn open(topology: Topology, servers: Vec<WebServer>) -> Self {
        let config = configuration(&topology);
        Self {
            agent: Agent::start(&topology, &config),
            servers,
            topology,
        }
    }

    /// Where clients connect to.
    pub(super) fn vips() -> [SocketAddr; 2] {
        [(VIP_V4, SERVICE_PORT).into(), (VIP_V6, SERVICE_PORT).into()]
    }

    /// How long a dead server may hurt.
    pub(super) fn detection_window() -> Duration {
        Monitor::http().detection_bound() + REACTION
    }

    /// A server's machine by number, from 1.
    pub(super) fn host(&self, number: usize) -> &BackendHost {
        &self.topology.backends[number - 1]
    }

    /// kill -9.
    pub(super) fn kill_server(&mut self, number: usize) {
        self.servers[number - 1].kill9();
    }

    /// One more machine with a web server; adc does not know it yet.
    pub(super) fn add_server(&mut self) -> BackendHost {
        let host = self.topology.add_backend().clone();
        let server = WebServer::start(&host, SERVER_PORT, self.topology.directory());
        self.servers.push(server);
        host
    }

    /// Waits until both pools have so many backends that take new flows; returns how long.
    pub(super) fn wait_for_available(&self, count: usize) -> Duration {
        let what = format!("{count} backends of each pool take new connections");
        eventually(Duration::from_secs(30), &what, || {
            POOLS.iter().all(|pool| self.agent.available(pool) == count)
        })
    }

    /// Leaves everything up.
    pub(super) fn keep(&mut self) {
        self.agent.keep();
        for server in &mut self.servers {
            server.keep();
        }
        self.topology.keep();
    }
}

fn configuration(topology: &Topology) -> Config {
    let hosts = &topology.backends;
    let [vip4, vip6] = Stage::vips();
    let v4 = hosts.iter().map(|host| Backend::v4(host, SERVER_PORT));
    let v6 = hosts.iter().map(|host| Backend::v6(host, SERVER_PORT));
    let mut config = Config::new(topology);
    config.self_check = 0;
    config
        .monitor(MONITOR, Monitor::http())
        .pool(POOLS[0], &[MONITOR], v4.collect())
        .pool(POOLS[1], &[MONITOR], v6.collect())
        .service("www", vip4, "tcp", POOLS[0])
        .service("www6", vip6, "tcp", POOLS[1])
}
