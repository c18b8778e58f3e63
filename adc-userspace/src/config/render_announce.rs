//! `[announce]` as TOML.

use toml_edit::{Array, Item, value};

use super::{
    render::{duration, number, table},
    words::Words,
};
use crate::model::RouteAnnouncement;

pub(super) fn announce(announce: &RouteAnnouncement) -> Item {
    let mut entries = vec![
        ("table", number(announce.table)),
        ("require", value(announce.require.word())),
        ("min_up", number(announce.min_up)),
        ("up_after", duration(announce.up_after)),
        ("down_after", duration(announce.down_after)),
        ("drain", duration(announce.drain)),
    ];
    if !announce.vips.is_empty() {
        let vips = announce.vips.iter().map(ToString::to_string);
        entries.push(("vips", value(vips.collect::<Array>())));
    }
    table(entries)
}
