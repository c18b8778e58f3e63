//! What one probe says about a backend.

/// What one probe says about a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The backend answered as expected; the text says with what, e.g. `http: status 200`.
    Passed(String),
    /// The backend did not; the text says how, e.g. `tcp connect: connection refused`.
    Failed(String),
    /// The probe could not be made for a reason on this machine (no file descriptor left, no privilege).
    ///
    /// It says nothing about the backend, so it moves no counter: a node that runs out of file
    /// descriptors must not take every backend out of service.
    NotRun(String),
}

impl Finding {
    /// The text in it.
    pub fn detail(&self) -> &str {
        match self {
            Self::Passed(detail) | Self::Failed(detail) | Self::NotRun(detail) => detail,
        }
    }
}
