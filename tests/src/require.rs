//! What a test needs from the machine, and what becomes of it where that is missing.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use crate::net::{Namespace, run_unchecked};

/// If set (to anything but `0`), a missing requirement fails the test instead of skipping it. CI
/// sets it, so that a layer that silently stops running is noticed.
pub const STRICT: &str = "ADC_TESTS_MANDATORY";

/// Set in the guests of the kernel matrix. What a kernel may lack by its configuration must be there, and elsewhere not:
/// nobody can install it.
pub const MATRIX: &str = "ADC_KERNEL_MATRIX";

/// Returns from the test with a printed `skipped: ...` line if the machine lacks something:
/// `require!(root)`, `require!(namespaces, agent, "nginx")`; a string is a program.
#[macro_export]
macro_rules! require {
    (@strict bonds) => { $crate::require::MATRIX };
    (@strict vlans) => { $crate::require::MATRIX };
    (@strict $other:tt) => { $crate::require::STRICT };
    (@check root) => { $crate::require::root() };
    (@check namespaces) => { $crate::require::namespaces() };
    (@check agent) => { $crate::require::agent() };
    (@check object) => { $crate::require::object() };
    (@check capture) => { $crate::program::capture::object().map(drop) };
    (@check handover) => { $crate::program::handover::object().map(drop) };
    (@check earlier) => { $crate::earlier::object().map(drop) };
    (@check bonds) => { $crate::require::bonds() };
    (@check frr) => { $crate::routing::Frr::installed() };
    (@check vlans) => { $crate::require::vlans() };
    (@check $program:literal) => { $crate::require::program($program) };
    ($($what:tt),+) => {
        $( if $crate::require::is_missing($crate::require!(@check $what), $crate::require!(@strict $what)) { return; } )+
    };
}

/// Root is needed to make namespaces and to load programs.
pub fn root() -> Result<(), String> {
    if nix::unistd::geteuid().is_root() {
        Ok(())
    } else {
        Err("needs root, to make network namespaces and load programs".into())
    }
}

/// What every topology needs.
pub fn namespaces() -> Result<(), String> {
    root()?;
    program("ip")?;
    program("ethtool")
}

/// A program that must be installed.
pub fn program(name: &str) -> Result<(), String> {
    find_program(name)
        .map(drop)
        .ok_or_else(|| format!("needs `{name}`; `cargo xtask setup` installs it"))
}

/// The agent must have been built.
pub fn agent() -> Result<(), String> {
    crate::agent::binary().map(drop)
}

/// The XDP object must have been built.
pub fn object() -> Result<(), String> {
    root()?;
    crate::program::object().map(drop)
}

/// The kernel must have bonds.
pub fn bonds() -> Result<(), String> {
    device("bond", &["name", "probe", "type", "bond"])
}

/// The kernel must have VLAN devices.
pub fn vlans() -> Result<(), String> {
    // The loopback, the only device there is, takes none on top of itself.
    let vlan = ["link", "veth0", "name", "probe", "type", "vlan", "id", "9"];
    device("vlan", &vlan)
}

fn device(kind: &str, arguments: &[&str]) -> Result<(), String> {
    namespaces()?;
    let namespace = Namespace::new("kinds");
    namespace.ip(&["link", "add", "veth0", "type", "veth", "peer", "veth1"]);
    let add = [&["-n", namespace.name(), "link", "add"], arguments].concat();
    if run_unchecked("ip", &add).status.success() {
        return Ok(());
    }
    Err(format!("needs a kernel with devices of kind `{kind}`"))
}

/// Where an installed program is. `/usr/sbin` counts even if `PATH` lacks it.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// Prints why a test is skipped.
///
/// # Panics
/// If skipping is forbidden: the variable `strict` is set (see [`STRICT`]).
#[doc(hidden)]
pub fn is_missing(requirement: Result<(), String>, strict: &str) -> bool {
    let Err(reason) = requirement else {
        return false;
    };
    // The test runner names the thread after the test.
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let strict = std::env::var(strict).is_ok_and(|value| value != "0");
    assert!(!strict, "{test} may not be skipped here: {reason}");
    // Not by `println!`, which the test runner shows of failed tests only.
    // In one piece, for tests run side by side.
    let line = format!("skipped: {test}: {reason}\n");
    io::stderr().write_all(line.as_bytes()).ok();
    true
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_installed_program_is_found_and_a_missing_one_is_explained() {
        assert_eq!(super::program("sh"), Ok(()));
        let error = super::program("no-such-program").unwrap_err();
        assert!(
            error.contains("no-such-program") && error.contains("setup"),
            "{error}"
        );
    }
}
