//! Concurrent HTTP load; every request is a connection of its own and none is retried.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{net::Namespace, wait::eventually};

use super::get;

/// A request that takes longer has failed: about what a person waits before reloading.
const TIMEOUT: Duration = Duration::from_secs(3);

/// One request and what became of it.
#[derive(Clone, Debug)]
pub struct Request {
    /// When its connection was begun.
    pub started: Instant,
    /// When the answer was complete or the failure known.
    pub ended: Instant,
    /// Where it was sent.
    pub target: SocketAddr,
    /// The answer's body (the backend's name), or why there is none.
    pub outcome: Result<String, String>,
}

/// A span of time in which failures are expected.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Its first moment.
    pub from: Instant,
    /// Its last moment.
    pub to: Instant,
}

/// Requests that go on until [`Load::stop`].
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    workers: Vec<JoinHandle<Vec<Request>>>,
}

/// Everything a load did.
#[derive(Debug, Default)]
pub struct LoadReport {
    /// In order of their end.
    pub requests: Vec<Request>,
}

impl Load {
    /// Starts `workers` threads in `namespace`, each of which asks the targets in turn for `/` and
    /// rests for `pause` between requests.
    pub fn start(
        namespace: &Namespace,
        targets: &[SocketAddr],
        workers: usize,
        pause: Duration,
    ) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let done = Arc::<AtomicU64>::default();
        let workers = (0..workers)
            .map(|worker| {
                let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
                let (namespace, targets) = (namespace.clone(), targets.to_vec());
                thread::spawn(move || {
                    namespace.join_current_thread();
                    let mut requests = Vec::new();
                    for target in targets.iter().cycle().skip(worker) {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        requests.push(request(*target));
                        done.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(pause);
                    }
                    requests
                })
            })
            .collect();
        Self {
            stop,
            done,
            workers,
        }
    }

    /// Requests finished so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits until this many more requests are done.
    #[track_caller]
    pub fn wait_for(&self, more: u64) {
        let goal = self.done() + more;
        let what = format!("{more} more requests are done");
        eventually(Duration::from_mins(2), &what, || self.done() >= goal);
    }

    /// Lets every worker finish its request and gathers the results.
    ///
    /// # Panics
    /// If a worker panicked.
    pub fn stop(mut self) -> LoadReport {
        self.stop.store(true, Ordering::Relaxed);
        let mut requests: Vec<Request> = self
            .workers
            .drain(..)
            .flat_map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|p| std::panic::resume_unwind(p))
            })
            .collect();
        requests.sort_by_key(|request| request.ended);
        LoadReport { requests }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            worker.join().ok();
        }
    }
}

fn request(target: SocketAddr) -> Request {
    let started = Instant::now();
    let outcome = match get(target, "/", TIMEOUT) {
        Ok(response) if response.status == 200 => Ok(response.body),
        Ok(response) => Err(format!("status {}", response.status)),
        Err(error) => Err(error.to_string()),
    };
    Request {
        started,
        ended: Instant::now(),
        target,
        outcome,
    }
}

impl Request {
    /// Why it failed.
    pub fn failure(&self) -> Option<&str> {
        self.outcome.as_ref().err().map(String::as_str)
    }

    /// Was it under way at some moment of the window?
    pub fn overlaps(&self, window: Window) -> bool {
        self.started <= window.to && self.ended >= window.from
    }
}

impl LoadReport {
    /// Failed requests.
    pub fn failed(&self) -> Vec<&Request> {
        let failed = |request: &&Request| request.outcome.is_err();
        self.requests.iter().filter(failed).collect()
    }

    /// Failed requests that were not under way in any of the windows.
    pub fn failed_outside(&self, windows: &[Window]) -> Vec<&Request> {
        let mut failed = self.failed();
        failed.retain(|request| !windows.iter().any(|window| request.overlaps(*window)));
        failed
    }

    /// Answers by backend name.
    pub fn per_backend(&self) -> BTreeMap<String, u64> {
        self.per_backend_since(None)
    }

    /// Answers by backend name to requests that were begun at `since` or later.
    pub fn per_backend_since(&self, since: Option<Instant>) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        let begun = |request: &&Request| since.is_none_or(|since| request.started >= since);
        for request in self.requests.iter().filter(begun) {
            if let Ok(name) = &request.outcome {
                *counts.entry(name.clone()).or_default() += 1;
            }
        }
        counts
    }

    /// The slowest successful request.
    pub fn slowest(&self) -> Duration {
        let answered = self.requests.iter().filter(|r| r.outcome.is_ok());
        answered
            .map(|request| request.ended - request.started)
            .max()
            .unwrap_or_default()
    }

    /// Demands that not one request failed.
    ///
    /// # Panics
    /// Listing the first failures and when they happened.
    #[track_caller]
    pub fn assert_none_failed(&self) {
        self.assert_none_failed_outside(&[]);
    }

    /// Demands that no request failed but in the windows, and that there was any request.
    ///
    /// # Panics
    /// Listing the first failures and when they happened.
    #[track_caller]
    pub fn assert_none_failed_outside(&self, windows: &[Window]) {
        assert!(!self.requests.is_empty(), "no request was made at all");
        let failed = self.failed_outside(windows);
        let begin = self.requests[0].started;
        let lines: Vec<String> = failed
            .iter()
            .take(10)
            .map(|request| {
                let at = request.started.saturating_duration_since(begin);
                format!(
                    "\n  at {at:.3?} to {}: {}",
                    request.target,
                    request.failure().unwrap_or("-")
                )
            })
            .collect();
        assert!(
            failed.is_empty(),
            "{} of {} requests failed:{}",
            failed.len(),
            self.requests.len(),
            lines.concat()
        );
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (done, failed) = (self.requests.len(), self.failed().len());
        write!(
            f,
            "{done} requests, {failed} failed, {:?}",
            self.per_backend()
        )
    }
}
