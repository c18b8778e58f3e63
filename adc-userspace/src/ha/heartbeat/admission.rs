//! Which well-formed heartbeats are believed: the peer's, of its present life, each once. Pure.
//!
//! Time plays no part. A life has a number that only grows ([`Boot`]), and in a life each heartbeat has a number that only
//! grows, so what was recorded is recognised whenever it is sent again, whatever the clocks of the two nodes say.

use super::packet::{Boot, Echo, Heartbeat, NodeId};
use super::refusal::Refusal;

/// What was taken from the peer so far.
#[derive(Clone, Debug)]
pub struct Admission {
    own: NodeId,
    peer: NodeId,
    boot: Boot,
    /// Highest sequence number taken, by path.
    taken: Vec<Option<u64>>,
}

impl Admission {
    /// For a node with so many paths.
    pub fn new(own: NodeId, peer: NodeId, paths: usize) -> Self {
        Self {
            own,
            peer,
            boot: Boot(0),
            taken: vec![None; paths],
        }
    }

    /// Whether a heartbeat that came by `path` is news; it is noted if so.
    ///
    /// # Errors
    /// Why it is not.
    pub fn admit(&mut self, path: usize, heartbeat: &Heartbeat) -> Result<(), Refusal> {
        if heartbeat.node == self.own {
            return Err(Refusal::OwnNode);
        }
        if heartbeat.node != self.peer {
            return Err(Refusal::UnknownNode);
        }
        if usize::from(heartbeat.path) != path || path >= self.taken.len() {
            return Err(Refusal::OtherPath);
        }
        if heartbeat.boot < self.boot {
            return Err(Refusal::StaleBoot);
        }
        if heartbeat.boot > self.boot {
            self.boot = heartbeat.boot;
            self.taken.fill(None);
        }
        if self.taken[path].is_some_and(|taken| heartbeat.seq <= taken) {
            return Err(Refusal::Replayed);
        }
        self.taken[path] = Some(heartbeat.seq);
        Ok(())
    }

    /// What was last heard, for the heartbeats that go back.
    pub fn echo(&self) -> Echo {
        Echo {
            boot: self.boot,
            seq: self.taken.iter().copied().flatten().max().unwrap_or(0),
        }
    }
}

/// The number of a life that begins at `now`, milliseconds since 1970, after one with the number `last`: higher than that,
/// also when the clock was set back in between.
pub fn next_boot(now: u64, last: Boot) -> Boot {
    Boot(now.max(last.0.saturating_add(1)).max(1))
}

#[cfg(test)]
mod tests;
