//! `adc ha jitter-test`.

use super::{
    super::{Exit, Local, args::Format, jitter_args::JitterArgs, output},
    Done, Failure, Outcome, show,
};

pub(super) fn run(local: &impl Local, args: &JitterArgs, format: Format) -> Done {
    let report = local.jitter_test(args.profile.into(), args.seconds);
    let report = report.map_err(Failure::Run)?;
    let outcome = show(format, &report, output::jitter)?;
    let exit = match report.refused {
        None => Exit::Ok,
        Some(_) => Exit::Degraded,
    };
    Ok(Outcome { exit, ..outcome })
}
