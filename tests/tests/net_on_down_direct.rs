//! What becomes of connections whose backend goes down and had answered clients directly: `on_down` with `dsr-l2` and
//! `dsr-ipip`.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use adc_tests::{
    agent::{Agent, Backend, Config, Monitor},
    direct_return::{decapsulate, nth_vip, take_vips, wake_port},
    process::Process,
    require,
    scene::ECHO_PORT,
    serve::TcpServer,
    topology::{BackendHost, Topology, VIP_V4, VIP_V6},
};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Says its name, then sends back whatever it receives.
fn named_echo(host: &BackendHost) -> TcpServer {
    let name = host.name.clone();
    TcpServer::start(&host.namespace, ECHO_PORT, move |mut stream| {
        let mut buffer = [0; 64];
        if stream.write_all(name.as_bytes()).is_err() {
            return;
        }
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..length]).is_err() {
                return;
            }
        }
    })
}

/// A connection, and the name of the backend that has it.
struct Connection {
    stream: TcpStream,
    backend: String,
}

impl Connection {
    fn open(topology: &Topology, vip: SocketAddr) -> Self {
        let connect = || TcpStream::connect_timeout(&vip, TIMEOUT);
        let mut stream = topology.client.enter(connect).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut name = [0; 4];
        stream.read_exact(&mut name).unwrap();
        Self {
            stream,
            backend: String::from_utf8_lossy(&name).into_owned(),
        }
    }

    /// What comes of a word from the client.
    fn says(&mut self) -> Result<(), ErrorKind> {
        let mut answer = [0; 5];
        self.stream
            .write_all(b"hello")
            .and_then(|()| self.stream.read_exact(&mut answer))
            .map_err(|error| error.kind())?;
        assert_eq!(&answer, b"hello");
        Ok(())
    }
}

struct Scene {
    agent: Agent,
    _servers: Vec<TcpServer>,
    _programs: Vec<Process>,
    /// One for each mode and family.
    vips: Vec<SocketAddr>,
    topology: Topology,
}

fn scene(on_down: &'static str) -> Scene {
    let topology = Topology::one_arm(2);
    let mut programs = vec![wake_port(&topology.switch_port, topology.directory())];
    let bases = [IpAddr::V4(VIP_V4), IpAddr::V6(VIP_V6)];
    let tunnelled = bases.map(|base| nth_vip(base, 1));
    let all = [bases, tunnelled].concat();
    let mut servers = Vec::new();
    for host in &topology.backends {
        take_vips(host, &all);
        programs.push(decapsulate(host, &tunnelled, topology.directory()));
        servers.push(named_echo(host));
    }
    let mut config = Config::new(&topology).monitor("tcp", Monitor::tcp());
    for (n, vip) in all.iter().enumerate() {
        let name = format!("echo{n}");
        let backend = if vip.is_ipv4() {
            Backend::v4
        } else {
            Backend::v6
        };
        let hosts = topology.backends.iter();
        let backends = hosts.map(|host| backend(host, ECHO_PORT)).collect();
        let mode = if tunnelled.contains(vip) {
            "dsr-ipip"
        } else {
            "dsr-l2"
        };
        config = config
            .pool(&name, &["tcp"], backends)
            .service(&name, SocketAddr::new(*vip, ECHO_PORT), "tcp", &name)
            .mode(mode);
        config.pool_mut(&name).on_down = Some(on_down);
    }
    let agent = Agent::start(&topology, &config);
    let scene = Scene {
        agent,
        _servers: servers,
        _programs: programs,
        vips: all
            .into_iter()
            .map(|vip| SocketAddr::new(vip, ECHO_PORT))
            .collect(),
        topology,
    };
    scene.wait_for_available(2);
    scene
}

impl Scene {
    fn wait_for_available(&self, backends: usize) {
        for n in 0..self.vips.len() {
            self.agent.wait_for_available(&format!("echo{n}"), backends);
        }
    }

    /// Connections to every VIP; the first backend dies; what is left of them when their clients speak.
    fn first_backend_dies(&self) {
        let open = |vip: &SocketAddr| {
            let all = (0..12).map(|_| Connection::open(&self.topology, *vip));
            let (first, others): (Vec<_>, Vec<_>) = all.partition(|one| one.backend == "web1");
            assert!(!first.is_empty() && !others.is_empty(), "{vip}");
            (*vip, first, others)
        };
        let connections: Vec<_> = self.vips.iter().map(open).collect();
        let dead = &self.topology.backends[0].namespace;
        dead.ip(&["link", "set", "eth0", "down"]);
        self.wait_for_available(1);
        for (vip, mut lost, mut kept) in connections {
            for connection in &mut lost {
                assert_eq!(connection.says(), Err(ErrorKind::ConnectionReset), "{vip}");
            }
            for connection in &mut kept {
                assert_eq!(connection.says(), Ok(()), "{vip}");
            }
            for _ in 0..4 {
                let mut again = Connection::open(&self.topology, vip);
                assert_eq!(again.backend, "web2", "{vip}");
                assert_eq!(again.says(), Ok(()), "{vip}");
            }
        }
    }

    fn packets(&self, reason: &str) -> u64 {
        let labels = [("reason", reason)];
        self.agent.metrics().sum("adc_packets_total", &labels)
    }
}

#[test]
fn reset_answers_the_next_packet_of_a_client_whose_backend_died() {
    require!(namespaces, agent);
    let scene = scene("reset");
    scene.first_backend_dies();
    assert!(scene.packets("backend_down_reset") > 0);
    assert_eq!(scene.packets("picked_up_flow"), 0, "nobody else was asked");
}

#[test]
fn reselect_lets_another_backend_end_a_connection() {
    require!(namespaces, agent);
    let scene = scene("reselect");
    scene.first_backend_dies();
    assert_eq!(scene.packets("backend_down_reset"), 0);
    assert!(scene.packets("picked_up_flow") > 0);
}
