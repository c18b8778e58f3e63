//! The audit trail: every change, who asked for it, what it was before and after.

use super::Caller;
use crate::api::proto::{ApiError, Applied};

/// `tracing` target of audit records; `ADC_LOG=warn,audit=info` keeps them when all else is quiet.
const TARGET: &str = "audit";

/// Records something that changes no configuration and that still has to be answered for: other people's packets were
/// read, or an HA role was moved.
pub(super) fn note<T>(caller: &Caller, what: &str, result: &Result<T, ApiError>) {
    let (uid, pid) = (caller.uid, caller.pid);
    match result {
        Ok(_) => tracing::info!(target: TARGET, uid, pid, "{what}"),
        Err(error) => tracing::info!(
            target: TARGET,
            uid,
            pid,
            code = error.code.name(),
            error = %error.what,
            "refused: {what}"
        ),
    }
}

/// Records a change that was made or refused. A dry run changes nothing and is not recorded.
pub(super) fn record(caller: &Caller, what: &str, result: &Result<Applied, ApiError>) {
    let (uid, pid) = (caller.uid, caller.pid);
    match result {
        Ok(applied) if !applied.applied => {}
        Ok(applied) => tracing::info!(
            target: TARGET,
            uid,
            pid,
            generation = applied.generation,
            before = %applied.before,
            after = %applied.after,
            "{what}"
        ),
        Err(error) => tracing::info!(
            target: TARGET,
            uid,
            pid,
            code = error.code.name(),
            error = %error.what,
            "refused: {what}"
        ),
    }
}
