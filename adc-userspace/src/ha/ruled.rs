//! A group that the heartbeat decides about, as the HA thread has it: its role follows what was decided. Pure, but for the
//! docket.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Role,
    heartbeat::{
        arbiter::Why,
        packet::{Claim, GroupId},
    },
    pair::{Brief, Decision, Docket},
    vrrp::{Action, Announcements, Input, Timing, Tracking},
};
use crate::{
    api::proto::{HaClaimView, HaRulingView},
    model::GroupName,
};

/// The state of the group.
pub(super) struct Ruled {
    name: GroupName,
    docket: Arc<Docket>,
    timing: Timing,
    tracking: Tracking,
    /// The sync group that it is in.
    sync_group: Option<GroupId>,
    started: bool,
    role: Role,
    announcements: Announcements,
}

impl Ruled {
    /// A group that has not started: the heartbeat says nothing of it yet.
    pub(super) fn new(name: GroupName, timing: Timing, docket: Arc<Docket>) -> Self {
        Self {
            name,
            docket,
            timing,
            tracking: Tracking::default(),
            sync_group: None,
            started: false,
            role: Role::Init,
            announcements: Announcements::default(),
        }
    }

    /// The sync group that it is in, from the next tracking on.
    pub(super) fn join(&mut self, sync_group: Option<GroupId>) {
        self.sync_group = sync_group;
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    pub(super) fn docket(&self) -> &Docket {
        &self.docket
    }

    /// Whether it is decided by this heartbeat.
    pub(super) fn is_ruled_by(&self, docket: &Arc<Docket>) -> bool {
        Arc::ptr_eq(&self.docket, docket)
    }

    pub(super) fn fault(&self) -> Option<&str> {
        self.tracking.fault.as_deref()
    }

    /// The priority with what tracking adds.
    pub(super) fn priority(&self) -> u8 {
        let sum = i32::from(self.timing.priority).saturating_add(self.tracking.weight);
        u8::try_from(sum.clamp(1, 255)).unwrap_or(1)
    }

    /// Whether it is held, whether it was handed over on demand, and what the nodes say of it.
    pub(super) fn shown(&self) -> (bool, bool, Option<HaRulingView>) {
        let Some(ruling) = self.docket.ruling(&self.name) else {
            return (false, false, None);
        };
        let claim = |claim: Claim| HaClaimView {
            role: claim.role,
            priority: claim.priority,
            term: claim.term,
        };
        let view = HaRulingView {
            term: ruling.claim.term,
            yields: ruling.gives,
            peer: ruling.peer.map(claim),
        };
        (ruling.claim.held, ruling.resting, Some(view))
    }

    /// Until when the data plane serves the group.
    pub(super) fn lease(&self) -> Option<Instant> {
        self.docket.ruling(&self.name)?.lease
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.announcements.at()
    }

    /// Takes in what happened and says what is to be done.
    pub(super) fn step(&mut self, now: Instant, input: Input) -> Vec<Action> {
        match input {
            Input::Started { .. } => {
                self.started = true;
                self.tell();
            }
            Input::Stopped => {
                self.started = false;
                self.docket.drop_group(&self.name);
                return self.turn(now, Role::Init, "the agent stops".into());
            }
            Input::Tracking(tracking) => {
                self.tracking = tracking;
                self.tell();
            }
            Input::Timing(timing) => {
                self.timing = timing;
                if self.role == Role::Active {
                    self.announcements.go_on(now, &self.timing.announcing);
                }
                self.tell();
            }
            Input::Timer => {
                let due = self.announcements.due(now, &self.timing.announcing);
                return due
                    .map(|count| Action::Announce { count })
                    .into_iter()
                    .collect();
            }
            // Of VRRP, and the docket's.
            Input::Advert(_) | Input::Link(..) | Input::LetGo(_) | Input::Order(_) => {}
        }
        Vec::new()
    }

    /// Follows a decision. One that was made before the group stopped is late.
    pub(super) fn decided(&mut self, decision: &Decision) -> Vec<Action> {
        if !self.started {
            return Vec::new();
        }
        let silent = decision
            .last_heard
            .map(|last| decision.at.saturating_duration_since(last));
        let why = explain(decision.why, silent, self.fault());
        self.turn(decision.at, decision.role, why)
    }

    fn turn(&mut self, now: Instant, role: Role, why: String) -> Vec<Action> {
        if std::mem::replace(&mut self.role, role) == role {
            return Vec::new();
        }
        self.announcements.end();
        let mut actions = vec![Action::Become { role, why }];
        if role == Role::Active {
            let count = self.announcements.begin(now, &self.timing.announcing);
            actions.push(Action::Announce { count });
        }
        actions
    }

    fn tell(&self) {
        if self.started {
            let brief = Brief {
                priority: self.priority(),
                fit: self.tracking.fault.is_none(),
                preempt: self.timing.preempt,
                preempt_delay: self.timing.preempt_delay,
                sync_group: self.sync_group,
            };
            self.docket.brief(&self.name, brief);
        }
    }
}

/// For people. `silent` = how long the peer had not been heard; `fault` = what is tracked and not well.
fn explain(why: Why, silent: Option<Duration>, fault: Option<&str>) -> String {
    match why {
        Why::Resumed => "goes on as it was".into(),
        Why::Started => "waiting for the peer".into(),
        Why::PeerSilent => match silent {
            Some(silent) => format!("the peer has been silent on all paths for {silent:.2?}"),
            None => "the peer was never heard".into(),
        },
        Why::PeerUnable => "the peer can not have it, or may not".into(),
        Why::Elected => "comes before the peer by priority or name".into(),
        Why::HandedOver => "the peer handed it over".into(),
        Why::Given => "the peer took it, as it was asked to".into(),
        Why::Superseded => "the peer has it".into(),
        Why::Unheard => "the peer has it and does not hear this node".into(),
        Why::Unfit => match fault {
            Some(fault) => fault.to_owned(),
            None => {
                "what is tracked was not well for a moment, or the keeper's own task hung".into()
            }
        },
        Why::Fit => "what kept this node back is well again".into(),
        Why::Isolated => "neither the peer nor the witness is reached".into(),
        Why::LeaseLapsed => "this node was not run for longer than its lease".into(),
        Why::NotTaken => "the peer did not take it".into(),
    }
}
