//! Whether the agent is there, as the keeper can tell: by its connection, and by what comes over it. Pure.

use std::time::Instant;

use super::heartbeat::runner::AGENT_PATIENCE;

/// What is known of the agent.
#[derive(Clone, Copy, Debug)]
pub(super) struct AgentPresence {
    connections: usize,
    /// When the last connection closed.
    went: Instant,
    /// When it last said that it works, or connected.
    said: Instant,
}

impl AgentPresence {
    /// Nobody is there yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            connections: 0,
            went: now,
            said: now,
        }
    }

    /// An agent connected.
    pub(super) fn came(&mut self, now: Instant) {
        self.connections += 1;
        self.said = now;
    }

    /// A connection closed.
    pub(super) fn went(&mut self, now: Instant) {
        self.connections = self.connections.saturating_sub(1);
        self.went = now;
    }

    /// The agent says that it works.
    pub(super) fn said(&mut self, now: Instant) {
        self.said = now;
    }

    /// Since when no agent works; `None` = one does. One that is connected and hangs is none: it checks no backend.
    pub(super) fn away_since(&self, now: Instant) -> Option<Instant> {
        if self.connections == 0 {
            return Some(self.went);
        }
        let silent = now.saturating_duration_since(self.said);
        (silent >= AGENT_PATIENCE).then_some(self.said)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_agent_is_away_from_the_end_of_its_last_connection_or_from_its_last_word() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut agent = AgentPresence::new(start);
        assert_eq!(agent.away_since(at(500)), Some(start), "nobody came");
        agent.came(at(1_000));
        agent.said(at(2_000));
        assert_eq!(agent.away_since(at(4_999)), None, "it may be busy");
        assert_eq!(agent.away_since(at(5_000)), Some(at(2_000)), "it hangs");
        agent.said(at(6_000));
        assert_eq!(agent.away_since(at(6_001)), None, "it goes on");
        // Its successor connects before it goes.
        agent.came(at(7_000));
        agent.went(at(7_100));
        assert_eq!(agent.away_since(at(9_999)), None);
        agent.went(at(10_000));
        assert_eq!(agent.away_since(at(10_001)), Some(at(10_000)));
        // A new one has not had time to say anything.
        agent.came(at(60_000));
        assert_eq!(agent.away_since(at(60_000)), None);
    }
}
