//! Long-running processes in a namespace.

use std::{
    fs::{File, OpenOptions},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::{
    net::Namespace,
    wait::{eventually_some, is_cancelled},
};

/// A child with its own process group and a log file; killed **and waited for** on drop.
///
/// While a test unwinds, the end of the log is printed.
#[derive(Debug)]
pub struct Process {
    label: String,
    child: Child,
    log: PathBuf,
    status: Option<ExitStatus>,
    keep: bool,
}

impl Process {
    /// Starts `command` in `namespace`; stdout and stderr are appended to `<logs>/<label>.log`.
    #[track_caller]
    pub fn spawn(namespace: &Namespace, label: &str, command: &mut Command, logs: &Path) -> Self {
        let log = logs.join(format!("{label}.log"));
        let open = || -> File {
            OpenOptions::new()
                .create(true)
                .append(true)
                .open(&log)
                .unwrap_or_else(|error| panic!("cannot open {}: {error}", log.display()))
        };
        // A group of its own: signals reach its children too, and a Ctrl-C at the terminal does
        // not reach it behind our back.
        command
            .stdin(Stdio::null())
            .stdout(open())
            .stderr(open())
            .process_group(0);
        let child = namespace
            .spawn(command)
            .unwrap_or_else(|error| panic!("cannot start {label} ({command:?}): {error}"));
        Self {
            label: label.to_owned(),
            child,
            log,
            status: None,
            keep: false,
        }
    }

    /// Process id, also of its group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_else(|error| format!("(no log: {error})"))
    }

    /// Sends a signal to the whole group; nothing happens if it has ended.
    #[track_caller]
    pub fn signal(&mut self, signal: Signal) {
        if self.try_wait().is_some() {
            return;
        }
        match killpg(self.group(), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => panic!("cannot send {signal} to {}: {error}", self.label),
        }
    }

    /// SIGKILL, and waits.
    pub fn kill9(&mut self) {
        self.signal(Signal::SIGKILL);
        self.status = Some(self.wait_forever());
    }

    /// SIGTERM, and waits.
    ///
    /// # Panics
    /// If it still runs after `timeout`.
    #[track_caller]
    pub fn terminate(&mut self, timeout: Duration) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait(timeout)
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it still runs after `timeout`.
    #[track_caller]
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let description = format!("{} ends", self.label);
        eventually_some(timeout, &description, || self.try_wait()).0
    }

    /// Its exit status, if it has ended.
    pub fn try_wait(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self
                .child
                .try_wait()
                .unwrap_or_else(|error| panic!("cannot wait for {}: {error}", self.label));
        }
        self.status
    }

    /// Does it run?
    pub fn is_running(&mut self) -> bool {
        self.try_wait().is_none()
    }

    /// Leaves it running when dropped (`adc-demo --keep`).
    pub fn keep(&mut self) {
        self.keep = true;
    }

    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn wait_forever(&mut self) -> ExitStatus {
        self.child
            .wait()
            .unwrap_or_else(|error| panic!("cannot wait for {}: {error}", self.label))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        const TAIL_LINES: usize = 60;
        if std::thread::panicking() && !is_cancelled() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
            eprintln!("--- log of {}:\n{}", self.label, tail.join("\n"));
        }
        if self.keep || self.status.is_some() {
            return;
        }
        // Never panics here: a test may be unwinding.
        killpg(self.group(), Signal::SIGKILL).ok();
        self.child.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;
    use crate::require;

    #[test]
    fn drop_kills_and_reaps() {
        require!(root);
        let namespace = Namespace::new("proc");
        let logs = tempfile::tempdir().unwrap();
        let process = Process::spawn(
            &namespace,
            "sleeper",
            Command::new("sleep").arg("600"),
            logs.path(),
        );
        let pid = process.pid();
        assert!(Path::new(&format!("/proc/{pid}")).exists());
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn output_is_captured_and_the_signal_reported() {
        require!(root);
        let namespace = Namespace::new("proc");
        let logs = tempfile::tempdir().unwrap();
        let mut process = Process::spawn(
            &namespace,
            "talker",
            Command::new("sh").args(["-c", "echo out; echo err >&2; exec sleep 600"]),
            logs.path(),
        );
        eventually_some(Duration::from_secs(10), "both lines are logged", || {
            (process.log() == "out\nerr\n").then_some(())
        });
        let status = process.terminate(Duration::from_secs(10));
        assert_eq!(status.signal(), Some(Signal::SIGTERM as i32));
        assert!(!process.is_running());
    }
}
