//! Scripts that say whether this node is well: one thread each, because they may hang.

use std::{
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::sync::mpsc;

use crate::model::{GroupName, Script};

/// How often a running script is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A verdict that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whose script.
    pub(super) group: GroupName,
    /// Which start of the group's scripts it is from.
    pub(super) generation: u64,
    /// Which of its scripts.
    pub(super) index: usize,
    /// Whether it says that all is well.
    pub(super) well: bool,
}

/// Keeps a script running every so often; ends when dropped, after the run under way.
#[derive(Debug)]
pub(super) struct Running {
    _stop: Sender<()>,
}

/// Runs in a row that make a verdict.
#[derive(Debug, Default)]
struct Streak {
    verdict: Option<bool>,
    successes: u32,
    failures: u32,
}

impl Streak {
    /// The new verdict, if this run makes one.
    fn record(&mut self, script: &Script, success: bool) -> Option<bool> {
        if success {
            self.successes = self.successes.saturating_add(1);
            self.failures = 0;
        } else {
            self.failures = self.failures.saturating_add(1);
            self.successes = 0;
        }
        let verdict = if self.successes >= script.rise {
            true
        } else if self.failures >= script.fall {
            false
        } else {
            return None;
        };
        let changed = self.verdict.replace(verdict) != Some(verdict);
        changed.then_some(verdict)
    }
}

/// Starts to run a script; `verdict` is what to report, but for whether it is well.
///
/// # Errors
/// No thread could be made.
pub(super) fn start(
    script: Script,
    verdict: Verdict,
    reports: mpsc::Sender<Verdict>,
) -> std::io::Result<Running> {
    let (stop, stopped) = channel::<()>();
    thread::Builder::new()
        .name("adc-ha-script".into())
        .spawn(move || {
            let mut streak = Streak::default();
            loop {
                let began = Instant::now();
                let success = run(&script);
                if let Some(well) = streak.record(&script, success) {
                    let report = Verdict {
                        well,
                        ..verdict.clone()
                    };
                    if reports.blocking_send(report).is_err() {
                        return;
                    }
                }
                let pause = script.interval.saturating_sub(began.elapsed());
                match stopped.recv_timeout(pause) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })?;
    Ok(Running { _stop: stop })
}

/// Whether one run succeeds in time.
fn run(script: &Script) -> bool {
    let mut command = Command::new(&script.program);
    command
        .args(&script.args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Its own group, so that what it started ends with it.
        .process_group(0);
    match command.spawn() {
        Ok(child) => wait(child, script.timeout),
        Err(error) => {
            tracing::debug!("running {}: {error}", script.program.display());
            false
        }
    }
}

fn wait(mut child: Child, timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < deadline => thread::sleep(LOOK_EVERY),
            Ok(None) | Err(_) => break,
        }
    }
    if let Ok(group) = i32::try_from(child.id()) {
        // It may have ended by itself meanwhile.
        killpg(Pid::from_raw(group), Signal::SIGKILL).ok();
    }
    child.wait().ok();
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(words: &[&str]) -> Script {
        Script {
            program: words[0].into(),
            args: words[1..].iter().map(ToString::to_string).collect(),
            interval: Duration::from_millis(100),
            timeout: Duration::from_millis(100),
            rise: 2,
            fall: 3,
        }
    }

    #[test]
    fn a_verdict_needs_as_many_runs_in_a_row_as_configured() {
        let script = script(&["/bin/true"]);
        let mut streak = Streak::default();
        assert_eq!(streak.record(&script, true), None);
        assert_eq!(streak.record(&script, true), Some(true));
        assert_eq!(streak.record(&script, true), None, "nothing new");
        assert_eq!(streak.record(&script, false), None);
        assert_eq!(streak.record(&script, false), None);
        assert_eq!(streak.record(&script, true), None, "the row is broken");
        for _ in 0..2 {
            assert_eq!(streak.record(&script, false), None);
        }
        assert_eq!(streak.record(&script, false), Some(false));
    }

    #[test]
    fn a_script_that_fails_hangs_or_is_missing_has_failed() {
        assert!(run(&script(&["/bin/true"])));
        assert!(!run(&script(&["/bin/false"])));
        assert!(!run(&script(&["/bin/sleep", "60"])));
        assert!(!run(&script(&["/nonexistent/well"])));
    }
}
