//! `[[bfd]]` as TOML.

use toml_edit::{ArrayOfTables, Item, Table, value};

use super::render::{duration, number};
use crate::model::{BfdName, BfdSession};

pub(super) fn sessions<'s>(
    sessions: impl IntoIterator<Item = (&'s BfdName, &'s BfdSession)>,
) -> Item {
    let tables = sessions.into_iter().map(|(name, session)| {
        let mut entries = vec![
            ("name", value(name.as_str())),
            ("peer", value(session.peer.to_string())),
            ("interval", duration(session.timing.interval)),
            ("multiplier", number(session.timing.multiplier)),
            ("passive", value(session.passive)),
        ];
        entries.extend(session.interface.iter().map(|i| ("interface", value(i))));
        let local = session.local.map(|local| local.to_string());
        entries.extend(local.map(|local| ("local", value(local))));
        Table::from_iter(entries)
    });
    Item::ArrayOfTables(tables.collect::<ArrayOfTables>())
}
