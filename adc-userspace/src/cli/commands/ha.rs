//! `adc ha`.

use super::{Done, agent::Agent, block_on};
use crate::{
    api::proto::HaOrder,
    cli::{
        ha_args::{HaCommand, HaGroupArg},
        output,
    },
};

pub(super) fn run(agent: &Agent, command: HaCommand) -> Done {
    let (order, HaGroupArg { group }) = match command {
        HaCommand::Status => {
            let groups = block_on(agent.client.ha_groups())?;
            return agent.show(&groups, |groups| output::ha_groups(groups));
        }
        HaCommand::Failover(arg) => (HaOrder::Failover, arg),
        HaCommand::Hold(arg) => (HaOrder::Hold, arg),
        HaCommand::Release(arg) => (HaOrder::Release, arg),
    };
    let view = block_on(agent.client.ha_order(&group, order))?;
    agent.show(&view, output::ha_group)
}
