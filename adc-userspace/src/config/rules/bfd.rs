//! What must hold between BFD sessions, and between them and what follows them.

use std::collections::HashMap;

use super::{
    super::{error::Fault, words::closest},
    place::{Breach, Place},
};
use crate::{
    bfd::{self, MAX_SESSIONS},
    model::{BfdName, Config, GroupName},
};

pub(super) fn check(config: &Config, breaches: &mut Vec<Breach>) {
    let mut known = HashMap::new();
    for (name, session) in &config.bfd {
        // Two sessions with one address are told apart by nothing but the interface (RFC 5881 §3).
        let path = (session.peer, &session.interface);
        if let Some(first) = known.insert(path, name) {
            let problem = "two systems have one session on a link, and with this peer it is";
            let fault = Fault::new(problem).value(session.peer.to_string());
            let other = Place::Bfd(first.clone(), "peer");
            breaches.push(Breach::new(Place::Bfd(name.clone(), "peer"), fault).with(other));
        }
    }
    let count = bfd::wanted(config).len();
    if count > MAX_SESSIONS {
        let fault = Fault::new("makes too many BFD sessions").value(count.to_string());
        let allowed = "256 in all: one per [[bfd]], and one per address of backends whose pool has a monitor of type bfd";
        let session = config.bfd.keys().next_back().cloned();
        let pool = config.pools.keys().next().cloned();
        let pool = pool.map(|pool| Place::Pool(pool, "monitors"));
        let at = pool.or_else(|| session.map(|name| Place::Bfd(name, "peer")));
        breaches.extend(at.map(|at| Breach::new(at, fault.allowed(allowed))));
    }
}

/// A group tracks a session that is not there.
pub(super) fn missing(group: &GroupName, session: &BfdName, config: &Config) -> Breach {
    let sessions = config.bfd.keys().map(BfdName::as_str);
    let fault = Fault::new("there is no session [[bfd]] of this name")
        .value(session.as_str())
        .did_you_mean(closest(session.as_str(), sessions));
    Breach::new(Place::Group(group.clone(), "track"), fault)
}
