//! What is wrong with a configuration, in words an operator can act on.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Serialize;

/// Longest excerpt of an offending value that is shown, in characters.
const EXCERPT: usize = 80;

/// One wrong value, wherever it came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The offending value as written; `None` where a value is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What is wrong with it, and what to do where that is not plain.
    pub problem: String,
    /// What would be accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// What was probably meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub did_you_mean: Option<String>,
}

/// One error in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1; `None` if the error is about something absent from the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column, from 1, in characters; for syntax errors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// Where in the document, e.g. `pool.web.backends[2].weight`; `None` for the file as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What is wrong.
    #[serde(flatten)]
    pub fault: Fault,
}

/// Every error in a configuration file, in the order of the file; at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ConfigErrors(Vec<ConfigError>);

impl Fault {
    /// A fault without a value, a list of what is allowed or a suggestion.
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self {
            value: None,
            problem: problem.into(),
            allowed: None,
            did_you_mean: None,
        }
    }

    /// Quotes the offending value, made printable and cut to a length that fits a line.
    pub(super) fn value(mut self, value: impl AsRef<str>) -> Self {
        let value = value.as_ref();
        let mut shown: String = value
            .chars()
            .take(EXCERPT)
            .flat_map(|c| {
                let printable = (!c.is_control()).then_some(c);
                let escaped = c.is_control().then(|| c.escape_default());
                printable.into_iter().chain(escaped.into_iter().flatten())
            })
            .collect();
        if value.chars().nth(EXCERPT).is_some() {
            shown.push('…');
        }
        self.value = Some(shown);
        self
    }

    /// Says what is allowed.
    pub(super) fn allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    /// Offers what was probably meant.
    pub(super) fn did_you_mean(mut self, suggestion: Option<String>) -> Self {
        self.did_you_mean = suggestion;
        self
    }
}

impl ConfigErrors {
    /// The errors, put in the order of the file.
    pub(super) fn of(mut errors: Vec<ConfigError>) -> Self {
        errors.sort_by_key(|error| error.line);
        Self(errors)
    }

    /// One error about the file as a whole.
    pub(super) fn whole_file(file: &Path, fault: Fault) -> Self {
        Self(vec![ConfigError {
            file: file.to_owned(),
            line: None,
            column: None,
            key: None,
            fault,
        }])
    }

    /// The errors.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a ConfigErrors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(value) = &self.value {
            write!(f, "`{value}`: ")?;
        }
        f.write_str(&self.problem)?;
        if let Some(allowed) = &self.allowed {
            write!(f, "; allowed: {allowed}")?;
        }
        if let Some(suggestion) = &self.did_you_mean {
            write!(f, "; did you mean `{suggestion}`?")?;
        }
        Ok(())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        if let Some(column) = self.column {
            write!(f, "{column}:")?;
        }
        if let Some(key) = &self.key {
            write!(f, " {key}:")?;
        }
        write!(f, " {}", self.fault)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in self {
            writeln!(f, "{error}")?;
        }
        match self.0.len() {
            1 => f.write_str("1 error"),
            count => write!(f, "{count} errors"),
        }
    }
}

impl std::error::Error for ConfigErrors {}
