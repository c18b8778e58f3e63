//! An explanation for tests.

use super::super::proto::{ExplainRequest, Explanation, ReasonKind};

/// Says what it was asked, and drops it.
pub(super) fn explanation(request: &ExplainRequest) -> Explanation {
    Explanation {
        packet: format!("{:?}", request.packet),
        interface: request.interface.clone().unwrap_or_default(),
        assumed: Vec::new(),
        verdict: "drop".into(),
        reason: "no_backend".into(),
        class: ReasonKind::Dropped,
        meaning: "nobody".into(),
        hint: Some("see `adc backend list`".into()),
        service: None,
        backend: None,
        ring_slot: None,
        leaves_by: None,
        steps: Vec::new(),
        before: Vec::new(),
        after: None,
        changes: Vec::new(),
        notes: Vec::new(),
        frame_before: String::new(),
        frame_after: None,
    }
}
