//! Making faults happen, and mending what they broke.

use std::time::Duration;

use nix::{sys::signal::Signal, unistd::Pid};

use super::{
    bed::{Bed, GROUP, VRID, WITNESS},
    cut::Cutter,
    gate::{Gate, close},
    node::signal,
    outsider::{HIGH, LOW, Outsider, forged, record},
    plan::Fault,
};
use crate::drive::Stamp;

/// For an agent that was killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything that takes time is done before the fault.
pub(super) struct Prepared {
    fault: Fault,
    /// The node that it happens to.
    node: usize,
    pids: Vec<Pid>,
    cutters: [Cutter; 2],
    /// Where to drop what must not arrive.
    gates: Vec<Gate>,
    /// What a node sent, or could have.
    frames: Vec<Vec<u8>>,
    outsider: Option<Outsider>,
}

impl Prepared {
    /// For `node`, which is active or was.
    pub(super) fn new(bed: &Bed, fault: Fault, node: usize) -> Self {
        let (at, other) = (&bed.nodes[node], &bed.nodes[1 - node]);
        let (mut gates, mut frames) = (Vec::new(), Vec::new());
        if fault == Fault::OneWayCut {
            gates = vec![Gate::to_all(&at.port), Gate::to_all(&other.cable)];
        } else if fault == Fault::OneWayCutDeaf {
            gates = vec![Gate::to_all(&other.port), Gate::to_all(&at.cable)];
        } else if fault == Fault::Partition {
            gates = vec![
                Gate::to_heartbeats_and(WITNESS, &at.port),
                Gate::to_heartbeats(&other.port),
                Gate::to_all(&at.cable),
                Gate::to_all(&other.cable),
            ];
        } else if fault == Fault::Replay {
            frames = record(&at.port);
        } else if fault == Fault::WrongKey {
            frames = vec![forged(&record(&other.port), &bed.key)];
        }
        Self {
            fault,
            node,
            pids: at.pids(),
            cutters: at.cutters(),
            gates,
            frames,
            outsider: None,
        }
    }

    /// Makes it happen, and returns the time just before.
    pub(super) fn inject(&mut self, bed: &mut Bed) -> Stamp {
        let directory = bed.topology.directory();
        let router = |priority| Some(Outsider::router(&bed.outsider, VRID, priority, directory));
        let [switch, cable] = &self.cutters;
        let at = Stamp::now();
        match self.fault {
            Fault::Crash => self.crash(),
            Fault::Replay => {
                self.crash();
                let frames = std::mem::take(&mut self.frames);
                self.outsider = Some(Outsider::repeat(&bed.outsider, frames));
            }
            Fault::Sigstop => signal(&self.pids, Signal::SIGSTOP),
            Fault::AgentKill => {
                let process = bed.nodes[self.node].agent.process();
                signal(
                    &[Pid::from_raw(process.pid().cast_signed())],
                    Signal::SIGKILL,
                );
            }
            Fault::AgentRestart => {
                let agent = &mut bed.nodes[self.node].agent;
                agent.leave();
                agent.spawn();
            }
            Fault::PlannedFailover => {
                let agent = &bed.nodes[self.node].agent;
                agent.ok(&["ha", "failover", GROUP, "--wait"]);
            }
            Fault::OnePathCut => cable.down(),
            Fault::AllPathsCut => {
                switch.down();
                cable.down();
            }
            Fault::OneWayCut | Fault::OneWayCutDeaf | Fault::Partition => close(&self.gates),
            Fault::Rejoin => bed.nodes[self.node].reboot(),
            Fault::ColdStart => bed.nodes.iter_mut().for_each(super::node::Node::boot),
            Fault::ClockJump => {
                if let Some(clock) = &bed.clock {
                    clock.jump();
                }
            }
            Fault::StrangerBelow => self.outsider = router(LOW),
            Fault::StrangerAbove => self.outsider = router(HIGH),
            // `mixed` does the others.
            Fault::Nothing
            | Fault::KeepalivedBackupV3
            | Fault::KeepalivedBackupV2
            | Fault::KeepalivedActiveV3
            | Fault::KeepalivedActiveV2 => {}
            Fault::WrongKey => {
                let to = bed.nodes[self.node].own;
                let datagram = self.frames.swap_remove(0);
                self.outsider = Some(Outsider::forge(&bed.outsider, to, datagram));
            }
        }
        at
    }

    /// Makes the second half of it happen, if it has one.
    pub(super) fn go_on(&self, bed: &Bed) -> bool {
        let clock = bed.clock.as_ref();
        let clock = clock.filter(|_| self.fault == Fault::ClockJump);
        clock.inspect(|clock| clock.jump_to_the_past()).is_some()
    }

    /// Makes both nodes well again.
    pub(super) fn mend(mut self, bed: &mut Bed) {
        self.outsider = None;
        self.gates.clear();
        let node = &mut bed.nodes[self.node];
        match self.fault {
            Fault::Crash | Fault::Replay => node.reboot(),
            Fault::Sigstop => signal(&self.pids, Signal::SIGCONT),
            Fault::AgentKill => {
                node.agent.process().wait(STOP_TIMEOUT);
                node.agent.spawn();
            }
            Fault::PlannedFailover => {
                node.agent.ok(&["ha", "release", GROUP]);
            }
            Fault::OnePathCut | Fault::AllPathsCut => {
                node.link.up();
                node.cable.up();
            }
            Fault::ClockJump => {
                if let Some(clock) = &bed.clock {
                    clock.jump_back();
                }
            }
            Fault::Nothing
            | Fault::AgentRestart
            | Fault::OneWayCut
            | Fault::OneWayCutDeaf
            | Fault::Partition
            | Fault::Rejoin
            | Fault::ColdStart
            | Fault::StrangerBelow
            | Fault::StrangerAbove
            | Fault::WrongKey
            | Fault::KeepalivedBackupV3
            | Fault::KeepalivedBackupV2
            | Fault::KeepalivedActiveV3
            | Fault::KeepalivedActiveV2 => {}
        }
        bed.recover();
    }

    fn crash(&self) {
        signal(&self.pids, Signal::SIGKILL);
        self.cutters.iter().for_each(Cutter::down);
    }
}
