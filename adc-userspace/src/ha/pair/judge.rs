//! Decides about every group in the heartbeat's thread, and writes what follows for the data plane.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use tokio::sync::mpsc;

use super::{
    Decision, PairEvent,
    attendance::Attendance,
    docket::{Brief, Docket, Ruling, SavedCase, Sheets},
    witness::Answers,
};
use crate::{
    ha::{
        Role,
        heartbeat::{
            arbiter::{Arbiter, Command, CommandError, Local, Rules, Seen},
            detector::Verdict,
            packet::{Claim, GroupId, NodeId, SyncState},
            runner::{Judge, Judgement, Statement, View},
        },
        leases::Leases,
        together::{Held, gives_way},
    },
    model::{GroupName, Timing},
};

/// The judge of a pair.
pub(super) struct PairJudge {
    pub(super) own: NodeId,
    pub(super) peer: NodeId,
    pub(super) timing: Timing,
    pub(super) docket: Arc<Docket>,
    /// Whether the HA thread comes to it.
    pub(super) attendance: Attendance,
    pub(super) witness: Option<Answers>,
    pub(super) leases: Leases,
    pub(super) events: mpsc::Sender<PairEvent>,
    pub(super) cases: Vec<Case>,
    /// Since when groups that move together are apart, by sync group.
    pub(super) apart: BTreeMap<GroupId, Instant>,
}

/// Detection times for which groups that move together may be apart: a hand-over takes two at most.
const APART: u32 = 4;

/// One group.
pub(super) struct Case {
    name: GroupName,
    group: GroupId,
    brief: Brief,
    arbiter: Arbiter,
    lease: Option<Instant>,
    /// Since when the group is given away.
    gives: Option<Instant>,
}

impl Judge for PairJudge {
    fn decide(&mut self, view: &View<'_>) -> Judgement {
        let docket = Arc::clone(&self.docket);
        let mut judgement = Judgement::default();
        let mut sheets = docket.peek();
        if let Some(sheets) = &mut sheets {
            judgement.urgent = self.read(sheets, view);
        }
        let visits = sheets.as_ref().map(|sheets| sheets.visits);
        let attended = self.attendance.look(visits, view.now);
        // An agent that has not said anything yet is not to be taken for one that does not work.
        if view.statement == Statement::default() {
            return judgement;
        }
        let witness = self.witness.as_ref().and_then(Answers::newest);
        for case in &mut self.cases {
            let seen = seen(view, self.peer, case.group);
            let local = Local {
                node: self.own,
                priority: case.brief.priority,
                // What the agent found of the data plane is among what is tracked, and nobody tracks anything if the HA thread
                // hangs: the peer is better off then, if there is one. Alone, this node serves as it did.
                fit: case.brief.fit && (attended || !can_serve(&seen)),
                in_sync: view.statement.sync != SyncState::Pulling,
                witness,
            };
            let outcome = case.arbiter.step(&local, &seen, view.now);
            // Before the heartbeat that tells of it, whichever way it goes.
            let mut granted = false;
            if outcome.lease != case.lease {
                granted = self.leases.set(&case.name, outcome.lease) && outcome.lease.is_some();
                case.lease = outcome.lease;
            }
            let gives = outcome.claim.yields.then(|| case.gives.unwrap_or(view.now));
            let gave = std::mem::replace(&mut case.gives, gives);
            if let Some(why) = outcome.news {
                judgement.urgent = true;
                let decision = Decision {
                    group: case.name.clone(),
                    role: outcome.role,
                    why,
                    last_heard: last_heard(&seen),
                    gave,
                    leased: granted.then(Instant::now),
                    at: view.now,
                };
                // Where there is no room for it, the HA thread finds out from the docket.
                self.events.try_send(PairEvent::Decided(decision)).ok();
            }
            if let Some(sheets) = &mut sheets {
                let present = matches!(seen.verdict, Verdict::Present(_));
                let ruling = Ruling {
                    claim: outcome.claim,
                    why: case.arbiter.why(),
                    gives: case.arbiter.gives(),
                    resting: case.arbiter.rests(),
                    lease: outcome.lease,
                    peer: seen.claim.filter(|_| present),
                };
                sheets.rulings.insert(case.name.clone(), ruling);
            }
            judgement.claims.push(outcome.claim);
        }
        self.mend_apart(view);
        judgement
    }
}

impl PairJudge {
    /// Where groups that move together are apart, the node that comes second gives away what it has.
    fn mend_apart(&mut self, view: &View<'_>) {
        let cases = self.cases.iter();
        let sync_groups: BTreeSet<_> = cases.filter_map(|case| case.brief.sync_group).collect();
        for sync_group in sync_groups {
            let members = self.cases.iter_mut();
            let mut members: Vec<_> = members
                .filter(|case| case.brief.sync_group == Some(sync_group))
                .map(|case| (seen(view, self.peer, case.group), case))
                .collect();
            let held = members.iter().map(|(seen, case)| Held {
                here: case.arbiter.role() == Role::Active,
                there: matches!(seen.verdict, Verdict::Present(_))
                    && seen.claim.is_some_and(|claim| claim.role == Role::Active),
            });
            let held: Vec<_> = held.collect();
            let claims = members.iter().filter_map(|(seen, _)| seen.claim);
            let theirs = claims.map(|claim| claim.priority).max().unwrap_or(0);
            let ours = members.iter().map(|(_, case)| case.brief.priority).max();
            if !gives_way(&held, (theirs, self.peer) > (ours.unwrap_or(0), self.own)) {
                self.apart.remove(&sync_group);
                continue;
            }
            // They move one after the other, and are apart for a moment then.
            let since = *self.apart.entry(sync_group).or_insert(view.now);
            if view.now.saturating_duration_since(since) < self.timing.detection() * APART {
                continue;
            }
            for (seen, case) in &mut members {
                // Refused where it is not active, or the peer would not take it now.
                case.arbiter.command(Command::Part, seen, view.now).ok();
            }
        }
    }

    /// Takes in what the HA thread wants; true = the peer must know at once.
    fn read(&mut self, sheets: &mut Sheets, view: &View<'_>) -> bool {
        let mut urgent = false;
        if std::mem::take(&mut sheets.changed) {
            urgent = self.close_cases(sheets);
            for (name, brief) in &sheets.briefs {
                let saved = sheets.saved.remove(name);
                self.open_or_change(name, *brief, saved, view.now);
            }
        }
        if std::mem::take(&mut sheets.reopen) {
            self.leases.close();
            for case in &self.cases {
                self.leases.set(&case.name, case.lease);
            }
        }
        for reader in sheets.readers.drain(..) {
            // It may have gone.
            reader.send(()).ok();
        }
        for wish in sheets.wishes.drain(..) {
            let case = self.cases.iter_mut().find(|case| case.name == wish.group);
            let done = case.map_or(Err(CommandError::NotActive), |case| {
                let seen = seen(view, self.peer, case.group);
                case.arbiter.command(wish.command, &seen, view.now)
            });
            // Who asked may have gone.
            wish.reply.send(done).ok();
        }
        urgent
    }

    /// Groups that are gone are served no longer, and the heartbeat that follows says nothing of them.
    fn close_cases(&mut self, sheets: &Sheets) -> bool {
        let before = self.cases.len();
        let Self { cases, leases, .. } = self;
        cases.retain(|case| {
            let stays = sheets.briefs.contains_key(&case.name);
            if !stays {
                leases.set(&case.name, None);
            }
            stays
        });
        self.cases.len() != before
    }

    fn open_or_change(
        &mut self,
        name: &GroupName,
        brief: Brief,
        saved: Option<SavedCase>,
        now: Instant,
    ) {
        let rules = Rules::new(
            self.timing,
            brief.preempt,
            brief.preempt_delay,
            self.witness.is_some(),
        );
        if let Some(case) = self.cases.iter_mut().find(|case| case.name == *name) {
            case.arbiter.set_rules(rules);
            case.brief = brief;
            return;
        }
        let group = GroupId::of(name.as_str());
        let arbiter = match saved {
            Some(saved) => Arbiter::resumed(group, rules, now, saved.memory(now)),
            None => Arbiter::new(group, rules, now),
        };
        // What an earlier life of this process granted is over, or goes on.
        let lease = arbiter.lease();
        self.leases.set(name, lease);
        self.cases.push(Case {
            name: name.clone(),
            group,
            brief,
            arbiter,
            lease,
            gives: None,
        });
    }
}

/// Whether the peer is there, and could have the group.
fn can_serve(seen: &Seen) -> bool {
    let works = matches!(seen.verdict, Verdict::Present(presence) if presence.data_plane_ok);
    let takes = |claim: &Claim| matches!(claim.role, Role::Backup | Role::Active) && !claim.held;
    works && seen.claim.as_ref().is_some_and(takes)
}

fn seen(view: &View<'_>, peer: NodeId, group: GroupId) -> Seen {
    Seen {
        verdict: view.detector.verdict(view.now),
        node: peer,
        claim: view.detector.claim(group),
        config_differs: view.config_differs(),
        confirmed: view.confirmed,
    }
}

fn last_heard(seen: &Seen) -> Option<Instant> {
    match seen.verdict {
        Verdict::Waiting => None,
        Verdict::Present(presence) => Some(presence.last),
        Verdict::Silent { last } => last,
    }
}
