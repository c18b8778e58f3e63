//! The HA thread's part in what the heartbeat decides.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    heartbeat::{arbiter, runner::Statement},
    keeper::Settings,
    machine::Machine,
    pair::{Decision, Docket, Pair, PairEvent},
    task::Task,
    vrrp::Order,
};
use crate::{
    api::proto::{ApiError, ErrorCode},
    model::{Election, GroupName, HaGroup},
};

/// How often a hand-over is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

impl Task {
    /// Starts, changes or ends the heartbeat. Groups that it decided about are given up with it.
    ///
    /// # Errors
    /// It can not be started.
    pub(super) async fn pair_with(&mut self, settings: &Settings) -> Result<(), ApiError> {
        let Settings { ha, node, .. } = settings;
        let settings = ha.heartbeat.as_ref();
        if let Some(pair) = &self.pair {
            pair.docket.reopen();
        }
        let suits = match (&self.pair, settings) {
            (None, None) => true,
            (Some(pair), Some(settings)) => pair.suits(settings, node),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if suits {
            return Ok(());
        }
        if self.pair.is_some() {
            self.hand_over_all().await;
            self.pair = None;
        }
        let Some(settings) = settings else {
            return Ok(());
        };
        match Pair::start(settings, node, self.pair_events.clone()) {
            Ok(pair) => {
                if let Some(statement) = self.statement {
                    pair.say(statement);
                }
                self.pair = Some(pair);
                Ok(())
            }
            Err(error) => {
                let what = format!("the heartbeat to {}: {error:#}", settings.peer);
                Err(ApiError::new(ErrorCode::Internal, what))
            }
        }
    }

    /// Takes in what the agent says of this node.
    pub(super) fn say(&mut self, statement: Statement) {
        self.shared.agent_said();
        self.statement = Some(statement);
        if let Some(pair) = &self.pair {
            pair.say(statement);
        }
    }

    /// Where the heartbeat and the HA thread speak of a group; `None` = VRRP decides.
    ///
    /// # Errors
    /// The heartbeat is to decide, and there is none.
    pub(super) fn docket_for(&self, group: &HaGroup) -> Result<Option<Arc<Docket>>, ()> {
        match (group.election, &self.pair) {
            (Election::Vrrp, _) => Ok(None),
            (Election::Heartbeat, Some(pair)) => Ok(Some(Arc::clone(&pair.docket))),
            (Election::Heartbeat, None) => Err(()),
        }
    }

    /// Something happened between the nodes.
    pub(super) async fn paired(&mut self, event: PairEvent) {
        match event {
            PairEvent::Heartbeat(event) => {
                if let Some(pair) = &mut self.pair {
                    pair.note(&event);
                }
                self.publish();
            }
            PairEvent::Decided(decision) => self.follow(&decision).await,
        }
    }

    /// Reads the heartbeat's counters, and follows decisions that there was no room for.
    pub(super) async fn catch_up(&mut self) {
        let Some(pair) = &mut self.pair else {
            return;
        };
        pair.look();
        let docket = Arc::clone(&pair.docket);
        let missed = self.routers.values().filter_map(|router| {
            let ruling = docket.ruling(&router.name)?;
            (ruling.claim.role != router.machine.role()).then(|| Decision {
                group: router.name.clone(),
                role: ruling.claim.role,
                why: ruling.why,
                last_heard: None,
                gave: None,
                leased: None,
                at: Instant::now(),
            })
        });
        for decision in missed.collect::<Vec<_>>() {
            self.follow(&decision).await;
        }
    }

    /// Passes on what somebody wants of a group that the heartbeat decides about, and of its `fellows` in the same step.
    ///
    /// # Errors
    /// It can not be done now.
    pub(super) async fn wish(
        &self,
        docket: &Docket,
        name: &GroupName,
        fellows: &[GroupName],
        order: Order,
    ) -> Result<(), ApiError> {
        let command = match order {
            Order::Failover => arbiter::Command::Failover,
            Order::Hold => arbiter::Command::Hold,
            Order::Release => arbiter::Command::Release,
        };
        let own = docket.wish(name, command);
        let fellows = fellows.iter().filter(|fellow| *fellow != name);
        let theirs: Vec<_> = fellows.map(|fellow| docket.wish(fellow, command)).collect();
        let own = own.await;
        let mut moved = false;
        for answer in theirs {
            // Where it is not active, or has gone already, there is nothing to hand over.
            moved |= matches!(answer.await, Ok(Ok(())));
        }
        match own {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refused)) => {
                let rest = if moved {
                    "the groups that move with it take the order"
                } else {
                    "nothing was changed"
                };
                let what = format!("group {name}: {refused}; {rest}");
                Err(ApiError::new(ErrorCode::Conflict, what))
            }
            Err(_ended) => {
                let what = "the heartbeat's thread has ended; see the agent's log, and restart it";
                Err(ApiError::new(ErrorCode::Internal, what))
            }
        }
    }

    /// Gives every group that the heartbeat decides about to the peer if that takes it, and stops them: there is no moment
    /// without an active node if there is another.
    pub(super) async fn hand_over_all(&mut self) {
        let Some(pair) = &self.pair else {
            return;
        };
        let (docket, patience) = (Arc::clone(&pair.docket), pair.patience());
        let ruled = self.routers.values();
        let ruled = ruled.filter(|router| matches!(router.machine, Machine::Ruled(_)));
        let ruled: Vec<_> = ruled.map(|router| router.name.clone()).collect();
        let wishes = ruled.iter();
        let wishes: Vec<_> = wishes
            .map(|name| docket.wish(name, arbiter::Command::Leave))
            .collect();
        for answer in wishes {
            // It is not active, or the peer would not take it: then there is nothing to wait for.
            drop(answer.await);
        }
        let deadline = Instant::now() + patience;
        while (docket.any_giving() || docket.any_trailing()) && Instant::now() < deadline {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        for name in ruled {
            self.step(&name, super::vrrp::Input::Stopped).await;
        }
        docket.settled().await;
    }
}
