//! What becomes of connections when their backend goes down: `on_down`.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use adc_tests::{
    agent::{Agent, Backend, Config, Monitor},
    drive::UdpClient,
    require,
    scene::{ECHO_PORT, HTTP_PORT, WWW, WWW6},
    serve::{self, TcpServer, UdpEcho},
    topology::{BackendHost, Topology},
    wait::eventually,
};

/// Time for the agent to ask the ends, and for their answers.
const REACTION: Duration = Duration::from_secs(3);
/// A monitor that looks at a port which is not the one that clients use.
const ELSEWHERE: &str = "\n[monitor.elsewhere]\ntype = \"http\"\ninterval = \"200ms\"\ntimeout = \"150ms\"\npath = \"/healthz\"\nport = 8080\n";

/// How connections ended at a server.
type Ends = Arc<Mutex<Vec<ErrorKind>>>;

/// Says its name, then sends back whatever it receives; notes how connections break.
fn named_echo(host: &BackendHost, ends: &Ends) -> TcpServer {
    let (name, ends) = (host.name.clone(), Arc::clone(ends));
    TcpServer::start(&host.namespace, ECHO_PORT, move |mut stream| {
        let mut buffer = [0; 64];
        if stream.write_all(name.as_bytes()).is_err() {
            return;
        }
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => {
                    if stream.write_all(&buffer[..length]).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    ends.lock().unwrap().push(error.kind());
                    return;
                }
            }
        }
    })
}

/// An idle connection, and the name of the backend that has it.
struct Idle {
    stream: TcpStream,
    backend: String,
}

impl Idle {
    fn open(topology: &Topology, vip: SocketAddr) -> Self {
        let mut stream = topology
            .client
            .enter(|| TcpStream::connect_timeout(&vip, Duration::from_secs(5)))
            .unwrap();
        let patience = Monitor::tcp().detection_bound() + REACTION;
        stream.set_read_timeout(Some(patience)).unwrap();
        let mut name = [0; 4];
        stream.read_exact(&mut name).unwrap();
        Self {
            stream,
            backend: String::from_utf8_lossy(&name).into_owned(),
        }
    }

    /// Says nothing, and waits for what comes.
    fn fate(&mut self) -> ErrorKind {
        match self.stream.read(&mut [0; 8]) {
            Ok(length) => panic!("{length} bytes that nobody sent"),
            Err(error) => error.kind(),
        }
    }

    fn works(&mut self) -> bool {
        let mut answer = [0; 5];
        self.stream.write_all(b"hello").is_ok()
            && self.stream.read_exact(&mut answer).is_ok()
            && &answer == b"hello"
    }
}

fn config(topology: &Topology, on_down: &'static str) -> Config {
    let hosts = &topology.backends;
    let v4 = hosts.iter().map(|host| Backend::v4(host, ECHO_PORT));
    let v6 = hosts.iter().map(|host| Backend::v6(host, ECHO_PORT));
    let mut config = Config::new(topology)
        .monitor("tcp", Monitor::tcp())
        .pool("web", &["tcp"], v4.collect())
        .pool("web6", &["tcp"], v6.collect())
        .service("www", WWW, "tcp", "web")
        .service("www6", WWW6, "tcp", "web6");
    for (_, pool) in &mut config.pools {
        pool.on_down = Some(on_down);
    }
    config
}

struct Scene {
    agent: Agent,
    _servers: Vec<TcpServer>,
    ends: Ends,
    topology: Topology,
}

fn scene(change: impl FnOnce(&Topology) -> Config) -> Scene {
    let topology = Topology::two_arm(2);
    let ends = Ends::default();
    let servers = topology.backends.iter();
    let servers = servers.map(|host| named_echo(host, &ends)).collect();
    let config = change(&topology);
    let agent = Agent::start(&topology, &config);
    for (name, _) in &config.pools {
        agent.wait_for_available(name, 2);
    }
    Scene {
        agent,
        _servers: servers,
        ends,
        topology,
    }
}

impl Scene {
    /// Idle connections over both families, those of the first backend and the others.
    fn connections(&self, count: usize) -> (Vec<Idle>, Vec<Idle>) {
        let vips = [WWW, WWW6].into_iter().cycle();
        let all = vips.take(count).map(|vip| Idle::open(&self.topology, vip));
        let (first, others): (Vec<_>, Vec<_>) = all.partition(|idle| idle.backend == "web1");
        assert!(!first.is_empty() && !others.is_empty());
        (first, others)
    }

    fn wait_until_down(&self) {
        for pool in ["web", "web6"] {
            self.agent.wait_for_available(pool, 1);
        }
    }
}

#[test]
fn reset_ends_idle_connections_of_a_backend_that_vanished() {
    require!(namespaces, agent);
    let scene = scene(|topology| config(topology, "reset"));
    let (mut lost, mut kept) = scene.connections(40);
    let dead = &scene.topology.backends[0].namespace;
    dead.ip(&["link", "set", "eth0", "down"]);
    for idle in &mut lost {
        assert_eq!(idle.fate(), ErrorKind::ConnectionReset);
    }
    for idle in &mut kept {
        assert!(idle.works());
    }
    // The same clients are served at once.
    for _ in 0..4 {
        assert_eq!(Idle::open(&scene.topology, WWW).backend, "web2");
    }
}

/// Its service is down and its machine is not: the server must not wait for clients that are gone either.
#[test]
fn reset_ends_both_ends_of_connections_whose_backend_still_lives() {
    require!(namespaces, agent);
    let mut http = Vec::new();
    let scene = scene(|topology| {
        http.extend(
            topology
                .backends
                .iter()
                .map(|host| serve::http(host, HTTP_PORT)),
        );
        let mut config = config(topology, "reset");
        for (_, pool) in &mut config.pools {
            pool.monitors = vec!["elsewhere".into()];
        }
        config.extra = ELSEWHERE.into();
        config
    });
    let (mut lost, mut kept) = scene.connections(20);
    drop(http.remove(0));
    for idle in &mut lost {
        assert_eq!(idle.fate(), ErrorKind::ConnectionReset);
    }
    let wanted = vec![ErrorKind::ConnectionReset; lost.len()];
    // The other end is asked again with the next sweep, should the first question have been lost.
    eventually(
        Duration::from_secs(8),
        "the server's ends are reset",
        || *scene.ends.lock().unwrap() == wanted,
    );
    for idle in &mut kept {
        assert!(idle.works());
    }
}

#[test]
fn keep_lets_a_connection_go_on_when_its_backend_returns() {
    require!(namespaces, agent);
    let scene = scene(|topology| config(topology, "keep"));
    let (bound, _) = scene.connections(16);
    let mut bound: Vec<Idle> = bound
        .into_iter()
        .filter(|idle| idle.stream.peer_addr().unwrap().is_ipv4())
        .collect();
    let dead = &scene.topology.backends[0].namespace;
    dead.ip(&["link", "set", "eth0", "down"]);
    scene.wait_until_down();
    dead.ip(&["link", "set", "eth0", "up"]);
    // Taking a link down takes its routes away.
    let gateway = adc_tests::topology::GATEWAY_V4.1.to_string();
    dead.ip(&["route", "replace", "default", "via", &gateway]);
    scene.agent.wait_for_available("web", 2);
    for idle in &mut bound {
        assert!(idle.works());
    }
}

#[test]
fn reselect_moves_udp_to_a_living_backend() {
    require!(namespaces, agent);
    let topology = Topology::two_arm(2);
    let hosts = &topology.backends;
    let http: Vec<_> = hosts
        .iter()
        .map(|host| serve::http(host, HTTP_PORT))
        .collect();
    let echo: Vec<_> = hosts
        .iter()
        .map(|host| UdpEcho::start(host, ECHO_PORT))
        .collect();
    let backends = hosts.iter().map(|host| Backend::v4(host, ECHO_PORT));
    let mut config = Config::new(&topology)
        .pool("dns", &["elsewhere"], backends.collect())
        .service("dns", WWW, "udp", "dns");
    config.extra = ELSEWHERE.into();
    config.pool_mut("dns").on_down = Some("reselect");
    let agent = Agent::start(&topology, &config);
    agent.wait_for_available("dns", 2);
    let clients: Vec<(UdpClient, String)> = (0..16)
        .map(|_| UdpClient::open(&topology.client, WWW))
        .map(|client| {
            let name = client.exchange(b"first").unwrap();
            (client, name)
        })
        .collect();
    assert!(clients.iter().any(|(_, name)| name == "web1"));
    hosts[0].namespace.ip(&["link", "set", "eth0", "down"]);
    agent.wait_for_available("dns", 1);
    for (client, _) in &clients {
        assert_eq!(client.exchange(b"second").unwrap(), "web2");
    }
    drop((http, echo));
}
