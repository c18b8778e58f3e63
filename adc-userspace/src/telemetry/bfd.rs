//! BFD sessions.

use std::fmt;

use super::families::Families;
use crate::api::proto::{BfdSessionView, BfdView};

pub(super) fn render(out: &mut Families<'_>, view: &BfdView) -> fmt::Result {
    let sessions = &view.sessions;
    // Without sessions, not even their names.
    if sessions.is_empty() {
        return Ok(());
    }
    let label = |session: &BfdSessionView| [("session", session.name.clone())];
    out.gauge(
        "adc_bfd_session_up",
        "1 while the session is up.",
        sessions
            .iter()
            .map(|s| (label(s), u32::from(s.verdict == crate::bfd::Verdict::Up))),
    )?;
    out.gauge(
        "adc_bfd_detection_seconds",
        "Silence of the peer after which the session goes down; absent while the peer is not heard.",
        sessions
            .iter()
            .filter_map(|s| Some((label(s), seconds(s.detection_micros?)))),
    )?;
    out.counter(
        "adc_bfd_transitions",
        "Changes of the session's state.",
        sessions.iter().map(|s| (label(s), s.counters.transitions)),
    )?;
    let packets = sessions.iter().flat_map(|s| {
        let counters = &s.counters;
        let results = [
            ("sent", counters.sent),
            ("not_sent", counters.not_sent),
            ("received", counters.received),
        ];
        results.map(|(result, count)| {
            let labels = [("session", s.name.clone()), ("result", result.to_owned())];
            (labels, count)
        })
    });
    out.counter(
        "adc_bfd_packets",
        "Control packets, by what became of them.",
        packets,
    )?;
    let refused = sessions.iter().flat_map(|s| {
        let refused = s.counters.refused.iter();
        refused.map(|(reason, count)| {
            let labels = [("session", s.name.clone()), ("reason", reason.clone())];
            (labels, *count)
        })
    });
    out.counter(
        "adc_bfd_packets_refused",
        "Control packets of the peer's address that were ignored, by reason.",
        refused,
    )
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 285 years")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
