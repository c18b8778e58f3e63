//! The state machine of a group: one virtual router id, one role, one or two address families.
//!
//! RFC 9568 §6.4 has a state machine per family. Ours share a role: the families are two ways to hear the same
//! neighbour, so a group takes over when **all** of them are silent, and gives up when **one** tells of a better router.
//! Two routers of equal priority are told apart by address in one family only, the first that both can be heard in:
//! else one would win in each, and both would give up.
//!
//! Takes the time as an argument and does nothing: [`Instance::step`] says what is to be done, in order.

use std::{net::IpAddr, time::Instant};

use super::{
    Action, Announcements, Family, Heard, Input, Order, Timing, Tracking,
    timing::{MISSED, OWNER},
    wire::Wire,
};
use crate::ha::Role;

/// The state machine.
#[derive(Clone, Debug)]
pub struct Instance {
    pub(super) timing: Timing,
    pub(super) wires: Vec<Wire>,
    pub(super) tracking: Tracking,
    pub(super) started: bool,
    /// The addresses are on, and whether to keep them is not decided yet.
    pub(super) resuming: bool,
    /// What people asked for and that lasts: to stand back (`Hold`), or to leave who is active alone (`Failover`).
    pub(super) standing: Option<Order>,
    pub(super) role: Role,
    /// Since when.
    pub(super) since: Instant,
    /// Active: when the next advert is due.
    pub(super) advert_at: Instant,
    /// Active: when an answer to a lower priority was last sent.
    pub(super) answered: Option<Instant>,
    /// Active: announcements to come.
    pub(super) announce: Announcements,
    pub(super) repaired: Option<Instant>,
    /// Why it can not be active, as of now.
    pub(super) fault: Option<String>,
    /// Backup: from when on a lower priority is not accepted any more.
    pub(super) preempt_at: Option<Instant>,
}

impl Instance {
    /// A group that has not started, in the given families.
    pub fn new(now: Instant, timing: Timing, families: &[Family]) -> Self {
        let wire = |family: &Family| Wire {
            family: *family,
            own: Err(format!("its {} address is not known yet", family.name())),
            active_interval: timing.interval,
            down_at: now,
            last: None,
        };
        Self {
            wires: families.iter().map(wire).collect(),
            timing,
            tracking: Tracking::default(),
            started: false,
            resuming: false,
            standing: None,
            role: Role::Init,
            since: now,
            advert_at: now,
            answered: None,
            announce: Announcements::default(),
            repaired: None,
            fault: None,
            preempt_at: None,
        }
    }

    /// Why this node can not be active; `None` if it can.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// What this node is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether the addresses are to be on: active, or about to say so.
    pub fn carries(&self) -> bool {
        self.role == Role::Active || self.resuming
    }

    /// Whether people want this node not to be active.
    pub fn held(&self) -> bool {
        self.standing == Some(Order::Hold)
    }

    /// Whether the role was handed over on demand, and is left where it is.
    pub fn yielded(&self) -> bool {
        self.standing == Some(Order::Failover)
    }

    /// The priority with what tracking adds; an owner's is never changed (RFC 9568 §6.1).
    pub fn priority(&self) -> u8 {
        if self.timing.priority == OWNER {
            return OWNER;
        }
        let sum = i32::from(self.timing.priority).saturating_add(self.tracking.weight);
        u8::try_from(sum.clamp(1, 254)).unwrap_or(1)
    }

    /// The last advert of each family, and when it came.
    pub fn last_heard(&self) -> impl Iterator<Item = (Instant, Heard)> {
        self.wires.iter().filter_map(|wire| wire.last)
    }

    /// The address that adverts of a family are sent from.
    pub fn own(&self, family: Family) -> Option<IpAddr> {
        let wire = self.wires.iter().find(|wire| wire.family == family)?;
        wire.own.clone().ok()
    }

    /// Until when the data plane serves the group if nothing more happens; `None` = it does not.
    ///
    /// An active node's lease counts from its last advert and is as long as the shortest wait of a backup (RFC 9568 §6.1:
    /// three intervals, and a skew): whoever stops sending stops serving before another begins.
    pub fn lease(&self) -> Option<Instant> {
        match self.role {
            Role::Active => Some(self.advert_at + self.timing.interval * (MISSED - 1)),
            // Found with its addresses on: it serves until it knows better.
            Role::Backup if self.resuming => {
                let decided = self.deadline()?;
                Some(decided + self.timing.interval)
            }
            Role::Init | Role::Backup | Role::Fault => None,
        }
    }

    /// When [`Input::Timer`] is due, if nothing else happens before.
    pub fn deadline(&self) -> Option<Instant> {
        match self.role {
            Role::Init | Role::Fault => None,
            Role::Backup if self.held() => None,
            Role::Backup => self.wires.iter().map(|wire| wire.down_at).max(),
            Role::Active => {
                let announce = self.announce.at();
                Some(announce.map_or(self.advert_at, |at| at.min(self.advert_at)))
            }
        }
    }

    /// Takes in what happened and says what is to be done.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        let before = self.priority();
        match input {
            Input::Started { resume } => {
                self.started = true;
                self.resuming = resume;
            }
            Input::Stopped => {
                self.started = false;
                self.leave(
                    now,
                    Role::Init,
                    "the agent stops".into(),
                    true,
                    &mut actions,
                );
            }
            Input::Advert(heard) => self.heard(now, heard, &mut actions),
            Input::Timer => self.timer(now, &mut actions),
            Input::Tracking(tracking) => self.tracking = tracking,
            Input::LetGo(why) => self.let_go(now, why, &mut actions),
            Input::Link(family, own) => {
                for wire in self.wires.iter_mut().filter(|wire| wire.family == family) {
                    wire.own.clone_from(&own);
                }
            }
            Input::Timing(timing) => self.retime(now, timing),
            Input::Order(order) => self.order(now, order, &mut actions),
        }
        self.settle(now, &mut actions);
        let changed = self.priority() != before;
        if changed && self.role == Role::Active && actions.is_empty() {
            self.advertise(now, &mut actions);
        }
        actions
    }

    /// Between start, fault and backup.
    fn settle(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if !self.started {
            return;
        }
        let no_address = self.wires.iter().find_map(|wire| wire.own.as_ref().err());
        let fault = self.tracking.fault.as_ref().or(no_address).cloned();
        self.fault.clone_from(&fault);
        match (fault, self.role) {
            (Some(why), Role::Init | Role::Backup | Role::Active) => {
                self.leave(now, Role::Fault, why, true, actions);
            }
            (Some(_), Role::Fault) | (None, Role::Backup | Role::Active) => {}
            (None, Role::Init | Role::Fault) => {
                if self.timing.priority == OWNER && !self.held() {
                    self.take(now, "owner of the addresses (priority 255)".into(), actions);
                } else if self.resuming {
                    self.resume(now, actions);
                } else {
                    let why = "waiting for adverts".to_owned();
                    self.leave(now, Role::Backup, why, false, actions);
                }
            }
        }
    }

    fn timer(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.role {
            Role::Init | Role::Fault => {}
            Role::Backup => {
                let why = self.why_take_over(now);
                self.take(now, why, actions);
            }
            Role::Active => {
                if now >= self.advert_at {
                    self.advertise(now, actions);
                }
                if let Some(count) = self.announce.due(now, &self.timing.announcing) {
                    actions.push(Action::Announce { count });
                }
            }
        }
    }

    fn why_take_over(&self, now: Instant) -> String {
        let last = self.last_heard().max_by_key(|(at, _)| *at);
        match last {
            None if self.resuming => "no other node took over while the agent was away".into(),
            None => "no other router is heard".into(),
            Some((_, heard)) if heard.priority == 0 => format!("{} resigned", heard.source),
            Some((at, heard)) if heard.priority < self.priority() && self.preempts() => {
                let Heard {
                    source, priority, ..
                } = heard;
                let silent = now.saturating_duration_since(at);
                format!(
                    "preempting: {source} has priority {priority}, we have {}; last heard {silent:.2?} ago",
                    self.priority()
                )
            }
            Some((at, heard)) => {
                let silent = now.saturating_duration_since(at);
                format!("{} has been silent for {silent:.2?}", heard.source)
            }
        }
    }

    /// Whether an active router of lower priority is to be replaced. An owner always does (RFC 9568 §6.1).
    pub(super) fn preempts(&self) -> bool {
        let owner = self.timing.priority == OWNER;
        (self.timing.preempt || owner) && !self.held() && !self.yielded()
    }

    fn order(&mut self, now: Instant, order: Order, actions: &mut Vec<Action>) {
        let why = match order {
            Order::Release => {
                self.standing = None;
                self.preempt_at = None;
                return;
            }
            Order::Failover if self.role == Role::Active => {
                self.standing = Some(order);
                "handed over on demand"
            }
            Order::Failover => return,
            Order::Hold => {
                self.standing = Some(order);
                "held back on demand"
            }
        };
        if self.role == Role::Active {
            self.leave(now, Role::Backup, why.into(), true, actions);
            // Twice as long as the others may wait, if our last advert overtook the resignation.
            let ours = self.priority();
            for wire in &mut self.wires {
                wire.down_at += self.timing.down(ours, wire.active_interval);
            }
        }
        self.give_up(now, why.into(), actions);
    }

    fn retime(&mut self, now: Instant, timing: Timing) {
        self.timing = timing;
        if self.role == Role::Active {
            self.announce.go_on(now, &self.timing.announcing);
        }
        self.advert_at = self.advert_at.min(now + self.timing.interval);
        let ours = self.priority();
        for wire in &mut self.wires {
            if wire.last.is_none() {
                wire.active_interval = self.timing.interval;
            }
            let latest = now + self.timing.down(ours, wire.active_interval);
            wire.down_at = wire.down_at.min(latest);
        }
    }

    fn take(&mut self, now: Instant, why: String, actions: &mut Vec<Action>) {
        self.role = Role::Active;
        self.since = now;
        self.resuming = false;
        self.standing = None;
        self.preempt_at = None;
        // The advert first: whoever was active lets go of the addresses before we have them.
        self.advertise(now, actions);
        let role = Role::Active;
        actions.push(Action::Become { role, why });
        let count = self.announce.begin(now, &self.timing.announcing);
        actions.push(Action::Announce { count });
        self.repaired = Some(now);
    }

    /// The addresses are on. Whoever took over meanwhile says so within an interval; if nobody does, nobody has: the
    /// others still wait for the adverts of the agent that was here.
    fn resume(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let why = "has the addresses already; listening whether another node took over".to_owned();
        self.leave(now, Role::Backup, why, false, actions);
        self.resuming = true;
        let ours = self.priority();
        for wire in &mut self.wires {
            let interval = wire.active_interval;
            wire.down_at = now + interval + self.timing.skew(ours, interval);
        }
    }

    /// Another node has them after all, or this one may not.
    pub(super) fn give_up(&mut self, now: Instant, why: String, actions: &mut Vec<Action>) {
        if std::mem::take(&mut self.resuming) {
            let ours = self.priority();
            for wire in &mut self.wires {
                wire.down_at = now + self.timing.down(ours, wire.active_interval);
            }
            let role = Role::Backup;
            actions.push(Action::Become { role, why });
        }
    }

    /// To a role without the addresses.
    pub(super) fn leave(
        &mut self,
        now: Instant,
        role: Role,
        why: String,
        resign: bool,
        actions: &mut Vec<Action>,
    ) {
        let was_active = self.role == Role::Active;
        let from = std::mem::replace(&mut self.role, role);
        self.since = now;
        self.announce.end();
        self.answered = None;
        self.preempt_at = None;
        self.resuming = false;
        let ours = self.priority();
        for wire in &mut self.wires {
            if role != Role::Backup || !was_active || resign {
                wire.active_interval = self.timing.interval;
            }
            wire.down_at = now + self.timing.down(ours, wire.active_interval);
        }
        if from != role {
            actions.push(Action::Become { role, why });
        }
        if was_active && resign {
            // After the addresses are gone: who hears it may take them at once.
            self.send(0, actions);
        }
    }

    pub(super) fn advertise(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let priority = self.priority();
        self.send(priority, actions);
        self.advert_at = now + self.timing.interval;
    }

    fn send(&self, priority: u8, actions: &mut Vec<Action>) {
        let wires = self.wires.iter().filter(|wire| wire.own.is_ok());
        actions.extend(wires.map(|wire| Action::Send {
            family: wire.family,
            priority,
        }));
    }
}
