//! Gates: what comes in by a link is dropped when they close, and the link stays up.

use std::{net::Ipv4Addr, thread};

use super::outsider::HEARTBEAT_PORT;
use crate::net::{Link, Namespace};

/// Can drop what comes in by a link.
pub(super) struct Gate {
    namespace: Namespace,
    /// The kernel's table, one for each gate.
    table: String,
    /// What it drops, in nftables' words; "" = everything.
    drops: Vec<String>,
}

impl Gate {
    /// Drops everything.
    pub(super) fn to_all(link: &Link) -> Self {
        Self::open(link, vec![String::new()])
    }

    /// Drops heartbeats.
    pub(super) fn to_heartbeats(link: &Link) -> Self {
        Self::open(link, vec![heartbeats()])
    }

    /// Drops heartbeats, and what is for this host.
    pub(super) fn to_heartbeats_and(host: Ipv4Addr, link: &Link) -> Self {
        Self::open(link, vec![heartbeats(), format!("ip daddr {host}")])
    }

    fn open(link: &Link, drops: Vec<String>) -> Self {
        let gate = Self {
            namespace: link.namespace.clone(),
            table: format!("drill-{}", link.name),
            drops,
        };
        let device = format!("\"{}\"", link.name);
        let hook = format!("{{ type filter hook ingress device {device} priority 0; }}");
        gate.nft(&["add", "table", "netdev", &gate.table]);
        gate.nft(&["add", "chain", "netdev", &gate.table, "in", &hook]);
        gate
    }

    fn close(&self) {
        let rule = |what| format!("add rule netdev {} in {what} drop", self.table);
        let rules: Vec<String> = self.drops.iter().map(rule).collect();
        self.nft(&[&rules.join("; ")]);
    }

    fn nft(&self, arguments: &[&str]) {
        self.namespace.run("nft", arguments);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.nft(&["delete", "table", "netdev", &self.table]);
    }
}

fn heartbeats() -> String {
    format!("udp dport {HEARTBEAT_PORT}")
}

/// Closes them all at the same time, as far as a program that does it can: it takes milliseconds to start.
pub(super) fn close(gates: &[Gate]) {
    thread::scope(|scope| {
        for gate in gates {
            scope.spawn(|| gate.close());
        }
    });
}
