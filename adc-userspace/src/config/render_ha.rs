//! `[ha]` as TOML, with every value spelt out.

use toml_edit::{Array, ArrayOfTables, InlineTable, Item, Table, Value, value};

use super::{
    render::{duration, number, path, table},
    words::Words,
};
use crate::model::{
    GroupName, GroupVip, Ha, HaGroup, HeartbeatPath, HeartbeatSettings, SyncSettings, Track,
    Tracked,
};

pub(super) fn ha(ha: &Ha) -> Item {
    let groups: ArrayOfTables = ha
        .groups
        .iter()
        .map(|(name, g)| group(name.as_str(), g))
        .collect();
    let mut entries = vec![("agent_grace", duration(ha.agent_grace))];
    if !groups.is_empty() {
        entries.push(("group", Item::ArrayOfTables(groups)));
    }
    let together = ha.sync_groups.iter().map(sync_group);
    let together: ArrayOfTables = together.collect();
    if !together.is_empty() {
        entries.push(("sync_group", Item::ArrayOfTables(together)));
    }
    entries.extend(
        ha.heartbeat
            .as_ref()
            .map(|settings| ("heartbeat", heartbeat(settings))),
    );
    entries.extend(ha.sync.as_ref().map(|settings| ("sync", sync(settings))));
    table(entries)
}

fn sync_group((name, groups): (&GroupName, &Vec<GroupName>)) -> Table {
    let groups = groups.iter().map(GroupName::as_str);
    Table::from_iter([
        ("name", value(name.as_str())),
        ("groups", value(groups.collect::<Array>())),
    ])
}

fn sync(sync: &SyncSettings) -> Item {
    table([
        ("interface", value(&sync.interface)),
        ("peer", value(sync.peer.to_string())),
        ("port", number(sync.port)),
        ("key_file", path(&sync.key_file)),
        ("wait_at_most", duration(sync.wait_at_most)),
    ])
}

fn heartbeat(heartbeat: &HeartbeatSettings) -> Item {
    let way = |way: &HeartbeatPath| {
        Table::from_iter([
            ("interface", value(&way.interface)),
            ("peer", value(way.peer.to_string())),
        ])
    };
    let mut entries = vec![
        ("peer", value(&heartbeat.peer)),
        ("profile", value(heartbeat.profile.word())),
        ("key_file", path(&heartbeat.key_file)),
        ("port", number(heartbeat.port)),
    ];
    let witness = heartbeat.witness.as_ref().map(ToString::to_string);
    entries.extend(witness.map(|address| ("witness", value(address))));
    let paths: ArrayOfTables = heartbeat.paths.iter().map(way).collect();
    entries.push(("paths", paths.into()));
    table(entries)
}

fn group(name: &str, group: &HaGroup) -> Table {
    let announce = &group.announce;
    let peers = group.unicast_peers.iter().map(ToString::to_string);
    let mut entries = vec![
        ("name", value(name)),
        ("election", value(group.election.word())),
        ("vrid", number(group.vrid)),
        ("interface", value(&group.interface)),
        ("version", number(group.version.number())),
        ("priority", number(group.priority)),
        ("advert_interval", duration(group.advert_interval)),
        ("preempt", value(group.preempt)),
        ("preempt_delay", duration(group.preempt_delay)),
        ("checksum", value(group.checksum.word())),
        ("vips", value(group.vips.iter().map(vip).collect::<Array>())),
        ("virtual_mac", value(group.virtual_mac)),
        (
            "announce",
            table([
                ("count", number(announce.count)),
                ("repeat_after", duration(announce.repeat_after)),
                ("repeat_count", number(announce.repeat_count)),
                ("refresh", duration(announce.refresh)),
            ]),
        ),
    ];
    if !group.unicast_peers.is_empty() {
        entries.push(("unicast_peers", value(peers.collect::<Array>())));
    }
    if !group.track.is_empty() {
        let track = group.track.iter().map(track);
        entries.push(("track", value(track.collect::<Array>())));
    }
    Table::from_iter(entries)
}

fn vip(vip: &GroupVip) -> Value {
    let address = match vip.length {
        Some(length) => format!("{}/{length}", vip.address),
        None => vip.address.to_string(),
    };
    match &vip.interface {
        None => address.into(),
        Some(interface) => inline([
            ("address", address.into()),
            ("interface", interface.as_str().into()),
        ]),
    }
}

fn track(track: &Track) -> Value {
    let text = |duration| humantime::format_duration(duration).to_string();
    let mut entries: Vec<(&str, Value)> = match &track.what {
        Tracked::Interface(name) => vec![("interface", name.as_str().into())],
        Tracked::Pool { pool, min_up } => vec![
            ("pool", pool.as_str().into()),
            ("min_up", i64::from(*min_up).into()),
        ],
        Tracked::SelfTest => vec![("self_test", true.into())],
        Tracked::Bfd(session) => vec![("bfd", session.as_str().into())],
        Tracked::Script(script) => {
            let words = [script.program.to_string_lossy().into_owned()];
            let words = words.into_iter().chain(script.args.iter().cloned());
            vec![
                ("script", words.collect::<Array>().into()),
                ("interval", text(script.interval).into()),
                ("timeout", text(script.timeout).into()),
                ("rise", i64::from(script.rise).into()),
                ("fall", i64::from(script.fall).into()),
            ]
        }
    };
    entries.extend(
        track
            .weight
            .map(|weight| ("weight", i64::from(weight).into())),
    );
    inline(entries)
}

fn inline<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    InlineTable::from_iter(entries).into()
}
