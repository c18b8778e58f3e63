//! PROXY protocol headers, read by nginx: what it takes for its client, through real stacks and lossy networks.

use std::{
    fs::{self, File},
    io::{ErrorKind, Read as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    thread,
    time::Duration,
};

use adc_tests::{
    agent::{Agent, Backend, Config},
    drive::get_in,
    require,
    scene::{HTTP_PORT, WWW, WWW6},
    serve::Nginx,
    topology::{CLIENT_V4, CLIENT_V6, Topology, VIP_V6},
};

/// The balancer's own addresses towards the backends.
const LOCAL: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 2, 0, 100)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 2, 0, 0, 0, 0, 0, 0x100)),
];
/// An IPv6 VIP of IPv4 backends.
const WWW64: SocketAddr = SocketAddr::new(IpAddr::V6(VIP_V6), 8064);

const MIB: u64 = 1 << 20;

/// A monitor that a server passes which wants PROXY headers.
const MONITOR: &str = "\n[monitor.proxied]\ntype = \"http\"\npath = \"/healthz\"\nsend_proxy = true\ninterval = \"200ms\"\ntimeout = \"150ms\"\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Nat,
    FullNat,
}

impl Mode {
    fn vips(self) -> Vec<SocketAddr> {
        match self {
            Self::Nat => vec![WWW, WWW6],
            Self::FullNat => vec![WWW, WWW6, WWW64],
        }
    }
}

/// One nginx that wants headers, behind services that send them.
struct Place {
    _agent: Agent,
    nginx: Nginx,
    topology: Topology,
}

impl Place {
    fn new(mode: Mode, monitors: &[&str]) -> Self {
        let topology = Topology::two_arm(1);
        let host = &topology.backends[0];
        let nginx = Nginx::start_proxied(host, HTTP_PORT, topology.directory());
        let mut config = Config::new(&topology)
            .pool("web", monitors, vec![Backend::v4(host, HTTP_PORT)])
            .pool("web6", monitors, vec![Backend::v6(host, HTTP_PORT)])
            .service("www", WWW, "tcp", "web")
            .service("www6", WWW6, "tcp", "web6");
        if mode == Mode::FullNat {
            config = config
                .service("www64", WWW64, "tcp", "web")
                .full_nat(&LOCAL);
        }
        for (_, service) in &mut config.services {
            service.extra += "\nproxy_protocol = \"v2\"";
        }
        config.extra += MONITOR;
        let agent = Agent::start(&topology, &config);
        agent.wait_for_available("web", 1);
        agent.wait_for_available("web6", 1);
        Self {
            _agent: agent,
            nginx,
            topology,
        }
    }

    fn curl(&self, arguments: &[&str]) -> String {
        let patient = ["-gfsS", "--max-time", "60"];
        self.topology
            .client
            .run("curl", &[patient.as_slice(), arguments].concat())
    }

    /// `bytes` of noise to the server and back.
    fn there_and_back(&self, vip: SocketAddr, bytes: u64) {
        let directory = self.topology.directory();
        let (noise, back) = (directory.join("noise"), directory.join("back"));
        let mut random = File::open("/dev/urandom").unwrap().take(bytes);
        std::io::copy(&mut random, &mut File::create(&noise).unwrap()).unwrap();
        let url = format!("http://{vip}/files/stored");
        let path = |path: &Path| path.display().to_string();
        self.curl(&["-T", &path(&noise), &url]);
        self.curl(&["-o", &path(&back), &url]);
        let wanted = fs::read(&noise).unwrap();
        assert!(
            fs::read(self.nginx.file("stored")).unwrap() == wanted,
            "upload through {vip}"
        );
        assert!(fs::read(&back).unwrap() == wanted, "download through {vip}");
        fs::remove_file(self.nginx.file("stored")).unwrap();
    }
}

/// The server is told of the client as the client knows itself.
fn names_the_client(mode: Mode) {
    let place = Place::new(mode, &["proxied"]);
    for vip in mode.vips() {
        let url = format!("http://{vip}/");
        let told = place.curl(&["-w", "%{local_ip} %{local_port}", &url]);
        let (told, own) = told.split_once('\n').expect("two lines");
        assert_eq!(told, format!("{own} {} {}", vip.ip(), vip.port()));
        place.there_and_back(vip, 16 * MIB);
    }
}

#[test]
fn nginx_is_told_the_client_in_mode_nat() {
    require!(namespaces, agent, "nginx", "curl");
    names_the_client(Mode::Nat);
}

#[test]
fn nginx_is_told_the_client_in_mode_full_nat_and_behind_nat64() {
    require!(namespaces, agent, "nginx", "curl");
    names_the_client(Mode::FullNat);
}

#[test]
fn a_lossy_network_delays_headers_and_streams_but_harms_neither() {
    require!(namespaces, agent, "nginx", "curl", "nft");
    let place = Place::new(Mode::FullNat, &[]);
    let lose = |namespace: &adc_tests::net::Namespace| {
        namespace.run("nft", &["add table inet loss { chain input { type filter hook input priority 0; meta l4proto tcp numgen random mod 16 == 0 drop; }; }"]);
    };
    lose(&place.topology.client);
    lose(&place.topology.backends[0].namespace);
    for vip in Mode::FullNat.vips() {
        let client = match vip.ip() {
            IpAddr::V4(_) => IpAddr::V4(CLIENT_V4),
            IpAddr::V6(_) => IpAddr::V6(CLIENT_V6),
        };
        let ask = || {
            for _ in 0..6 {
                let namespace = &place.topology.client;
                let answer = get_in(namespace, vip, "/", Duration::from_mins(1)).unwrap();
                assert!(answer.body.starts_with(&format!("{client} ")), "{answer:?}");
            }
        };
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(ask);
            }
        });
        place.there_and_back(vip, MIB / 4);
    }
}

#[test]
fn a_refusal_reaches_the_client_at_once() {
    require!(namespaces, agent, "nginx", "curl");
    let mut place = Place::new(Mode::FullNat, &[]);
    place.nginx.kill9();
    for vip in Mode::FullNat.vips() {
        let namespace = &place.topology.client;
        let error = get_in(namespace, vip, "/", Duration::from_secs(20)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{vip}: {error}");
    }
}
