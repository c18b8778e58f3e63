//! Logs on standard error, where systemd picks them up.

use std::env;

use tracing_subscriber::EnvFilter;

/// Environment variable with the filter: `info` (the default), `warn,audit=info`,
/// `adc_userspace::health=debug`.
const FILTER: &str = "ADC_LOG";

/// How a log record is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text.
    #[default]
    Text,
    /// One JSON object on a line.
    Json,
}

impl LogFormat {
    /// As it is typed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is not one.
    #[error(
        "the environment variable ADC_LOG holds `{filter}`, which is no log filter ({source}): use a level such as `debug`, or pairs such as `info,audit=warn`"
    )]
    Filter {
        /// What it holds.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody set a logger before.
    #[error("cannot start logging: {0}")]
    Start(Box<dyn std::error::Error + Send + Sync>),
}

/// Starts logging for the whole process.
pub fn init_logging(format: LogFormat) -> Result<(), LoggingError> {
    let filter = filter(env::var(FILTER).ok())?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(LoggingError::Start)
}

fn filter(set: Option<String>) -> Result<EnvFilter, LoggingError> {
    let filter = set
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "info".into());
    EnvFilter::builder()
        .parse(&filter)
        .map_err(|source| LoggingError::Filter { filter, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_the_default_and_nonsense_is_refused_by_name() {
        assert_eq!(filter(None).unwrap().to_string(), "info");
        assert_eq!(filter(Some(String::new())).unwrap().to_string(), "info");
        assert!(filter(Some("warn,audit=info".into())).is_ok());
        let error = filter(Some("audit=loud".into())).unwrap_err();
        assert!(error.to_string().contains("`audit=loud`"), "{error}");
    }
}
