//! Configuration files for the agent under test.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::topology::{BackendHost, Topology};

/// Formats into a `String`, which cannot fail.
macro_rules! line {
    ($to:expr, $($text:tt)*) => { writeln!($to, $($text)*).unwrap_or_default() };
}

/// A configuration that a case changes and writes out again.
#[derive(Clone, Debug)]
pub struct Config {
    /// Interfaces, the one that gets the VIPs first.
    pub interfaces: Vec<String>,
    /// The interface that gets the VIPs, if that is not the first.
    pub vip_interface: Option<String>,
    /// `native` or `skb`.
    pub attach: &'static str,
    /// One packet of so many has its checksums verified; 0 = none.
    pub self_check: u32,
    /// Metrics listener, in the adc node's namespace.
    pub metrics: SocketAddr,
    /// Monitors by name.
    pub monitors: Vec<(String, Monitor)>,
    /// Pools by name.
    pub pools: Vec<(String, Pool)>,
    /// Services by name.
    pub services: Vec<(String, Service)>,
    /// Appended as it is.
    pub extra: String,
    node: String,
    directory: PathBuf,
    pin_path: PathBuf,
}

/// A health check.
#[derive(Clone, Debug)]
pub struct Monitor {
    /// `tcp`, `http`, `https` or `icmp`.
    pub kind: &'static str,
    /// Path of an HTTP check.
    pub path: Option<&'static str>,
    /// Time between two probes.
    pub interval: Duration,
    /// Time a probe may take.
    pub timeout: Duration,
    /// Successes in a row that take a backend up.
    pub rise: u32,
    /// Failures in a row that take it down.
    pub fall: u32,
}

/// A pool.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    /// Names of its monitors.
    pub monitors: Vec<String>,
    /// What becomes of the flows of a backend that goes down; `None` = not written.
    pub on_down: Option<&'static str>,
    /// Its backends.
    pub backends: Vec<Backend>,
}

/// A backend of a pool.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// Where it listens; port 0 is not written.
    pub address: SocketAddr,
    /// Share of new flows.
    pub weight: u16,
}

/// A service.
#[derive(Clone, Debug)]
pub struct Service {
    /// Address and port that clients connect to.
    pub vip: SocketAddr,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// Its pool.
    pub pool: String,
    /// A range of ports, or `any`, in place of the port.
    pub ports: Option<&'static str>,
    /// Forwarding mode; `nat` unless a case says otherwise.
    pub mode: &'static str,
    /// Lines for its table, e.g. a scheduler or timeouts.
    pub extra: String,
}

impl Monitor {
    /// A fast TCP check.
    pub fn tcp() -> Self {
        Self {
            kind: "tcp",
            path: None,
            interval: Duration::from_millis(200),
            timeout: Duration::from_millis(150),
            rise: 2,
            fall: 3,
        }
    }

    /// A fast HTTP check of `/healthz`.
    pub fn http() -> Self {
        Self {
            kind: "http",
            path: Some("/healthz"),
            ..Self::tcp()
        }
    }

    /// How long a dead backend may go unnoticed: it may die just after a probe succeeded, each of
    /// the next `fall` intervals may be up to 10 % longer (the default jitter), and the last probe
    /// may use up its timeout.
    pub fn detection_bound(&self) -> Duration {
        self.interval.mul_f64(1.1) * self.fall + self.timeout
    }
}

impl Backend {
    /// A host's IPv4 address with weight 100.
    pub fn v4(host: &BackendHost, port: u16) -> Self {
        Self {
            name: host.name.clone(),
            address: host.v4(port),
            weight: 100,
        }
    }

    /// A host's IPv6 address with weight 100.
    pub fn v6(host: &BackendHost, port: u16) -> Self {
        Self {
            address: host.v6(port),
            ..Self::v4(host, port)
        }
    }
}

impl Config {
    /// No services yet; attached natively to all interfaces of the adc node.
    pub fn new(topology: &Topology) -> Self {
        Self {
            interfaces: topology.interface_names(),
            vip_interface: None,
            attach: "native",
            self_check: 1,
            metrics: ([127, 0, 0, 1], 9551).into(),
            monitors: Vec::new(),
            pools: Vec::new(),
            services: Vec::new(),
            extra: String::new(),
            node: "lb-a".into(),
            directory: topology.directory().to_owned(),
            pin_path: topology.pin_path().to_owned(),
        }
    }

    /// For one of several nodes: its own name, directories and pins.
    #[must_use]
    pub fn of_node(mut self, name: &str) -> Self {
        name.clone_into(&mut self.node);
        self.directory.push(name);
        self.pin_path.push(name);
        self
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Adds a monitor.
    #[must_use]
    pub fn monitor(mut self, name: &str, monitor: Monitor) -> Self {
        self.monitors.push((name.to_owned(), monitor));
        self
    }

    /// Adds a pool; no monitor name = not monitored.
    #[must_use]
    pub fn pool(mut self, name: &str, monitors: &[&str], backends: Vec<Backend>) -> Self {
        let monitors = monitors.iter().map(|&monitor| monitor.to_owned()).collect();
        let pool = Pool {
            monitors,
            backends,
            ..Pool::default()
        };
        self.pools.push((name.to_owned(), pool));
        self
    }

    /// Adds a service.
    #[must_use]
    pub fn service(
        mut self,
        name: &str,
        vip: impl Into<SocketAddr>,
        protocol: &'static str,
        pool: &str,
    ) -> Self {
        let service = Service {
            vip: vip.into(),
            protocol,
            pool: pool.to_owned(),
            ports: None,
            mode: "nat",
            extra: String::new(),
        };
        self.services.push((name.to_owned(), service));
        self
    }

    /// With another mode for the service added last.
    #[must_use]
    pub fn mode(mut self, mode: &'static str) -> Self {
        if let Some((_, service)) = self.services.last_mut() {
            service.mode = mode;
        }
        self
    }

    /// With a range of ports, or `any`, for the service added last.
    #[must_use]
    pub fn ports(mut self, ports: &'static str) -> Self {
        if let Some((_, service)) = self.services.last_mut() {
            service.ports = Some(ports);
        }
        self
    }

    /// All services so far in mode `full-nat`, from these addresses.
    #[must_use]
    pub fn full_nat(mut self, addresses: &[IpAddr]) -> Self {
        let quoted: Vec<_> = addresses.iter().map(|a| format!("\"{a}\"")).collect();
        for (_, service) in &mut self.services {
            service.mode = "full-nat";
            service.extra = format!("snat = [{}]", quoted.join(", "));
        }
        self
    }

    /// A pool by name.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn pool_mut(&mut self, name: &str) -> &mut Pool {
        let found = self.pools.iter_mut().find(|(other, _)| other == name);
        match found {
            Some((_, pool)) => pool,
            None => panic!("no pool {name} in this configuration"),
        }
    }

    /// Where the agent's control socket will be.
    pub fn socket(&self) -> PathBuf {
        self.run_dir().join("control.sock")
    }

    /// Where the agent keeps runtime edits.
    pub fn state_dir(&self) -> PathBuf {
        self.directory.join("state")
    }

    /// Where the agent's socket and lock are.
    pub fn run_dir(&self) -> PathBuf {
        self.directory.join("run")
    }

    /// Where it pins.
    pub fn pin_path(&self) -> &Path {
        &self.pin_path
    }

    /// The file.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let (state, run) = (self.state_dir(), self.run_dir());
        line!(text, "[node]\nname = \"{}\"", self.node);
        line!(text, "state_dir = \"{}\"", state.display());
        line!(text, "run_dir = \"{}\"", run.display());
        line!(text, "\n[dataplane]\ninterfaces = {:?}", self.interfaces);
        line!(text, "attach = {:?}", self.attach);
        if let Some(name) = &self.vip_interface {
            line!(text, "vip_interface = {name:?}");
        }
        line!(text, "pin_path = \"{}\"", self.pin_path.display());
        line!(text, "self_check = {}", self.self_check);
        line!(text, "\n[metrics]\nlisten = \"{}\"", self.metrics);
        for (name, monitor) in &self.monitors {
            monitor.write(name, &mut text);
        }
        for (name, pool) in &self.pools {
            pool.write(name, &mut text);
        }
        for (name, service) in &self.services {
            service.write(name, &mut text);
        }
        text.push_str(&self.extra);
        text
    }
}

impl Monitor {
    fn write(&self, name: &str, to: &mut String) {
        line!(to, "\n[monitor.{name}]\ntype = {:?}", self.kind);
        line!(to, "interval = \"{}ms\"", self.interval.as_millis());
        line!(to, "timeout = \"{}ms\"", self.timeout.as_millis());
        line!(to, "rise = {}\nfall = {}", self.rise, self.fall);
        if let Some(path) = self.path {
            line!(to, "path = {path:?}");
        }
    }
}

impl Pool {
    fn write(&self, name: &str, to: &mut String) {
        line!(to, "\n[pool.{name}]\nmonitors = {:?}", self.monitors);
        if let Some(on_down) = self.on_down {
            line!(to, "on_down = {on_down:?}");
        }
        for backend in &self.backends {
            line!(to, "[[pool.{name}.backends]]\nname = {:?}", backend.name);
            let address = match backend.address.port() {
                0 => backend.address.ip().to_string(),
                _ => backend.address.to_string(),
            };
            line!(to, "address = {address:?}\nweight = {}", backend.weight);
        }
    }
}

impl Service {
    fn write(&self, name: &str, to: &mut String) {
        let (vip, port) = (self.vip.ip(), self.vip.port());
        line!(to, "\n[service.{name}]\nvip = \"{vip}\"");
        match self.ports {
            Some(ports) => line!(to, "port = {ports:?}"),
            None => line!(to, "port = {port}"),
        }
        line!(
            to,
            "protocol = {:?}\npool = {:?}\nmode = {:?}",
            self.protocol,
            self.pool,
            self.mode
        );
        if !self.extra.is_empty() {
            line!(to, "{}", self.extra);
        }
    }
}
