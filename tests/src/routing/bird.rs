//! BIRD 2, as the router and as the daemon of a node.

use std::{
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
    process::Command,
};

use super::{NODES_AS, ROUTER_AS, TABLE};
use crate::{net::Namespace, process::Process, require::find_program};

/// A running BIRD.
#[derive(Debug)]
pub struct Bird {
    process: Process,
}

impl Bird {
    /// Starts it in a namespace; files of this name go to `directory`.
    ///
    /// # Panics
    /// If it is not installed.
    #[track_caller]
    pub fn start(namespace: &Namespace, name: &str, config: &str, directory: &Path) -> Self {
        let program = find_program("bird").expect("bird is installed");
        let file = |extension: &str| directory.join(format!("{name}.{extension}"));
        fs::write(file("conf"), config).expect("writing bird.conf");
        let mut command = Command::new(program);
        command.arg("-f").arg("-c").arg(file("conf"));
        command
            .arg("-s")
            .arg(file("ctl"))
            .arg("-P")
            .arg(file("pid"));
        Self {
            process: Process::spawn(namespace, name, &mut command, directory),
        }
    }

    /// SIGKILL: no BGP session is closed.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }
}

/// The router: every VIP by all nodes that announce it.
pub fn router_config(
    id: Ipv4Addr,
    id6: Ipv6Addr,
    nodes: &[(Ipv4Addr, Ipv6Addr)],
    bfd: bool,
) -> String {
    let bfd = if bfd { "on" } else { "off" };
    let mut text = format!(
        "router id {id};
protocol device {{ }}
protocol bfd {{ interface \"*\" {{ interval 300 ms; multiplier 3; }}; }}
protocol kernel {{ ipv4 {{ import none; export all; }}; merge paths on; }}
protocol kernel {{ ipv6 {{ import none; export all; }}; merge paths on; }}
template bgp node {{
  local as {ROUTER_AS};
  connect delay time 1;
  connect retry time 1;
  error wait time 1, 5;
  bfd {bfd};
}}
"
    );
    for (number, (v4, v6)) in nodes.iter().enumerate() {
        write!(
            text,
            "protocol bgp node{number} from node {{
  neighbor {v4} as {NODES_AS};
  ipv4 {{ import all; export none; }};
}}
protocol bgp node{number}v6 from node {{
  source address {id6};
  neighbor {v6} as {NODES_AS};
  ipv6 {{ import all; export none; }};
}}
"
        )
        .unwrap_or_default();
    }
    text
}

/// A node: what adc has put into its table, and nothing else.
pub fn node_config(id: Ipv4Addr, id6: Ipv6Addr, router: (Ipv4Addr, Ipv6Addr), bfd: bool) -> String {
    let bfd = if bfd { "on" } else { "off" };
    let (router4, router6) = router;
    format!(
        "router id {id};
ipv4 table vips4;
ipv6 table vips6;
protocol device {{ }}
protocol bfd {{ interface \"*\" {{ interval 300 ms; multiplier 3; }}; }}
protocol kernel adc4 {{
  kernel table {TABLE};
  learn;
  ipv4 {{ table vips4; import all; export none; }};
}}
protocol kernel adc6 {{
  kernel table {TABLE};
  learn;
  ipv6 {{ table vips6; import all; export none; }};
}}
template bgp uplink {{
  local as {NODES_AS};
  connect delay time 1;
  connect retry time 1;
  error wait time 1, 5;
  bfd {bfd};
}}
protocol bgp uplink4 from uplink {{
  source address {id};
  neighbor {router4} as {ROUTER_AS};
  ipv4 {{ table vips4; import none; export all; next hop self; }};
}}
protocol bgp uplink6 from uplink {{
  source address {id6};
  neighbor {router6} as {ROUTER_AS};
  ipv6 {{ table vips6; import none; export all; next hop self; }};
}}
"
    )
}
