//! Running other programs: echoed as they would be typed, with errors that name them.

use std::{
    env,
    ffi::OsStr,
    fmt::Display,
    io,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// Announces a step on stderr.
pub(crate) fn step(message: impl Display) {
    eprintln!("==> {message}");
}

/// The command line, for people to read and copy.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(quoted).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    if word.contains([' ', '*', '\'', '"', '$']) {
        format!("'{}'", word.replace('\'', r"'\''"))
    } else {
        word.into_owned()
    }
}

/// Runs to completion with stdout sent to stderr; a non-zero exit is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("    $ {}", shown(command));
    let status = command
        .stdout(Stdio::from(io::stderr()))
        .status()
        .with_context(|| format!("starting `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs in the foreground with our own stdio and hands the exit code on, as a shell would.
pub(crate) fn run_through(command: &mut Command) -> Result<ExitCode> {
    eprintln!("    $ {}", shown(command));
    let status = command
        .status()
        .with_context(|| format!("starting `{}`", shown(command)))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Runs quietly and returns stdout; a non-zero exit is an error that carries stderr.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting `{}`", shown(command)))?;
    if !output.status.success() {
        bail!(
            "`{}` failed: {}: {}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("reading the output of `{}`", shown(command)))
}

/// Finds a program on `PATH` or in the administrator's directories, which an ordinary user's `PATH`
/// leaves out.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether we may create namespaces, load programs and install packages.
pub(crate) fn is_root() -> bool {
    // The effective user is the owner of our own /proc entry; saves a dependency for one syscall.
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_command_can_be_pasted_into_a_shell() {
        let mut command = Command::new("cargo");
        command.args(["test", "--test", "prog_*", "it's"]);
        assert_eq!(shown(&command), r"cargo test --test 'prog_*' 'it'\''s'");
    }

    #[test]
    fn missing_program_is_not_found_and_sh_is() {
        assert!(find_program("no-such-program-here").is_none());
        assert!(find_program("sh").is_some());
    }

    #[test]
    fn failing_program_reports_its_name_and_stderr() {
        let error = output(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("sh -c") && text.contains("broken"), "{text}");
    }
}
