//! `[[ha.sync_group]]`.

use std::collections::{BTreeMap, HashMap};

use super::{super::error::Fault, section::Section};
use crate::model::GroupName;

const GROUPS: &str = "an array of names of HA groups, such as [\"front\", \"back\"]";

pub(super) fn sync_groups(
    section: &Section<'_>,
    paths: &mut HashMap<GroupName, String>,
) -> BTreeMap<GroupName, Vec<GroupName>> {
    let mut all = BTreeMap::new();
    for table in section.tables("sync_group") {
        table.require("name", "a name for the sync group");
        table.require("groups", GROUPS);
        let name = table.text("name");
        let name = name.and_then(|name| table.name_at::<GroupName>(&table.key("name"), name));
        let members = members(&table);
        if let Some(name) = name {
            if let Some(first) = paths.get(&name) {
                let fault = Fault::new(format!("{first} has this name already"));
                table.fault("name", fault.value(name.as_str()));
            } else {
                paths.insert(name.clone(), table.path().to_owned());
                all.insert(name, members);
            }
        }
        table.finish();
    }
    all
}

fn members(table: &Section<'_>) -> Vec<GroupName> {
    let mut members = Vec::new();
    for (path, text) in table.texts("groups", GROUPS) {
        let Some(member) = table.name_at::<GroupName>(&path, text) else {
            continue;
        };
        if members.contains(&member) {
            table.fault_at(&path, Fault::new("listed twice").value(text));
        } else {
            members.push(member);
        }
    }
    members
}
