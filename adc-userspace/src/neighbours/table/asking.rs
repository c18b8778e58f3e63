//! Which neighbours the kernel must be asked to resolve or confirm, and when.

use std::time::{Duration, Instant};

use super::{super::lower, HopKey, Nud, Table};

/// A neighbour in need that was asked for is left alone for this long; the kernel itself asks three times,
/// one second apart (`ucast_solicit`, `mcast_solicit`, `retrans_time_ms`).
const PATIENCE: Duration = Duration::from_secs(1);

/// A neighbour that failed is asked for again this often, so that a host that comes back is found although
/// nothing but XDP traffic goes there. Three broadcasts per silent host and try.
const RETRY: Duration = Duration::from_secs(5);

/// One thing to ask the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Whom to ask for.
    pub key: HopKey,
    /// What to ask.
    pub ask: Ask,
}

/// What the kernel is asked to do about a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Find its MAC (by broadcast or multicast).
    Resolve,
    /// Confirm the MAC it has (by unicast).
    Confirm,
}

impl Table {
    /// At most `limit` questions that are due at `now`; they count as asked.
    ///
    /// Only neighbours behind a usable path are asked for: a question into a dead link fails for sure.
    pub fn questions(&mut self, now: Instant, limit: usize) -> Vec<Question> {
        let mut due = Vec::new();
        let mut settled = Vec::new();
        for &key in &self.attention {
            if due.len() == limit {
                break;
            }
            let Some((ask, pause)) = self.need(key) else {
                settled.push(key);
                continue;
            };
            let waited = self
                .asked_at
                .get(&key)
                .is_none_or(|at| now.saturating_duration_since(*at) >= pause);
            if waited {
                due.push(Question { key, ask });
            }
        }
        for key in settled {
            self.attention.remove(&key);
        }
        for question in &due {
            self.asked_at.insert(question.key, now);
            if let Some(entry) = self.neighbours.get_mut(&question.key) {
                entry.asked = entry.held;
            }
        }
        due
    }

    /// Whether any neighbour may need a question, so that the caller wakes up again.
    pub fn has_attention(&self) -> bool {
        !self.attention.is_empty()
    }

    /// What to ask about a neighbour, and how long after the last question at the earliest.
    fn need(&self, key: HopKey) -> Option<(Ask, Duration)> {
        if !self.users.contains_key(&key)
            || lower::exit(&self.links, &self.attached, key.ifindex).is_err()
        {
            return None;
        }
        let entry = self.neighbours.get(&key);
        match entry.map_or(Nud::None, |entry| entry.state) {
            Nud::None => Some((Ask::Resolve, PATIENCE)),
            Nud::Stale => Some((Ask::Confirm, PATIENCE)),
            Nud::Failed => match entry {
                Some(entry) if entry.held && !entry.asked => Some((Ask::Resolve, Duration::ZERO)),
                Some(_) | None => Some((Ask::Resolve, RETRY)),
            },
            // The kernel is at it and will report how it ends; or there is nothing to ask.
            Nud::Incomplete
            | Nud::Delay
            | Nud::Probe
            | Nud::Reachable
            | Nud::Noarp
            | Nud::Permanent => None,
        }
    }
}
