//! VIPs that a routing daemon announces.

use std::fmt;

use super::families::Families;
use crate::api::proto::AnnouncementView;

pub(super) fn render(out: &mut Families<'_>, announcements: &[AnnouncementView]) -> fmt::Result {
    // Without announcements, not even their name.
    if announcements.is_empty() {
        return Ok(());
    }
    let rows = announcements.iter().map(|view| {
        let labels = [("vip", view.vip.to_string())];
        (labels, u32::from(view.announced))
    });
    out.gauge(
        "adc_announced",
        "1 while the route to the VIP is there for the routing daemon.",
        rows,
    )
}
