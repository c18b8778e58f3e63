//! FRR: zebra, bgpd and bfdd, as the daemons of a node.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
};

use super::{NODES_AS, ROUTER_AS, TABLE};
use crate::{net::Namespace, process::Process, wait::eventually};

/// Where Debian puts the daemons.
const DAEMONS: &str = "/usr/lib/frr";

/// zebra, bgpd and bfdd.
#[derive(Debug)]
pub struct Frr {
    daemons: Vec<Process>,
}

impl Frr {
    /// Whether it is installed.
    ///
    /// # Errors
    /// What to do if it is not.
    pub fn installed() -> Result<(), String> {
        let missing = ["zebra", "bgpd", "bfdd"]
            .into_iter()
            .find(|daemon| !Path::new(DAEMONS).join(daemon).is_file());
        missing.map_or(Ok(()), |daemon| {
            Err(format!(
                "needs FRR's {daemon}; `cargo xtask setup` installs it"
            ))
        })
    }

    /// Starts the three in a namespace, which announce adc's table to the router.
    ///
    /// # Panics
    /// If they are not installed, or do not start.
    #[track_caller]
    pub fn start(
        namespace: &Namespace,
        id: Ipv4Addr,
        router: Ipv4Addr,
        bfd: bool,
        directory: &Path,
    ) -> Self {
        let directory = directory.join("frr");
        fs::create_dir_all(&directory).expect("making a directory for FRR");
        let configs = [
            ("zebra", format!("ip import-table {TABLE}\n")),
            ("bfdd", bfdd(router)),
            ("bgpd", bgpd(id, router, bfd)),
        ];
        let daemons = configs.map(|(name, config)| spawn(namespace, name, &config, &directory));
        Self {
            daemons: daemons.into(),
        }
    }

    /// SIGKILL: no BGP session is closed.
    pub fn kill9(&mut self) {
        for daemon in &mut self.daemons {
            daemon.kill9();
        }
    }
}

/// Starts one of the daemons; zebra listens when this returns.
#[track_caller]
pub(super) fn spawn(namespace: &Namespace, name: &str, config: &str, directory: &Path) -> Process {
    let file = |extension: &str| directory.join(format!("{name}.{extension}"));
    fs::write(file("conf"), config).expect("writing FRR's configuration");
    let mut command = daemon(name, directory);
    command
        .arg("-f")
        .arg(file("conf"))
        .arg("-i")
        .arg(file("pid"));
    if name == "bfdd" {
        command.arg("--bfdctl").arg(directory.join("bfd.sock"));
    }
    let process = Process::spawn(namespace, name, &mut command, directory);
    let socket = match name {
        "zebra" => directory.join("zserv.sock"),
        _ => directory.join(format!("{name}.vty")),
    };
    let what = format!("{name} listens");
    eventually(super::LONG, &what, || socket.exists());
    process
}

/// As root, so that the files may be in a directory of root's.
fn daemon(name: &str, directory: &Path) -> Command {
    let mut command = Command::new(PathBuf::from(DAEMONS).join(name));
    command.args(["-u", "root", "-g", "frrvty", "-P", "0", "--log", "stdout"]);
    command.arg("--vty_socket").arg(directory);
    command.arg("-z").arg(directory.join("zserv.sock"));
    command
}

fn bfdd(router: Ipv4Addr) -> String {
    format!(
        "bfd
 peer {router}
  receive-interval 300
  transmit-interval 300
  detect-multiplier 3
"
    )
}

/// Routes of other origin than BIRD's would not be as good, and the router would not use both.
fn bgpd(id: Ipv4Addr, router: Ipv4Addr, bfd: bool) -> String {
    let no = if bfd { "" } else { "no " };
    format!(
        "router bgp {NODES_AS}
 bgp router-id {id}
 no bgp ebgp-requires-policy
 neighbor {router} remote-as {ROUTER_AS}
 neighbor {router} timers connect 1
 {no}neighbor {router} bfd
 address-family ipv4 unicast
  redistribute table {TABLE} route-map VIPS
  neighbor {router} route-map NOTHING in
 exit-address-family
route-map VIPS permit 10
 set origin igp
route-map NOTHING deny 10
"
    )
}
