//! What the HA thread and the heartbeat's thread tell each other of the groups that the heartbeat decides about.
//!
//! The heartbeat's thread never waits for it: if the other one holds it, that thread may not be running just now.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError, TryLockError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{
    ha::{
        Role,
        heartbeat::{
            arbiter::{Command, CommandError, Memory, Why},
            packet::{Claim, GroupId},
        },
        saved::monotonic,
    },
    model::GroupName,
};

/// What the HA thread knows of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ha) struct Brief {
    /// With what tracked things add.
    pub(in crate::ha) priority: u8,
    /// Nothing that is tracked keeps this node from being active.
    pub(in crate::ha) fit: bool,
    /// It takes the group from an active peer of lower priority.
    pub(in crate::ha) preempt: bool,
    /// After so long.
    pub(in crate::ha) preempt_delay: Duration,
    /// It moves with the others that have the same here.
    pub(in crate::ha) sync_group: Option<GroupId>,
}

/// What the heartbeat's thread decided about a group.
#[derive(Clone, Copy, Debug)]
pub(in crate::ha) struct Ruling {
    /// What this node says of itself.
    pub(in crate::ha) claim: Claim,
    /// Why its role is what it is.
    pub(in crate::ha) why: Why,
    /// It gives the group away, or is about to.
    pub(in crate::ha) gives: bool,
    /// It handed the group over on demand, and leaves it where it is.
    pub(in crate::ha) resting: bool,
    /// Until when the data plane serves the group.
    pub(in crate::ha) lease: Option<Instant>,
    /// What the peer said last, if it is heard.
    pub(in crate::ha) peer: Option<Claim>,
}

/// An order, and where its outcome goes.
pub(super) struct Wish {
    pub(super) group: GroupName,
    pub(super) command: Command,
    pub(super) reply: oneshot::Sender<Result<(), CommandError>>,
}

/// What the heartbeat decided about a group, for the program that takes the keeper's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::ha) struct SavedCase {
    pub(in crate::ha) group: GroupName,
    active: bool,
    term: u64,
    held: bool,
    resting: bool,
    /// For how long the data plane serves the group, if it does.
    lease: Option<Duration>,
    /// When that was, by the monotonic clock.
    at: Duration,
}

#[derive(Default)]
pub(super) struct Sheets {
    pub(super) briefs: BTreeMap<GroupName, Brief>,
    /// The briefs are others than those that were last read.
    pub(super) changed: bool,
    pub(super) wishes: Vec<Wish>,
    /// The data plane may be another one than before.
    pub(super) reopen: bool,
    /// What groups were before this process became another program.
    pub(super) saved: BTreeMap<GroupName, SavedCase>,
    /// Who waits for all that to have been read.
    pub(super) readers: Vec<oneshot::Sender<()>>,
    pub(super) rulings: BTreeMap<GroupName, Ruling>,
    /// How often the HA thread has come.
    pub(super) visits: u64,
}

impl SavedCase {
    /// For the arbiter.
    pub(super) fn memory(&self, now: Instant) -> Memory {
        let since = monotonic().saturating_sub(self.at);
        let left = self.lease.and_then(|lease| lease.checked_sub(since));
        Memory {
            active: self.active,
            term: self.term,
            held: self.held,
            resting: self.resting,
            lease: left.map(|left| now + left),
        }
    }
}

/// The docket.
#[derive(Default)]
pub(in crate::ha) struct Docket(Mutex<Sheets>);

impl Docket {
    /// For the HA thread.
    fn open(&self) -> MutexGuard<'_, Sheets> {
        let mut sheets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sheets.visits = sheets.visits.wrapping_add(1);
        sheets
    }

    /// For the heartbeat's thread; `None` = somebody else has it now.
    pub(super) fn peek(&self) -> Option<MutexGuard<'_, Sheets>> {
        match self.0.try_lock() {
            Ok(sheets) => Some(sheets),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Says what is known of a group.
    pub(in crate::ha) fn brief(&self, group: &GroupName, brief: Brief) {
        let mut sheets = self.open();
        if sheets.briefs.insert(group.clone(), brief) != Some(brief) {
            sheets.changed = true;
        }
    }

    /// A group is not this node's any more: the heartbeat says nothing of it from now on, and the peer takes it.
    pub(in crate::ha) fn drop_group(&self, group: &GroupName) {
        let mut sheets = self.open();
        sheets.changed |= sheets.briefs.remove(group).is_some();
        sheets.rulings.remove(group);
    }

    /// The data plane may be another one: leases are written anew.
    pub(in crate::ha) fn reopen(&self) {
        self.open().reopen = true;
    }

    /// What was decided, as of `at` by the monotonic clock.
    pub(in crate::ha) fn save(&self, now: Instant, at: Duration) -> Vec<SavedCase> {
        let sheets = self.open();
        let saved = sheets.rulings.iter().map(|(group, ruling)| SavedCase {
            group: group.clone(),
            active: ruling.claim.role == Role::Active,
            term: ruling.claim.term,
            held: ruling.claim.held,
            resting: ruling.resting,
            lease: ruling
                .lease
                .map(|until| until.saturating_duration_since(now)),
            at,
        });
        saved.collect()
    }

    /// Has groups go on as they were.
    pub(in crate::ha) fn restore(&self, cases: Vec<SavedCase>) {
        let cases = cases.into_iter().map(|case| (case.group.clone(), case));
        self.open().saved.extend(cases);
    }

    /// What was decided last.
    pub(in crate::ha) fn ruling(&self, group: &GroupName) -> Option<Ruling> {
        self.open().rulings.get(group).copied()
    }

    /// Whether this node is giving any group away.
    pub(in crate::ha) fn any_giving(&self) -> bool {
        let sheets = self.open();
        let mut rulings = sheets.rulings.values();
        rulings.any(|ruling| ruling.gives)
    }

    /// Whether this node still serves what hosts send here that do not know yet who has the group.
    pub(in crate::ha) fn any_trailing(&self) -> bool {
        let sheets = self.open();
        let mut rulings = sheets.rulings.values();
        rulings.any(|ruling| ruling.claim.role != Role::Active && ruling.lease.is_some())
    }

    /// Waits until what was said so far has been read, and a heartbeat went out after that.
    pub(in crate::ha) async fn settled(&self) {
        // Twice: the heartbeat that belongs to the first reading is out when the second begins.
        for _ in 0..2 {
            let (read, reader) = oneshot::channel();
            self.open().readers.push(read);
            // The thread has ended: there is nothing to wait for.
            drop(reader.await);
        }
    }

    /// Asks for something; the answer comes before the next heartbeat.
    pub(in crate::ha) fn wish(
        &self,
        group: &GroupName,
        command: Command,
    ) -> oneshot::Receiver<Result<(), CommandError>> {
        let (reply, answer) = oneshot::channel();
        self.open().wishes.push(Wish {
            group: group.clone(),
            command,
            reply,
        });
        answer
    }
}
