//! Making faults happen, and mending what they broke.

use std::time::Duration;

use nix::{sys::signal::Signal, unistd::Pid};

use super::{
    bed::{Bed, GROUP},
    cut::Cutter,
    instruments::Stamp,
    node::signal,
    plan::Fault,
};

/// For an agent that was killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything that takes time is done before the fault.
pub(super) struct Prepared {
    fault: Fault,
    /// The node that it happens to.
    node: usize,
    pids: Vec<Pid>,
    cutters: [Cutter; 2],
}

impl Prepared {
    /// For `node`.
    pub(super) fn new(bed: &Bed, fault: Fault, node: usize) -> Self {
        let at = &bed.nodes[node];
        Self {
            fault,
            node,
            pids: at.pids(),
            cutters: at.cutters(),
        }
    }

    /// Makes it happen, and returns the time just before.
    pub(super) fn inject(&self, bed: &mut Bed) -> Stamp {
        let node = &mut bed.nodes[self.node];
        let [switch, cable] = &self.cutters;
        let at = Stamp::now();
        match self.fault {
            Fault::Crash => {
                signal(&self.pids, Signal::SIGKILL);
                switch.down();
                cable.down();
            }
            Fault::Sigstop => signal(&self.pids, Signal::SIGSTOP),
            Fault::AgentKill => {
                let agent = Pid::from_raw(node.agent.process().pid().cast_signed());
                signal(&[agent], Signal::SIGKILL);
            }
            Fault::AgentRestart => {
                node.agent.terminate();
                node.agent.spawn();
            }
            Fault::PlannedFailover => {
                node.agent.ok(&["ha", "failover", GROUP, "--wait"]);
            }
            Fault::OnePathCut => cable.down(),
            Fault::AllPathsCut => {
                switch.down();
                cable.down();
            }
            Fault::Rejoin => node.reboot(),
        }
        at
    }

    /// Makes both nodes well again.
    pub(super) fn mend(self, bed: &mut Bed) {
        let node = &mut bed.nodes[self.node];
        match self.fault {
            Fault::Crash => node.reboot(),
            Fault::Sigstop => signal(&self.pids, Signal::SIGCONT),
            Fault::AgentKill => {
                node.agent.process().wait(STOP_TIMEOUT);
                node.agent.spawn();
            }
            Fault::AgentRestart | Fault::Rejoin => {}
            Fault::PlannedFailover => {
                node.agent.ok(&["ha", "release", GROUP]);
            }
            Fault::OnePathCut | Fault::AllPathsCut => {
                node.link.up();
                node.cable.up();
            }
        }
        bed.recover();
    }
}
