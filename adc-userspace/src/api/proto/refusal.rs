//! Refused configurations and edits as API errors.

use super::{ApiError, ErrorCode, Problem};
use crate::config::{ConfigError, ConfigErrors, edit::EditError};

impl From<&ConfigError> for Problem {
    fn from(error: &ConfigError) -> Self {
        let fault = error.fault.clone();
        Self {
            file: Some(error.file.clone()),
            line: error.line,
            column: error.column,
            key: error.key.clone(),
            value: fault.value,
            problem: fault.problem,
            allowed: fault.allowed,
            did_you_mean: fault.did_you_mean,
        }
    }
}

impl From<&ConfigErrors> for ApiError {
    fn from(errors: &ConfigErrors) -> Self {
        let problems: Vec<Problem> = errors.iter().map(Problem::from).collect();
        let file = errors.iter().next().map(|error| error.file.display());
        let file = file.map_or_else(String::new, |file| format!(" {file}"));
        let count = match problems.len() {
            1 => "1 error".to_owned(),
            count => format!("{count} errors"),
        };
        let what = format!("the configuration{file} is not valid, nothing was changed: {count}");
        Self::invalid_config(what, problems)
    }
}

impl From<EditError> for ApiError {
    fn from(error: EditError) -> Self {
        let what = error.to_string();
        match error {
            EditError::Missing { .. } => Self::not_found(what),
            EditError::Exists { .. } | EditError::InUse { .. } | EditError::Conflict { .. } => {
                Self::new(ErrorCode::Conflict, what)
            }
            EditError::Invalid { problems } => {
                let problem = |problem| Problem {
                    problem,
                    ..Problem::default()
                };
                let problems = problems.into_iter().map(problem).collect();
                Self::invalid_config("the change is not valid, nothing was changed", problems)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    #[test]
    fn every_error_of_a_file_reaches_the_caller_as_the_file_has_it() {
        let text = "[node]\nnmae = \"a\"\n[dataplane]\ninterfaces = []\n";
        let errors = parse(text, Path::new("adc.toml")).unwrap_err();
        let error = ApiError::from(&errors);
        assert_eq!(error.code, ErrorCode::InvalidConfig);
        assert_eq!(error.problems.len(), errors.iter().count());
        for (problem, cause) in error.problems.iter().zip(&errors) {
            assert_eq!(problem.to_string(), cause.to_string());
            assert_eq!(
                serde_json::to_value(problem).unwrap(),
                serde_json::to_value(cause).unwrap()
            );
        }
    }

    #[test]
    fn refused_edits_keep_their_kind() {
        let missing = EditError::Missing {
            thing: "service wwww".into(),
            did_you_mean: Some("www".into()),
        };
        let error = ApiError::from(missing);
        assert_eq!(error.code, ErrorCode::NotFound);
        assert!(error.what.contains("did you mean `www`"), "{error}");
        let exists = EditError::Exists {
            thing: "service www".into(),
        };
        assert_eq!(ApiError::from(exists).code, ErrorCode::Conflict);
        let invalid = EditError::Invalid {
            problems: vec!["weight too large".into()],
        };
        let error = ApiError::from(invalid);
        assert_eq!(error.code, ErrorCode::InvalidConfig);
        assert_eq!(error.problems[0].problem, "weight too large");
    }
}
