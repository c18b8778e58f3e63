//! BFD sessions of an agent: how they are configured, and what it says of them.

use std::net::IpAddr;

use serde_json::Value;

use crate::{
    agent::Agent,
    routing::BfdTiming,
    topology::{GATEWAY_V4, GATEWAY_V6},
};

/// 50 ms x 3: what is said to be noticed within 150 ms.
pub const FAST: BfdTiming = BfdTiming {
    interval: 50,
    multiplier: 3,
};

/// Slow enough that a busy machine does not take it for dead.
pub const CALM: BfdTiming = BfdTiming {
    interval: 300,
    multiplier: 5,
};

/// A table of the configuration.
pub fn session(name: &str, peer: IpAddr, timing: BfdTiming) -> String {
    let BfdTiming {
        interval,
        multiplier,
    } = timing;
    format!(
        "\n[[bfd]]\nname = \"{name}\"\npeer = \"{peer}\"\ninterface = \"eth0\"\ninterval = \"{interval}ms\"\nmultiplier = {multiplier}\n"
    )
}

/// What an agent says of a session.
///
/// # Panics
/// If it has none of that name.
#[track_caller]
pub fn status(agent: &Agent, name: &str) -> Value {
    let view = agent.json(&["bfd", "status"]);
    let mut sessions = view["sessions"].as_array().into_iter().flatten();
    let found = sessions.find(|session| session["name"] == name);
    found
        .unwrap_or_else(|| panic!("no session {name}: {view}"))
        .clone()
}

/// Whether it says that a session is up.
pub fn is_up(agent: &Agent, name: &str) -> bool {
    status(agent, name)["state"] == "up"
}

/// Packets that it ignored for a reason.
pub fn refused(agent: &Agent, name: &str, reason: &str) -> u64 {
    let status = status(agent, name);
    status["counters"]["refused"][reason].as_u64().unwrap_or(0)
}

/// Own addresses of the node that peers are told.
pub fn own(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => GATEWAY_V4.0.into(),
        IpAddr::V6(_) => GATEWAY_V6.0.into(),
    }
}
