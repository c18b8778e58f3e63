//! The process that has the HA groups, and outlives the agent.

use std::fs;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::Agent;

impl Agent {
    /// Process id of the keeper, if one runs.
    pub fn keeper(&self) -> Option<u32> {
        let lock = self.socket.with_file_name("keeper.lock");
        let pid: u32 = fs::read_to_string(lock).ok()?.trim().parse().ok()?;
        // The number may be somebody else's by now.
        let name = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        let run_dir = self.socket.parent()?.to_str()?;
        (name.contains("keeper") && name.contains(run_dir)).then_some(pid)
    }

    /// Sends the keeper a signal.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn signal_keeper(&self, signal: Signal) {
        let Some(pid) = self.keeper() else {
            panic!("there is no keeper");
        };
        kill(Pid::from_raw(pid.cast_signed()), signal)
            .unwrap_or_else(|error| panic!("cannot send {signal} to the keeper: {error}"));
    }

    /// SIGKILL to the keeper.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn kill9_keeper(&self) {
        self.signal_keeper(Signal::SIGKILL);
    }

    /// Ends the agent and then the keeper, which outlives it and would be started again by it.
    pub(super) fn end(&mut self) {
        if self.kept {
            return;
        }
        self.process = None;
        if let Some(pid) = self.keeper() {
            // Never panics here: a test may be unwinding.
            kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).ok();
        }
    }
}
