//! Ports of the local addresses that `full-nat` sends from.

use std::fmt;

use super::families::Families;
use crate::api::proto::SnatUse;

pub(super) fn render(out: &mut Families<'_>, uses: &[SnatUse]) -> fmt::Result {
    let labels = |snat: &SnatUse| {
        [
            ("service", snat.service.to_string()),
            ("backend", snat.backend.to_string()),
        ]
    };
    out.gauge(
        "adc_backend_snat_saturation_ratio",
        "Share of the local ports towards the backend that is in use; at 1 new flows are dropped.",
        uses.iter().map(|snat| (labels(snat), share(snat))),
    )?;
    out.counter(
        "adc_backend_snat_exhausted",
        "New flows dropped because no local port towards the backend was found.",
        uses.iter().map(|snat| (labels(snat), snat.exhausted)),
    )
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 flows")]
fn share(snat: &SnatUse) -> f64 {
    if snat.ports == 0 {
        return 1.0;
    }
    snat.flows as f64 / snat.ports as f64
}
