//! Exit codes.

use std::process::ExitCode;

use crate::api::proto::ErrorCode;

/// How `adc` ends. The numbers are stable; scripts may rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok,
    /// Failed, for a reason without a code of its own.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// A configuration or an edit is not valid; nothing was changed.
    InvalidConfig,
    /// It contradicts what is there: the name is taken, another agent runs.
    Conflict,
    /// Neither root nor in group `adc`.
    NotPermitted,
    /// No agent answers on the control socket.
    Unreachable,
    /// The answer is complete and says that something is wrong.
    Degraded,
}

/// Shown below `adc --help`.
pub(super) const HELP: &str = "\
Exit codes:
  0  ok
  1  failed
  2  usage: the command line makes no sense
  3  invalid configuration or edit; nothing was changed
  4  conflict: the name is taken, the pool is in use, another agent runs
  5  not permitted: neither root nor in group adc
  6  agent unreachable
  7  degraded: `adc status` or `adc doctor` found something wrong

Environment:
  ADC_SOCKET  control socket, as --socket
  ADC_LOG     log filter of `adc run`: info (default), debug, warn,audit=info, ...";

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::InvalidConfig => 3,
            Self::Conflict => 4,
            Self::NotPermitted => 5,
            Self::Unreachable => 6,
            Self::Degraded => 7,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

impl From<ErrorCode> for Exit {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::InvalidConfig => Self::InvalidConfig,
            ErrorCode::Conflict => Self::Conflict,
            ErrorCode::NotPermitted => Self::NotPermitted,
            ErrorCode::Unreachable | ErrorCode::Unavailable => Self::Unreachable,
            ErrorCode::InvalidRequest
            | ErrorCode::NotFound
            | ErrorCode::MethodNotAllowed
            | ErrorCode::Timeout
            | ErrorCode::TooLarge
            | ErrorCode::Internal => Self::Failed,
        }
    }
}
