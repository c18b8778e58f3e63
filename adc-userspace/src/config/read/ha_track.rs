//! `track` of `[[ha.group]]`.

use std::{path::PathBuf, time::Duration};

use toml_edit::Value;

use super::{
    super::{bounds, error::Fault},
    ha::interface,
    section::{Section, wrong_value_type},
};
use crate::model::{BfdName, PoolName, Script, Track, Tracked};

const TRACK: &str = "an array of tables, such as [{ interface = \"eth1\" }, { pool = \"web\", min_up = 1, weight = -50 }, { script = \"/usr/local/bin/well\", interval = \"2s\" }]";

const SCRIPT: &str = "an absolute path, or an array of one and its arguments, such as [\"/usr/local/bin/well\", \"--quick\"]";

pub(super) fn track(section: &Section<'_>) -> Vec<Track> {
    let mut tracks = Vec::new();
    for (path, value) in section.array("track", TRACK) {
        let Some(table) = section.inner(&path, value) else {
            section.fault_at(&path, wrong_value_type(value, TRACK));
            continue;
        };
        tracks.extend(one(&table));
        table.finish();
    }
    tracks
}

fn one(table: &Section<'_>) -> Option<Track> {
    let weight = table.integer("weight", bounds::TRACK_WEIGHT);
    if weight == Some(0) {
        let fault = Fault::new("changes nothing").value("0");
        let allowed = "a weight, or none: then this node is not active while the thing is not well";
        table.fault("weight", fault.allowed(allowed));
    }
    let kinds = ["interface", "pool", "bfd", "script", "self_test"];
    let given: Vec<_> = kinds.into_iter().filter(|key| table.has(key)).collect();
    if given.len() != 1 {
        let fault = Fault::new(match given.len() {
            0 => "names nothing to watch".to_owned(),
            _ => format!("names several things to watch: {}", given.join(", ")),
        });
        table.fault_at(
            table.path(),
            fault.allowed("one of interface, pool, bfd, script, self_test"),
        );
    }
    // All are read, so that none is reported as unknown.
    let by_interface = interface(table, "interface").map(Tracked::Interface);
    let pool = table.text("pool");
    let pool = pool.and_then(|name| table.name_at::<PoolName>(&table.key("pool"), name));
    let min_up = if table.has("pool") {
        table.integer("min_up", 1..=65_535_u32).unwrap_or(1)
    } else {
        1
    };
    let by_pool = pool.map(|pool| Tracked::Pool { pool, min_up });
    let by_script = if table.has("script") {
        script(table).map(Tracked::Script)
    } else {
        None
    };
    let by_self_test = self_test(table);
    let bfd = table.text("bfd");
    let bfd = bfd.and_then(|name| table.name_at::<BfdName>(&table.key("bfd"), name));
    let by_bfd = bfd.map(Tracked::Bfd);
    let what = by_interface.or(by_pool).or(by_bfd).or(by_script);
    let what = what.or(by_self_test)?;
    Some(Track { what, weight })
}

fn self_test(table: &Section<'_>) -> Option<Tracked> {
    let wanted = table.boolean("self_test")?;
    if !wanted {
        let fault = Fault::new("is tested all the same: every group depends on its data plane");
        let allowed = "true, with a weight if a failed test is to lower the priority only";
        table.fault("self_test", fault.value("false").allowed(allowed));
    }
    Some(Tracked::SelfTest)
}

fn script(table: &Section<'_>) -> Option<Script> {
    let words = if table.is_text("script") {
        table
            .text("script")
            .into_iter()
            .map(str::to_owned)
            .collect()
    } else {
        words(table)
    };
    let interval = table.duration("interval", bounds::INTERVAL);
    let interval = interval.unwrap_or(Duration::from_secs(2));
    let timeout = table.duration("timeout", bounds::PROBE_TIMEOUT);
    let timeout = timeout.unwrap_or(interval);
    let rise = table.integer("rise", bounds::RISE_FALL).unwrap_or(2);
    let fall = table.integer("fall", bounds::RISE_FALL).unwrap_or(2);
    if timeout > interval {
        let shown = humantime::format_duration(timeout).to_string();
        let fault = Fault::new("longer than `interval`: runs would overlap").value(shown);
        let most = humantime::format_duration(interval);
        table.fault("timeout", fault.allowed(format!("up to {most}")));
    }
    let mut words = words.into_iter();
    let program = PathBuf::from(words.next()?);
    if !program.is_absolute() {
        let fault = Fault::new("not an absolute path").value(program.to_string_lossy());
        table.fault("script", fault.allowed(SCRIPT));
    }
    Some(Script {
        program,
        args: words.collect(),
        interval,
        timeout,
        rise,
        fall,
    })
}

fn words(table: &Section<'_>) -> Vec<String> {
    if table.is_empty_array("script") {
        table.fault("script", Fault::new("is empty").allowed(SCRIPT));
    }
    let values = table.array("script", SCRIPT);
    let text = |(path, value): (String, &Value)| {
        if value.as_str().is_none() {
            table.fault_at(&path, wrong_value_type(value, "a string in quotes"));
        }
        value.as_str().map(str::to_owned)
    };
    values.into_iter().filter_map(text).collect()
}
