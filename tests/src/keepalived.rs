//! The real keepalived, as the other router of a group.

use std::{
    fmt::Write as _,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::Duration,
};

use crate::{net::Link, process::Process, require::find_program};

/// It sends its last adverts, takes its addresses off, and waits a second for its IGMP messages.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// One `vrrp_instance` per address family, with a sync group around both.
#[derive(Clone, Debug)]
pub struct Router {
    /// 2 or 3.
    pub version: u8,
    /// Virtual router id.
    pub vrid: u8,
    /// 1 to 254.
    pub priority: u8,
    /// Time between adverts.
    pub interval: Duration,
    /// Whether a lower priority is left alone.
    pub nopreempt: bool,
    /// Addresses that move.
    pub vips: Vec<IpAddr>,
    /// Where adverts go, instead of to the multicast group.
    pub peers: Vec<IpAddr>,
    /// Addresses that adverts come from, if there are peers.
    pub sources: Vec<IpAddr>,
    /// Whether the addresses are at the virtual router's MAC.
    pub virtual_mac: bool,
}

/// A running keepalived.
#[derive(Debug)]
pub struct Keepalived {
    link: Link,
    process: Process,
}

impl Router {
    /// Version 3, priority 100, every 100 ms, multicast.
    pub fn new(vrid: u8, vips: &[IpAddr]) -> Self {
        Self {
            version: 3,
            vrid,
            priority: 100,
            interval: Duration::from_millis(100),
            nopreempt: false,
            vips: vips.to_vec(),
            peers: Vec::new(),
            sources: Vec::new(),
            virtual_mac: false,
        }
    }

    fn text(&self) -> String {
        let mut text =
            String::from("global_defs {\n  router_id other\n  vrrp_skip_check_adv_addr\n}\n");
        let mut instances = Vec::new();
        for (v4, name) in [(true, "V4"), (false, "V6")] {
            let of = |all: &[IpAddr]| -> Vec<String> {
                let family = all.iter().filter(|address| address.is_ipv4() == v4);
                family.map(ToString::to_string).collect()
            };
            let vips = of(&self.vips);
            if vips.is_empty() {
                continue;
            }
            instances.push(name);
            write!(
                text,
                "vrrp_instance {name} {{\n  state BACKUP\n  interface eth0\n  virtual_router_id {}\n  \
                 version {}\n  priority {}\n  advert_int {}\n",
                self.vrid,
                self.version,
                self.priority,
                self.interval.as_secs_f64()
            )
            .unwrap_or_default();
            if self.virtual_mac {
                text.push_str("  use_vmac\n");
            }
            if self.nopreempt {
                text.push_str("  nopreempt\n");
            }
            let (peers, sources) = (of(&self.peers), of(&self.sources));
            if !peers.is_empty() {
                let (source, peers) = (sources.join(" "), peers.join("\n    "));
                write!(
                    text,
                    "  unicast_src_ip {source}\n  unicast_peer {{\n    {peers}\n  }}\n"
                )
                .unwrap_or_default();
            }
            let vips = vips.join("\n    ");
            write!(text, "  virtual_ipaddress {{\n    {vips}\n  }}\n}}\n").unwrap_or_default();
        }
        if instances.len() > 1 {
            let instances = instances.join("\n    ");
            write!(
                text,
                "vrrp_sync_group BOTH {{\n  group {{\n    {instances}\n  }}\n}}\n"
            )
            .unwrap_or_default();
        }
        text
    }
}

impl Keepalived {
    /// Starts it on `link`, which is called `eth0`; files go to `directory`.
    ///
    /// # Panics
    /// If it is not installed.
    #[track_caller]
    pub fn start(link: &Link, router: &Router, directory: &Path) -> Self {
        let program = find_program("keepalived").expect("keepalived is installed");
        let file = |name: &str| -> PathBuf { directory.join(name) };
        let config = file("keepalived.conf");
        fs::write(&config, router.text()).expect("writing keepalived.conf");
        let mut command = Command::new(program);
        command
            .args(["--dont-fork", "--log-console", "--log-detail", "--vrrp"])
            .arg("--use-file")
            .arg(&config)
            .arg("--pid")
            .arg(file("keepalived.pid"))
            .arg("--vrrp_pid")
            .arg(file("keepalived-vrrp.pid"));
        let process = Process::spawn(&link.namespace, "keepalived", &mut command, directory);
        Self {
            link: link.clone(),
            process,
        }
    }

    /// Whether it has an address.
    pub fn has(&self, address: IpAddr) -> bool {
        self.link.addresses().contains(&address)
    }

    /// Everything it has said.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// SIGTERM, and waits for the end.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.process.terminate(STOP_TIMEOUT)
    }

    /// SIGKILL, parent and child: the addresses stay.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }
}
