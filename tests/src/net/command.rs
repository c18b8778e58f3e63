//! Running a short command to its end.

use std::process::{Command, Output};

/// Runs `program arguments...` and returns its standard output.
///
/// # Panics
/// If it cannot be started or fails, with the command line and what it printed.
#[track_caller]
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = run_unchecked(program, arguments);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "`{program} {}` failed ({}): {stdout}{}",
        arguments.join(" "),
        output.status,
        String::from_utf8_lossy(&output.stderr),
    );
    stdout
}

/// Runs `program arguments...` and returns its outcome, whatever it is.
///
/// # Panics
/// If it cannot be started.
#[track_caller]
pub fn run_unchecked(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot start `{program}`: {error}"))
}
