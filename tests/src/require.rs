//! What a test needs from the machine, and what becomes of it where that is missing.

use std::{
    io::{self, Write},
    path::PathBuf,
};

/// If set (to anything but `0`), a missing requirement fails the test instead of skipping it. CI
/// sets it, so that a layer that silently stops running is noticed.
pub const STRICT: &str = "ADC_TESTS_MANDATORY";

/// Returns from the test with a printed `skipped: ...` line if the machine lacks something:
/// `require!(root)`, `require!(namespaces, agent, "nginx")`; a string is a program.
#[macro_export]
macro_rules! require {
    (@check root) => { $crate::require::root() };
    (@check namespaces) => { $crate::require::namespaces() };
    (@check agent) => { $crate::require::agent() };
    (@check object) => { $crate::require::object() };
    (@check capture) => { $crate::program::capture::object().map(drop) };
    (@check $program:literal) => { $crate::require::program($program) };
    ($($what:tt),+) => {
        $( if $crate::require::is_missing($crate::require!(@check $what)) { return; } )+
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
/// If skipping is forbidden (see [`STRICT`]).
#[doc(hidden)]
pub fn is_missing(requirement: Result<(), String>) -> bool {
    let Err(reason) = requirement else {
        return false;
    };
    // The test runner names the thread after the test.
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let strict = std::env::var(STRICT).is_ok_and(|value| value != "0");
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
