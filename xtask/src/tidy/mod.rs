//! `cargo xtask tidy`: the house rules that neither compiler nor clippy checks.
//!
//! Each check is a pure function from a file's path and text to violations, so each is tested on a text
//! that breaks its rule.

mod abi;
mod manifest;
mod source;
mod text;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};

use crate::workspace::Workspace;

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Violation {
    path: PathBuf,
    /// Line, from 1; 0 for the file as a whole.
    line: usize,
    message: String,
}

impl Violation {
    fn new(path: &Path, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_path_buf(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.message)
    }
}

/// A text file of the repository, its path relative to the root.
#[derive(Debug)]
struct File {
    path: PathBuf,
    text: String,
}

impl File {
    fn has_extension(&self, extension: &str) -> bool {
        self.path.extension().is_some_and(|e| e == extension)
    }
}

/// Runs the command.
pub(crate) fn command() -> Result<ExitCode> {
    check_workspace(&Workspace::find()?.root)?;
    eprintln!("tidy: ok");
    Ok(ExitCode::SUCCESS)
}

/// Prints every violation under `root`; any is an error.
pub(crate) fn check_workspace(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    collect(root, Path::new(""), &mut files)?;
    let mut violations = check(&files);
    violations.sort();
    for violation in &violations {
        eprintln!("{violation}");
    }
    if !violations.is_empty() {
        bail!("tidy: {} violations of the house rules", violations.len());
    }
    Ok(())
}

fn check(files: &[File]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in files {
        violations.extend(text::check(file));
        if file.has_extension("rs") {
            violations.extend(source::check(file));
        }
    }
    violations.extend(manifest::check(files));
    violations.extend(abi::check(files));
    violations
}

/// Reads the files that have rules, skipping version control and build output.
fn collect(root: &Path, relative: &Path, files: &mut Vec<File>) -> Result<()> {
    const CHECKED: [&str; 7] = ["rs", "md", "toml", "sh", "yml", "service", "conf"];
    let directory = root.join(relative);
    let listing = || format!("listing {}", directory.display());
    for entry in fs::read_dir(&directory).with_context(listing)? {
        let name = entry.with_context(listing)?.file_name();
        let path = relative.join(&name);
        let full = root.join(&path);
        if full.is_dir() {
            // Cargo marks its target directories, whatever they are called.
            let generated =
                name == ".git" || name == "target" || full.join("CACHEDIR.TAG").exists();
            if !generated {
                collect(root, &path, files)?;
            }
        } else if CHECKED
            .iter()
            .any(|e| path.extension().is_some_and(|x| x == *e))
            || path.starts_with(".ci")
        {
            let text =
                fs::read_to_string(&full).with_context(|| format!("reading {}", full.display()))?;
            files.push(File { path, text });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file, for the tests of the checks.
    pub(super) fn file(path: &str, text: &str) -> File {
        File {
            path: path.into(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn violations_name_file_and_line() {
        let violation = Violation::new(Path::new("a/b.rs"), 3, "is wrong");
        assert_eq!(violation.to_string(), "a/b.rs:3: is wrong");
    }

    #[test]
    fn build_output_and_version_control_are_not_read() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut files = Vec::new();
        collect(&root, Path::new(""), &mut files).unwrap();
        let has = |prefix: &str| files.iter().any(|file| file.path.starts_with(prefix));
        assert!(has("xtask/src/tidy"));
        assert!(!has(".git"));
        assert!(!has("target"));
    }
}
