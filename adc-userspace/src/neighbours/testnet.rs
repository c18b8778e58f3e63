//! Network namespaces for tests that need a real kernel: made here, entered by a thread, gone afterwards.

use std::{
    process::{Command, id},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use adc_common::abi::Mac;
use nix::sched::{CloneFlags, setns};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A namespace that lives as long as this value.
pub(crate) struct Namespace {
    name: String,
}

/// Whether the test may make namespaces; says aloud that it is skipped if not.
pub(crate) fn is_root(test: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("{test}: skipped: needs root");
    }
    root
}

impl Namespace {
    pub(crate) fn new() -> Self {
        let name = format!("adc-n{}-{}", id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run("ip", &["netns", "add", &name]);
        let made = Self { name };
        made.ip("link set lo up");
        made
    }

    /// Two namespaces joined by a virtual cable whose ends are both called `name`.
    pub(crate) fn cable(&self, name: &str, other: &Self, other_name: &str) {
        self.ip(&format!(
            "link add {name} type veth peer name {other_name} netns {}",
            other.name
        ));
        self.ip(&format!("link set {name} up"));
        other.ip(&format!("link set {other_name} up"));
    }

    /// Runs `ip` with these arguments inside.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        let mut all = vec!["-n", self.name.as_str()];
        all.extend(arguments.split_whitespace());
        run("ip", &all)
    }

    /// Runs `ethtool` with these arguments inside.
    pub(crate) fn ethtool(&self, arguments: &str) {
        let mut all = vec!["netns", "exec", self.name.as_str(), "ethtool"];
        all.extend(arguments.split_whitespace());
        run("ip", &all);
    }

    /// Writes a sysctl inside, given as a path below /proc/sys.
    pub(crate) fn sysctl(&self, path: &str, value: &str) {
        let script = format!("echo {value} > /proc/sys/{path}");
        run("ip", &["netns", "exec", &self.name, "sh", "-c", &script]);
    }

    /// The MAC of a device inside.
    pub(crate) fn mac(&self, device: &str) -> Mac {
        let line = self.ip(&format!("-o link show dev {device}"));
        let text = line
            .split_whitespace()
            .skip_while(|word| *word != "link/ether")
            .nth(1)
            .expect("a MAC");
        let octets: Vec<u8> = text
            .split(':')
            .map(|part| u8::from_str_radix(part, 16).expect("hexadecimal"))
            .collect();
        Mac(octets.try_into().expect("six octets"))
    }

    /// Runs `work` on a thread inside, and gives what it returns; its panic is this thread's.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name);
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                let file = std::fs::File::open(path).expect("the namespace exists");
                setns(file, CloneFlags::CLONE_NEWNET).expect("root may enter it");
                work()
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Like [`Self::enter`], for a future on a runtime of its own.
    pub(crate) fn block_on<F: Future>(&self, work: impl FnOnce() -> F + Send) -> F::Output
    where
        F::Output: Send,
    {
        self.enter(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime")
                .block_on(work())
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        run("ip", &["netns", "del", &self.name]);
    }
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
