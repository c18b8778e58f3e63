//! VIPs that a routing daemon announces.

use super::layout::{Column, or_dash, table};
use crate::api::proto::AnnouncementView;

pub(in crate::cli) fn announcements(views: &[AnnouncementView]) -> String {
    if views.is_empty() {
        return "nothing is announced: [announce] in the configuration file, and a service, make routes to VIPs\n".into();
    }
    let columns = [
        Column::Text("VIP"),
        Column::Text("ANNOUNCED"),
        Column::Text("SINCE"),
        Column::Number("TABLE"),
        Column::Text("WHY"),
    ];
    let row = |view: &AnnouncementView| {
        let announced = if view.announced { "yes" } else { "no" };
        vec![
            view.vip.to_string(),
            announced.to_owned(),
            or_dash(view.since.as_ref()),
            view.table.to_string(),
            view.why.clone(),
        ]
    };
    table(&columns, views.iter().map(row))
}
