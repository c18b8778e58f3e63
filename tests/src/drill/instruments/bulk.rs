//! iperf3 through the VIP: does a transfer go on?

use std::{path::Path, process::Command, time::Duration};

use crate::{
    net::Namespace,
    process::Process,
    topology::BackendHost,
    wait::{eventually, soon},
};

/// Of the server, and of the service.
pub const PORT: u16 = 5201;
/// Long enough for any fault; it is killed before.
const SECONDS: &str = "600";
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Moderate, so that the CPUs are left to what is measured.
const RATE: &str = "20M";

/// A transfer from a backend to the client.
#[derive(Debug)]
pub struct Bulk {
    client: Process,
    _server: Process,
}

impl Bulk {
    /// Starts server and client and waits until something has arrived.
    ///
    /// # Panics
    /// If nothing arrives.
    #[track_caller]
    pub fn start(client: &Namespace, vip: &str, host: &BackendHost, logs: &Path) -> Self {
        let port = PORT.to_string();
        let mut command = Command::new("iperf3");
        command.args(["--server", "--one-off", "--forceflush", "--port", &port]);
        let server = Process::spawn(&host.namespace, "iperf3-server", &mut command, logs);
        let log = logs.join("iperf3.log");
        // Logs are appended to, and what counts is this run's.
        std::fs::remove_file(&log).ok();
        let address = host.v4(PORT);
        eventually(START_TIMEOUT, "iperf3 listens", || {
            let listening = host.namespace.run("ss", &["-Hltn", "sport", "=", &port]);
            assert!(server_lives(&server), "iperf3 ended: {address} is taken?");
            !listening.is_empty()
        });
        let mut command = Command::new("iperf3");
        // What the receiver reports has really arrived.
        command.args([
            "--client",
            vip,
            "--port",
            &port,
            "--reverse",
            "--time",
            SECONDS,
        ]);
        command.args(["--bitrate", RATE, "--interval", "0.1", "--format", "m"]);
        command.arg("--forceflush");
        let client = Process::spawn(client, "iperf3", &mut command, logs);
        let bulk = Self {
            client,
            _server: server,
        };
        eventually(START_TIMEOUT, "iperf3 transfers something", || {
            bulk.good_intervals() > 0
        });
        bulk
    }

    /// Whether something arrives from now on, within `patience`.
    pub fn goes_on(&self, patience: Duration) -> bool {
        let before = self.good_intervals();
        // The interval that runs now may have begun before.
        soon(patience, || self.good_intervals() >= before + 2)
    }

    fn good_intervals(&self) -> usize {
        good_intervals(&self.client.log())
    }
}

fn server_lives(server: &Process) -> bool {
    Path::new(&format!("/proc/{}", server.pid())).exists()
}

/// Lines of intervals in which something arrived.
fn good_intervals(log: &str) -> usize {
    let rate = |line: &str| -> Option<f64> {
        let before = line.split("Mbits/sec").next()?;
        let number = before.split_whitespace().next_back()?;
        number.parse().ok()
    };
    let intervals = log.lines().filter(|line| line.contains("Mbits/sec"));
    intervals.filter(|line| rate(line) > Some(0.0)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_in_which_nothing_arrived_do_not_count() {
        let log = "\
Connecting to host 10.1.0.100, port 5201
Reverse mode, remote host 10.1.0.100 is sending
[  5] local 10.1.0.10 port 1 connected to 10.1.0.100 port 5201
[ ID] Interval           Transfer     Bitrate
[  5]   0.00-0.10   sec   256 KBytes  20.9 Mbits/sec
[  5]   0.10-0.20   sec  0.00 Bytes  0.00 Mbits/sec
[  5]   0.20-0.30   sec   128 KBytes  10.4 Mbits/sec
";
        assert_eq!(good_intervals(log), 2);
    }
}
