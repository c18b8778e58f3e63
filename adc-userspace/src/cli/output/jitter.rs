//! What a jitter test found.

use super::layout::fields;
use crate::ha::heartbeat::jitter::Report;

pub(in crate::cli) fn jitter(report: &Report) -> String {
    let thread = if report.real_time {
        "real-time (SCHED_FIFO), memory locked"
    } else {
        "ordinary"
    };
    let points = report.distribution.iter().map(|point| {
        if point.percent < 100.0 {
            format!("{} %: at most {} µs", point.percent, point.gap_us)
        } else {
            format!("longest: {} µs", point.gap_us)
        }
    });
    let verdict = match &report.refused {
        None => format!("this machine is fit for profile {}", report.profile),
        Some(why) => format!(
            "not fit for profile {}: {why}; use a slower profile, or leave a processor to the heartbeat (isolcpus, a pinned vCPU) and measure again",
            report.profile
        ),
    };
    fields(&[
        (
            "profile",
            format!(
                "{}: a heartbeat every {} µs, the peer takes over after {} µs",
                report.profile, report.interval_us, report.detection_us
            ),
        ),
        ("thread", thread.to_owned()),
        ("gaps", format!("{} measured", report.gaps)),
        ("", points.collect::<Vec<_>>().join("\n")),
        (
            "false takeovers",
            format!(
                "{} seen, {:.2e} a day to be expected",
                report.trips, report.trips_per_day
            ),
        ),
        ("verdict", verdict),
    ])
}
