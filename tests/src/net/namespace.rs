//! One network namespace.

use std::{
    fs::File,
    io,
    path::PathBuf,
    process::{Child, Command},
    sync::Arc,
    thread,
};

use nix::{
    sched::{CloneFlags, setns},
    sys::signal::SigSet,
};

use super::{run, run_unchecked, unique_name};

/// A named network namespace of our own with loopback up. The last clone deletes it.
///
/// Code enters it on a thread of its own and never by `ip netns exec`: that makes a new mount
/// namespace with a fresh `/sys`, where the pins in bpffs cannot be seen.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    keep: std::sync::atomic::AtomicBool,
}

impl Namespace {
    /// Makes `adc<pid>-<counter>-<label>`.
    pub fn new(label: &str) -> Self {
        let name = unique_name(label);
        run("ip", &["netns", "add", &name]);
        let namespace = Self(Arc::new(Inner {
            name,
            keep: false.into(),
        }));
        namespace.ip(&["link", "set", "lo", "up"]);
        // Addresses must work at once: without this a link-local address is tentative for a second
        // and the first neighbour solicitations are not answered.
        namespace.sysctl("net.ipv6.conf.all.accept_dad", "0");
        namespace.sysctl("net.ipv6.conf.default.accept_dad", "0");
        namespace
    }

    /// Its name under `/run/netns`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Leaves it behind when dropped (`adc-demo --keep`).
    pub fn keep(&self) {
        self.0
            .keep
            .store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Runs `ip -n NAME arguments...`.
    #[track_caller]
    pub fn ip(&self, arguments: &[&str]) -> String {
        let mut all = vec!["-n", self.name()];
        all.extend_from_slice(arguments);
        run("ip", &all)
    }

    /// Addresses of all devices without prefix length, link-local ones and the loopback's left out.
    ///
    /// # Panics
    /// If `ip` prints something else than a list.
    pub fn addresses(&self) -> Vec<std::net::IpAddr> {
        let text = self.ip(&["-json", "address", "show"]);
        let list: Vec<serde_json::Value> = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("`ip -json address show` printed `{text}`: {error}"));
        let entries = list
            .iter()
            .filter_map(|device| device["addr_info"].as_array());
        let global = entries.flatten().filter(|entry| entry["scope"] == "global");
        let addresses = global.filter_map(|entry| entry["local"].as_str()?.parse().ok());
        addresses.collect()
    }

    /// Sets a `net.*` sysctl; a dot in an interface name is not supported.
    #[track_caller]
    pub fn sysctl(&self, key: &str, value: &str) {
        let path = PathBuf::from("/proc/sys").join(key.replace('.', "/"));
        self.enter(|| std::fs::write(&path, value))
            .unwrap_or_else(|error| panic!("cannot set {key}={value}: {error}"));
    }

    /// Runs `program arguments...` inside and returns its standard output.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        self.enter(|| run(program, arguments))
    }

    /// Starts a command inside, with no signal blocked: a child inherits namespace and signal mask of the thread that
    /// forks it, and we may have signals blocked (`crate::interrupt`).
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        self.enter(|| {
            SigSet::empty().thread_set_mask()?;
            command.spawn()
        })
    }

    /// Runs a closure inside, on a thread of its own. Sockets it makes stay in the namespace when
    /// they are handed out.
    ///
    /// # Panics
    /// With the closure's own panic.
    #[track_caller]
    pub fn enter<T: Send>(&self, code: impl FnOnce() -> T + Send) -> T {
        let outcome = thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.join_current_thread();
                    code()
                })
                .join()
        });
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Moves the calling thread into the namespace for good; for threads that live there.
    pub fn join_current_thread(&self) {
        let path = format!("/run/netns/{}", self.name());
        let file = File::open(&path).unwrap_or_else(|error| panic!("cannot open {path}: {error}"));
        setns(file, CloneFlags::CLONE_NEWNET)
            .unwrap_or_else(|error| panic!("cannot enter {path}: {error}"));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.keep.load(std::sync::atomic::Ordering::Relaxed) {
            return;
        }
        // Never panics: this may run while a test unwinds.
        let output = run_unchecked("ip", &["netns", "del", &self.name]);
        if !output.status.success() {
            eprintln!(
                "cannot delete network namespace {}: {}",
                self.name,
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}
