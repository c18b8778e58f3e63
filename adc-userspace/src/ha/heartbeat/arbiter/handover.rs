//! Giving a group away: what people ask for, and how the new active node and the old one serve side by side for a while.

use std::time::Instant;

use super::{
    Arbiter, Seen, Why,
    rules::{self, Demand},
};
use crate::ha::Role;

/// What people ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Give the group to the peer, if that has this node's flows and is configured alike.
    Failover,
    /// The same, and it may be asked for again: nobody ordered it.
    Part,
    /// Give the group to the peer, whatever flows it has and however it is configured: this node stops.
    Leave,
    /// Do not become active, whatever happens.
    Hold,
    /// Forget [`Command::Hold`], and that a failover was asked for.
    Release,
}

/// Why a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// There is nothing to give.
    #[error("this node is not active for the group: ask the node that is")]
    NotActive,
    /// The peer would not take it.
    #[error("the peer would not take the group ({0}): `adc ha status` there says more")]
    PeerUnable(&'static str),
}

impl Arbiter {
    /// Takes a wish of people's.
    ///
    /// # Errors
    /// It can not be granted; nothing has changed.
    pub fn command(
        &mut self,
        command: Command,
        seen: &Seen,
        now: Instant,
    ) -> Result<(), CommandError> {
        match command {
            Command::Hold => self.held = true,
            Command::Release => (self.held, self.resting) = (false, false),
            Command::Failover => {
                self.give(seen, now, Demand::Alike)?;
                self.resting = true;
            }
            // Groups that belong together are better off with a peer that is configured otherwise than on two nodes.
            Command::Part => self.give(seen, now, Demand::InSync)?,
            Command::Leave => {
                self.give(seen, now, Demand::Able)?;
                self.resting = true;
            }
        }
        Ok(())
    }

    /// Begins to give the group away, if the peer is what is demanded.
    fn give(&mut self, seen: &Seen, now: Instant, demand: Demand) -> Result<(), CommandError> {
        if self.role != Role::Active {
            return Err(CommandError::NotActive);
        }
        rules::taker(seen, demand).map_err(CommandError::PeerUnable)?;
        self.begin_to_yield(now);
        Ok(())
    }

    /// Since when it has been telling the peer that it may take the group.
    pub(super) fn yields(&self, now: Instant) -> Option<Instant> {
        self.yields.filter(|since| *since <= now)
    }

    /// Not before what the peer may serve of the last hand-over must be over: groups that go to and fro would otherwise have
    /// two active nodes for as long as they do.
    pub(super) fn begin_to_yield(&mut self, now: Instant) {
        let free = self
            .given
            .map_or(now, |given| given + self.rules.foreign_lease());
        self.yields.get_or_insert(free.max(now));
    }

    /// The peer is active. If it was asked to be, what hosts still send here until they know is served a little longer: not
    /// for longer than a lease from when it was asked, so there are not two nodes for longer than that.
    pub(super) fn give_way(&mut self, now: Instant) {
        let Some(asked) = self.yields(now) else {
            return self.become_backup(Why::Superseded);
        };
        let rest = self.lease.map(|lease| lease.min(asked + self.rules.lease));
        self.become_backup(Why::Given);
        self.lease = rest;
    }
}
