//! Errors as the API reports them.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

/// What kind of failure. The HTTP status and the exit code of `adc` follow from it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The request makes no sense: bad JSON, unknown field, bad query (400).
    InvalidRequest,
    /// The caller may not do this (403).
    NotPermitted,
    /// The named thing, or the route, does not exist (404).
    NotFound,
    /// The route exists, the method does not (405).
    MethodNotAllowed,
    /// The request did not arrive in time (408).
    Timeout,
    /// It contradicts what is there: the name is taken, the pool is in use (409).
    Conflict,
    /// The request is larger than [`crate::api::MAX_BODY`] (413).
    TooLarge,
    /// A configuration or an edit that is not valid; see the problems (422).
    InvalidConfig,
    /// The agent failed at something it should be able to do (500).
    Internal,
    /// The agent is starting or stopping (503).
    Unavailable,
    /// No agent answers. Made by the client, never sent.
    Unreachable,
}

/// One thing that is wrong in a configuration; the same JSON as the configuration's own errors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_field_names,
    reason = "the JSON of a configuration error has this word"
)]
pub struct Problem {
    /// File it stands in; absent for a runtime edit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Line in the file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column, from 1, in characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// Where in the document: `pool.web.backends[2].weight`; absent = the document as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The offending value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What is wrong with it.
    pub problem: String,
    /// What would be accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// What was probably meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub did_you_mean: Option<String>,
}

/// A failed request, in the shape of RFC 9457 (`application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(into = "Wire", from = "Wire")]
pub struct ApiError {
    /// What kind of failure.
    pub code: ErrorCode,
    /// One sentence: what was tried, on what, and what to do next.
    pub what: String,
    /// Every problem found, if the code is [`ErrorCode::InvalidConfig`].
    pub problems: Vec<Problem>,
}

/// RFC 9457 §3.1 members, then ours.
#[derive(Clone, Serialize, Deserialize)]
struct Wire {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    status: u16,
    code: ErrorCode,
    detail: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem>,
}

impl ErrorCode {
    /// Name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid-request",
            Self::NotPermitted => "not-permitted",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Timeout => "timeout",
            Self::Conflict => "conflict",
            Self::TooLarge => "too-large",
            Self::InvalidConfig => "invalid-config",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::Unreachable => "unreachable",
        }
    }

    /// A short title, the same for every error of this kind (RFC 9457 §3.1.3).
    pub const fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "Invalid request",
            Self::NotPermitted => "Not permitted",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "Method not allowed",
            Self::Timeout => "Request timed out",
            Self::Conflict => "Conflict",
            Self::TooLarge => "Request too large",
            Self::InvalidConfig => "Invalid configuration",
            Self::Internal => "Internal error",
            Self::Unavailable => "Agent unavailable",
            Self::Unreachable => "Agent unreachable",
        }
    }

    /// HTTP status (RFC 9110 §15).
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::NotPermitted => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Timeout => 408,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::InvalidConfig => 422,
            Self::Internal => 500,
            Self::Unavailable | Self::Unreachable => 503,
        }
    }
}

impl ApiError {
    /// An error without a list of problems.
    pub fn new(code: ErrorCode, what: impl Into<String>) -> Self {
        Self {
            code,
            what: what.into(),
            problems: Vec::new(),
        }
    }

    /// A named thing that is not there.
    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, what)
    }

    /// A configuration or edit that is not valid.
    pub fn invalid_config(what: impl Into<String>, problems: Vec<Problem>) -> Self {
        Self {
            code: ErrorCode::InvalidConfig,
            what: what.into(),
            problems,
        }
    }
}

/// An error and its causes in one sentence. Many layers repeat the one below them in their own words; what was
/// said is not said again.
pub fn sentence(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

impl From<ApiError> for Wire {
    fn from(error: ApiError) -> Self {
        Self {
            kind: format!("urn:adc:error:{}", error.code.name()),
            title: error.code.title().into(),
            status: error.code.http_status(),
            code: error.code,
            detail: error.what,
            problems: error.problems,
        }
    }
}

impl From<Wire> for ApiError {
    fn from(wire: Wire) -> Self {
        Self {
            code: wire.code,
            what: wire.detail,
            problems: wire.problems,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            for number in [self.line, self.column].into_iter().flatten() {
                write!(f, "{number}:")?;
            }
            f.write_str(" ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_is_an_rfc_9457_problem_and_survives_the_wire() {
        let error = ApiError::invalid_config(
            "the configuration is not valid",
            vec![Problem {
                key: Some("pool.web.backends[2].weight".into()),
                problem: "out of range".into(),
                allowed: Some("0 to 1000".into()),
                value: Some("2000".into()),
                ..Problem::default()
            }],
        );
        let wire = serde_json::to_value(&error).unwrap();
        assert_eq!(
            wire,
            json!({
                "type": "urn:adc:error:invalid-config",
                "title": "Invalid configuration",
                "status": 422,
                "code": "invalid-config",
                "detail": "the configuration is not valid",
                "problems": [{
                    "key": "pool.web.backends[2].weight",
                    "problem": "out of range",
                    "allowed": "0 to 1000",
                    "value": "2000",
                }],
            })
        );
        assert_eq!(serde_json::from_value::<ApiError>(wire).unwrap(), error);
    }

    #[test]
    fn a_cause_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("opening /x: {source}; mend it")]
        struct Outer {
            source: std::io::Error,
        }
        let source = std::io::Error::from_raw_os_error(13);
        let error = anyhow::Error::new(Outer { source }).context("starting");
        let text = sentence(error.as_ref());
        assert_eq!(
            text,
            "starting: opening /x: Permission denied (os error 13); mend it"
        );
    }

    #[test]
    fn people_see_every_problem_with_place_value_and_suggestion() {
        let error = ApiError::invalid_config(
            "2 problems in adc.toml",
            vec![
                Problem {
                    file: Some("adc.toml".into()),
                    line: Some(7),
                    key: Some("pools".into()),
                    problem: "unknown key".into(),
                    did_you_mean: Some("pool".into()),
                    ..Problem::default()
                },
                Problem {
                    problem: "no services".into(),
                    ..Problem::default()
                },
            ],
        );
        assert_eq!(
            error.to_string(),
            "2 problems in adc.toml\n  adc.toml:7: pools: unknown key; did you mean `pool`?\n  no services"
        );
    }
}
