//! Why a probe did not pass, and the one deadline over all its phases.

use std::{fmt, io, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::Finding;

/// Why a probe did not pass. Its text is what people see as the reason of `down`.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No end of a phase in time.
    #[error("timeout after {} in {phase}", humantime::format_duration(*.after))]
    Timeout {
        after: Duration,
        phase: &'static str,
    },
    /// The network, or the backend's kernel, said no.
    #[error("{phase}: {}", short(.error))]
    Io {
        phase: &'static str,
        error: io::Error,
    },
    /// The backend's answer is not what the monitor asks for.
    #[error("{0}")]
    Answer(String),
    /// This machine cannot make the probe: nothing is known about the backend.
    #[error("probe not made: {phase}: {}", short(.error))]
    Local {
        phase: &'static str,
        error: io::Error,
    },
}

impl Failure {
    /// An error of a socket call that involves no other machine (`socket`, `setsockopt`).
    pub(super) fn local(phase: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Local { phase, error }
    }

    /// An error of a call that talks to the backend.
    pub(super) fn io(phase: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            if is_local(&error) {
                Self::Local { phase, error }
            } else {
                Self::Io { phase, error }
            }
        }
    }

    pub(super) fn into_finding(self) -> Finding {
        let detail = self.to_string();
        match self {
            Self::Timeout { .. } | Self::Io { .. } | Self::Answer(_) => Finding::Failed(detail),
            Self::Local { .. } => Finding::NotRun(detail),
        }
    }
}

/// `connect` and `send` give these when this machine is out of ports, buffers or memory.
///
/// EADDRNOTAVAIL: no free local port (`connect(2)`). ENOBUFS and ENOMEM: `send(2)`.
fn is_local(error: &io::Error) -> bool {
    [libc::EADDRNOTAVAIL, libc::ENOBUFS, libc::ENOMEM]
        .map(Some)
        .contains(&error.raw_os_error())
}

/// The system's text for an error without its number and capital: `connection refused`.
pub(super) fn short(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(letters).collect()
    })
}

/// End of the time a probe has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Instant,
    timeout: Duration,
}

impl Deadline {
    pub(super) fn after(start: Instant, timeout: Duration) -> Self {
        Self {
            at: start + timeout,
            timeout,
        }
    }

    /// Runs one phase of a probe; its name is in the text if time runs out in it.
    pub(super) async fn bound<T>(
        self,
        phase: &'static str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let expired = Failure::Timeout {
            after: self.timeout,
            phase,
        };
        timeout_at(self.at, work).await.unwrap_or(Err(expired))
    }
}

/// At most the first 64 characters of a text that a person or a backend chose.
pub(super) struct Excerpt<'a>(pub(super) &'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 64;
        match self.0.char_indices().nth(LONGEST) {
            Some((end, _)) => write!(f, "`{}…`", &self.0[..end]),
            None => write!(f, "`{}`", self.0),
        }
    }
}
