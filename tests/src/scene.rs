//! What most cases begin with: a topology, servers of ours on every backend, and an agent.

use std::{net::SocketAddr, time::Duration};

use crate::{
    agent::{Agent, Backend, Config, Monitor},
    drive::Load,
    process::Process,
    serve::{self, TcpServer},
    topology::{Topology, VIP_V4, VIP_V6},
};

/// Port of the backends' HTTP servers.
pub const HTTP_PORT: u16 = 8080;
/// Port of the backends' echo servers.
pub const ECHO_PORT: u16 = 7007;
/// `http://10.1.0.100/`: service `www` on pool `web`.
pub const WWW: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(VIP_V4), 80);
/// `http://[fd00:1::100]/`: service `www6` on pool `web6`.
pub const WWW6: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(VIP_V6), 80);
/// Service `echo` on pool `echo`, TCP.
pub const ECHO: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(VIP_V4), 7);

/// HTTP and echo servers on every backend, both behind the VIPs.
#[derive(Debug)]
pub struct Scene {
    // Dropped in this order.
    /// The agent.
    pub agent: Agent,
    /// Its configuration, to be changed and reloaded.
    pub config: Config,
    /// HTTP servers by backend; `None` = killed.
    pub http: Vec<Option<TcpServer>>,
    /// Echo servers by backend.
    pub echo: Vec<TcpServer>,
    /// The network.
    pub topology: Topology,
}

impl Scene {
    /// Starts everything and waits until every backend takes new flows.
    #[track_caller]
    pub fn new(topology: Topology) -> Self {
        Self::with(topology, |config| config)
    }

    /// The same with a changed configuration.
    #[track_caller]
    pub fn with(topology: Topology, change: impl FnOnce(Config) -> Config) -> Self {
        let hosts = &topology.backends;
        let http = hosts.iter().map(|host| Some(serve::http(host, HTTP_PORT)));
        let http = http.collect();
        let echo = hosts.iter().map(|host| serve::echo(host, ECHO_PORT));
        let echo = echo.collect();
        let config = change(Self::config(&topology));
        let agent = Agent::start(&topology, &config);
        for (name, pool) in &config.pools {
            agent.wait_for_available(name, pool.backends.len());
        }
        Self {
            agent,
            config,
            http,
            echo,
            topology,
        }
    }

    /// Services `www`, `www6` (checked by HTTP) and `echo` (not checked).
    pub fn config(topology: &Topology) -> Config {
        let hosts = &topology.backends;
        let v4 = |port| hosts.iter().map(|host| Backend::v4(host, port)).collect();
        let v6 = |port| hosts.iter().map(|host| Backend::v6(host, port)).collect();
        Config::new(topology)
            .monitor("http", Monitor::http())
            .pool("web", &["http"], v4(HTTP_PORT))
            .pool("web6", &["http"], v6(HTTP_PORT))
            .pool("echo", &[], v4(ECHO_PORT))
            .service("www", WWW, "tcp", "web")
            .service("www6", WWW6, "tcp", "web6")
            .service("echo", ECHO, "tcp", "echo")
    }

    /// Starts a second agent with directories, pins and a metrics port of its own, but the same interfaces and VIPs.
    pub fn spawn_rival(&self) -> Process {
        let mut text = self.config.text();
        for (own, other) in [
            (self.config.run_dir(), "run2"),
            (self.config.state_dir(), "state2"),
        ] {
            let other = self.topology.directory().join(other);
            text = text.replace(&own.display().to_string(), &other.display().to_string());
        }
        let pins = self.config.pin_path().display().to_string();
        text = text.replace(&pins, &format!("{pins}/other"));
        text = text.replace("127.0.0.1:9551", "127.0.0.1:9552");
        self.agent.write_config_text(&text);
        self.agent.spawn_beside("other")
    }

    /// HTTP requests over both address families until stopped, about 800 a second.
    pub fn load(&self) -> Load {
        let pause = Duration::from_millis(3);
        Load::start(&self.topology.client, &[WWW, WWW6], 4, pause)
    }

    /// The HTTP server of a backend dies: connections to it are refused.
    pub fn kill_http(&mut self, index: usize) {
        self.http[index] = None;
    }

    /// The HTTP server of a backend comes (back) up.
    #[track_caller]
    pub fn start_http(&mut self, index: usize) {
        self.http[index] = Some(serve::http(&self.topology.backends[index], HTTP_PORT));
    }
}
