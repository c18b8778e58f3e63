//! What this node is for one group, from what is known of the peer. Pure; [`Arbiter::step`] is called whenever a heartbeat
//! comes or goes.
//!
//! While active, the node has a **lease**: the data plane serves the group until then and no longer. The caller writes it
//! before it sends the heartbeat that belongs to the step, and takes it back before it tells that it left. The argument why
//! two nodes are not active for longer than a lease is in ADR 0026.

mod handover;
mod rules;
#[cfg(test)]
mod tests;
mod why;

use std::time::Instant;

use super::{
    detector::Verdict,
    packet::{Claim, GroupId, NodeId},
};
use crate::ha::Role;

pub use handover::{Command, CommandError};
pub use rules::Rules;
pub use why::Why;

/// What the node knows of itself.
#[derive(Clone, Copy, Debug)]
pub struct Local {
    /// Its id.
    pub node: NodeId,
    /// Its priority for the group, tracking included.
    pub priority: u8,
    /// It can serve: its data plane works and nothing that is tracked forbids it.
    pub fit: bool,
    /// It has the flows of its peer, or flows are not replicated.
    pub in_sync: bool,
    /// When the witness was sent the newest question that it answered.
    pub witness: Option<Instant>,
}

/// What it knows of the peer.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Whether it lives.
    pub verdict: Verdict,
    /// Its id.
    pub node: NodeId,
    /// What it said of the group in its newest heartbeat.
    pub claim: Option<Claim>,
    /// It is configured otherwise in what must be alike: it is given nothing that this node can serve itself.
    pub config_differs: bool,
    /// When we sent the newest heartbeat that it says it has heard.
    pub confirmed: Option<Instant>,
}

/// What a group was under an earlier program of the same node.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// It was active.
    pub active: bool,
    /// The highest term that it knew.
    pub term: u64,
    /// People kept it from becoming active.
    pub held: bool,
    /// It was given away on request.
    pub resting: bool,
    /// Until when the data plane serves it.
    pub lease: Option<Instant>,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the node is.
    pub role: Role,
    /// Until when the data plane serves the group; `None` = it does not.
    pub lease: Option<Instant>,
    /// What the next heartbeat says.
    pub claim: Claim,
    /// What happened in this step, if anything did.
    pub news: Option<Why>,
}

/// The state of one group.
#[derive(Clone, Debug)]
pub struct Arbiter {
    group: GroupId,
    rules: Rules,
    role: Role,
    term: u64,
    started: Instant,
    /// When it last decided: with a witness a lease also ends while it runs, if nobody confirms anything.
    decided: Instant,
    lease: Option<Instant>,
    held: bool,
    /// It gave the group away on request: it does not ask for it back.
    resting: bool,
    /// When the peer gave it the group, which the peer serves for a little longer.
    given: Option<Instant>,
    /// Since when it gives the group away, or when it will begin to.
    yields: Option<Instant>,
    /// Since when it could preempt the peer.
    better_since: Option<Instant>,
    /// Since when the active peer says that it does not hear this node.
    unheard_since: Option<Instant>,
    /// Since when the peer has been a backup that does not hear this node.
    deaf_since: Option<Instant>,
    why: Why,
}

impl Arbiter {
    /// For a group whose agent starts now.
    pub fn new(group: GroupId, rules: Rules, now: Instant) -> Self {
        Self {
            group,
            rules,
            role: Role::Init,
            term: 0,
            started: now,
            decided: now,
            lease: None,
            held: false,
            resting: false,
            given: None,
            yields: None,
            better_since: None,
            unheard_since: None,
            deaf_since: None,
            why: Why::Started,
        }
    }

    /// For a group that another program of this node had until now. One whose lease is over begins as backup.
    pub fn resumed(group: GroupId, rules: Rules, now: Instant, memory: Memory) -> Self {
        let role = if memory.active && memory.lease.is_some() {
            Role::Active
        } else {
            Role::Backup
        };
        Self {
            role,
            term: memory.term,
            lease: memory.lease.filter(|_| memory.active),
            held: memory.held,
            resting: memory.resting,
            why: Why::Resumed,
            ..Self::new(group, rules, now)
        }
    }

    /// Until when the data plane serves the group.
    pub fn lease(&self) -> Option<Instant> {
        self.lease
    }

    /// Why the role is what it is.
    pub fn why(&self) -> Why {
        self.why
    }

    /// What the node is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether it gave the group away on request, and does not ask for it back.
    pub fn rests(&self) -> bool {
        self.resting
    }

    /// Whether it gives the group away, or is about to.
    pub fn gives(&self) -> bool {
        self.yields.is_some()
    }

    /// Takes new rules.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Decides anew.
    pub fn step(&mut self, local: &Local, seen: &Seen, now: Instant) -> Outcome {
        let before = (self.role, self.yields.is_some());
        let pause = now.saturating_duration_since(std::mem::replace(&mut self.decided, now));
        if let Some(claim) = &seen.claim {
            self.term = self.term.max(match self.role {
                // The term of one's own activity is compared, not taken over.
                Role::Active => 0,
                Role::Init | Role::Backup | Role::Fault => claim.term,
            });
        }
        match self.role {
            // Whoever was not run for so long must not go on as if nothing had happened.
            Role::Active if self.lease.is_none_or(|lease| lease <= now) => {
                self.become_backup(if pause < self.rules.lease {
                    Why::Isolated
                } else {
                    Why::LeaseLapsed
                });
            }
            Role::Init => self.become_backup(Why::Started),
            Role::Backup if self.lease.is_some_and(|lease| lease <= now) => self.lease = None,
            Role::Active | Role::Backup | Role::Fault => {}
        }
        if local.fit {
            match self.role {
                Role::Fault | Role::Init => self.become_backup(Why::Fit),
                Role::Backup => self.consider(local, seen, now),
                Role::Active => self.keep(local, seen, now),
            }
        } else if self.role != Role::Fault {
            self.become_backup(Why::Unfit);
            self.role = Role::Fault;
        }
        if self.role == Role::Active {
            self.renew(local, seen, now);
        }
        let wants = self.wants(local, seen, now);
        let given_up = before == (Role::Active, true) && self.role == Role::Active;
        let not_taken = given_up && self.yields.is_none();
        let changed = before.0 != self.role || not_taken;
        Outcome {
            role: self.role,
            lease: self.lease,
            claim: Claim {
                group: self.group,
                role: self.role,
                priority: local.priority,
                term: self.term,
                held: self.held,
                yields: self.yields(now).is_some(),
                wants,
            },
            news: changed.then_some(if not_taken { Why::NotTaken } else { self.why }),
        }
    }

    /// As a backup: is it time to become active?
    fn consider(&mut self, local: &Local, seen: &Seen, now: Instant) {
        let stuck = self.is_stuck(seen, now) && self.rules.witness_allows(local, now);
        if self.held {
            return;
        }
        match seen.verdict {
            Verdict::Waiting => {}
            Verdict::Silent { last } => {
                // A peer that was never heard may have been active when this agent started.
                let free = last.unwrap_or(self.started) + self.rules.foreign_lease();
                if now >= free && self.rules.witness_allows(local, now) {
                    self.become_active(Why::PeerSilent, now);
                }
            }
            Verdict::Present(presence) => {
                let stuck = stuck.then_some(Why::PeerUnable);
                if let Some(why) = rules::succeeds(local, seen, presence).or(stuck) {
                    self.become_active(why, now);
                }
            }
        }
    }

    /// Whether the peer, a backup that does not hear this node, does not become active either: it reaches no witness. It would
    /// have by now: its silence was noticed, and this node's lease is over.
    fn is_stuck(&mut self, seen: &Seen, now: Instant) -> bool {
        let is_backup = |claim: &Claim| claim.role == Role::Backup;
        let deaf = matches!(seen.verdict, Verdict::Present(presence) if !presence.hears_us);
        if !deaf || !seen.claim.as_ref().is_some_and(is_backup) {
            self.deaf_since = None;
            return false;
        }
        let since = *self.deaf_since.get_or_insert(now);
        now.saturating_duration_since(since) >= self.rules.handover()
    }

    /// As the active one: is there a reason to stop?
    fn keep(&mut self, local: &Local, seen: &Seen, now: Instant) {
        let Verdict::Present(presence) = seen.verdict else {
            (self.yields, self.unheard_since) = (None, None);
            return;
        };
        let Some(claim) = &seen.claim else {
            return;
        };
        if claim.role == Role::Active {
            let ahead = (claim.term, rules::rank(claim.priority, seen.node));
            if ahead > (self.term, rules::rank(local.priority, local.node)) {
                self.term = claim.term;
                self.give_way(now);
                return;
            }
        }
        let deaf_rival = claim.role == Role::Active && !presence.hears_us;
        if deaf_rival {
            // Not at once: the first heartbeats after a cut say so on both sides, and both would step back.
            let since = *self.unheard_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= self.rules.doubt() {
                self.become_backup(Why::Unheard);
            }
            return;
        }
        self.unheard_since = None;
        if let Some(since) = self.yields {
            let waited = now.saturating_duration_since(since);
            if waited >= self.rules.handover() || rules::taker(seen, rules::Demand::Able).is_err() {
                (self.yields, self.resting) = (None, false);
            }
        } else if claim.wants && rules::taker(seen, rules::Demand::Alike).is_ok() {
            self.begin_to_yield(now);
        }
    }

    /// Whether this backup would preempt the active peer, for long enough. It is the active node that begins the hand-over.
    fn wants(&mut self, local: &Local, seen: &Seen, now: Instant) -> bool {
        let could = self.role == Role::Backup
            && self.rules.preempt
            && !self.held
            && !self.resting
            && local.in_sync
            && matches!(seen.verdict, Verdict::Present(presence) if presence.hears_us)
            && seen
                .claim
                .is_some_and(|claim| claim.role == Role::Active && local.priority > claim.priority);
        if !could {
            self.better_since = None;
            return false;
        }
        let since = *self.better_since.get_or_insert(now);
        now.saturating_duration_since(since) >= self.rules.preempt_delay
    }

    fn renew(&mut self, local: &Local, seen: &Seen, now: Instant) {
        let base = self.rules.lease_base(local, seen, now);
        let lease = base.map(|base| base + self.rules.lease);
        if lease.is_some_and(|lease| lease > now) {
            self.lease = lease;
        } else {
            self.become_backup(Why::Isolated);
        }
    }

    fn become_active(&mut self, why: Why, now: Instant) {
        self.role = Role::Active;
        self.term = self.term.saturating_add(1);
        self.why = why;
        self.given = (why == Why::HandedOver).then_some(now);
        (self.resting, self.yields) = (false, None);
        (self.better_since, self.unheard_since, self.deaf_since) = (None, None, None);
    }

    fn become_backup(&mut self, why: Why) {
        self.role = Role::Backup;
        self.why = why;
        self.lease = None;
        (self.given, self.yields) = (None, None);
        (self.unheard_since, self.deaf_since) = (None, None);
    }
}
