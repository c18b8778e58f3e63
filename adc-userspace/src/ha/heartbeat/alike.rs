//! What both nodes of a pair must be configured with alike, as one number.

use sha2::{Digest as _, Sha256};

use crate::model::Config;

/// Hash of what decides where a packet goes: services, pools, monitors, and the timings of the heartbeat. Names of
/// interfaces, keys' places and the like are each node's own.
///
/// A peer with another hash is alarmed, not obeyed: it is given no group on request or by preemption, as it would serve that
/// in another way. It takes over from a node that is silent, unfit or stops, as any other.
pub fn config_hash(config: &Config) -> u64 {
    let heartbeat = config.ha.heartbeat.as_ref();
    let timing = heartbeat.map(|heartbeat| (heartbeat.profile, heartbeat.paths.len()));
    let alike = (&config.services, &config.pools, &config.monitors, timing);
    // Maps are ordered by key, so the text of what is alike is alike. It always becomes JSON: its keys are strings.
    let text = serde_json::to_vec(&alike).unwrap_or_default();
    let mut first = [0; 8];
    first.copy_from_slice(&Sha256::digest(&text)[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    fn hash(interface: &str, port: u16) -> u64 {
        let text = format!(
            "[dataplane]\ninterfaces = [\"{interface}\"]\n[pool.web]\nbackends = [{{ address = \"10.0.0.11:80\" }}]\n\
             [service.www]\nvip = \"203.0.113.10\"\nport = {port}\npool = \"web\"\n"
        );
        config_hash(&parse(&text, Path::new("adc.toml")).unwrap())
    }

    #[test]
    fn what_packets_see_must_be_alike_and_interfaces_need_not() {
        assert_eq!(hash("eth0", 80), hash("ens5", 80));
        assert_ne!(hash("eth0", 80), hash("eth0", 81));
    }
}
