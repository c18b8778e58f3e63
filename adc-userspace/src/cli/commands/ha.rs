//! `adc ha`.

use std::time::{Duration, Instant};

use super::{Done, agent::Agent, block_on, jitter};
use crate::{
    api::proto::{ApiError, ErrorCode, HaGroupView, HaOrder},
    cli::{
        Local,
        args::Format,
        ha_args::{HaCommand, HaGroupArg},
        output,
    },
    ha::Role,
    model::GroupName,
};

/// How long another node may take: version 2 with the longest interval and skew takes longer, but nobody waits that long.
const HAND_OVER: Duration = Duration::from_mins(1);

/// How often it looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

pub(super) fn run(local: &impl Local, agent: &Agent, command: HaCommand, format: Format) -> Done {
    let (order, group, wait) = match command {
        HaCommand::Status => {
            let view = block_on(agent.client.ha())?;
            return agent.show(&view, output::ha);
        }
        HaCommand::JitterTest(args) => return jitter::run(local, &args, format),
        HaCommand::Failover { group, wait } => (HaOrder::Failover, group, wait),
        HaCommand::Hold(HaGroupArg { group }) => (HaOrder::Hold, group, false),
        HaCommand::Release(HaGroupArg { group }) => (HaOrder::Release, group, false),
    };
    let began = Instant::now();
    let view = block_on(async {
        let view = agent.client.ha_order(&group, order).await?;
        if wait {
            return taken_over(agent, &group, began).await;
        }
        Ok(view)
    })?;
    agent.show(&view, output::ha_group)
}

/// Waits until another node says that it is active.
async fn taken_over(
    agent: &Agent,
    group: &GroupName,
    began: Instant,
) -> Result<HaGroupView, ApiError> {
    loop {
        let groups = agent.client.ha().await?.groups.into_iter();
        let mut found = groups.filter(|view| view.name == *group);
        let gone = || ApiError::not_found(format!("there is no HA group `{group}` any more"));
        let view = found.next().ok_or_else(gone)?;
        let gives = view.ruling.as_ref().is_some_and(|ruling| ruling.yields);
        if view.role == Role::Active && !gives {
            let what = format!(
                "no other node took group {group}, and this one has it again: `adc ha status` shows which nodes were heard"
            );
            return Err(ApiError::new(ErrorCode::Conflict, what));
        }
        let since = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let ruled = view.ruling.as_ref().and_then(|ruling| ruling.peer.as_ref());
        if ruled.is_some_and(|peer| peer.role == Role::Active) {
            return Ok(view);
        }
        let mut peers = view.peers.iter();
        if peers.any(|peer| peer.priority > 0 && peer.last_seen_ms < since) {
            return Ok(view);
        }
        if began.elapsed() > HAND_OVER {
            let what =
                format!("no other node took group {group} within a minute; it was handed over");
            return Err(ApiError::new(ErrorCode::Timeout, what));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
