//! What differs between two configurations, in words.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::Config;

/// One value, or one whole thing, that is not the same in the file and in what runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The thing: `pool web backend web1`, `service www`, `dataplane`.
    pub thing: String,
    /// The key of the value: `weight`, `timeouts.established`; `None` if the thing itself is only on one side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What the file says; `None` = nothing.
    pub file: Option<String>,
    /// What runs; `None` = nothing.
    pub running: Option<String>,
}

/// Everything that differs between the file and what runs, ordered by place.
pub fn differences(file: &Config, running: &Config) -> Vec<Difference> {
    let mut found = Vec::new();
    // A Config of maps with string keys always becomes JSON; comparing that covers every key there is,
    // those of later versions included.
    let pair = (serde_json::to_value(file), serde_json::to_value(running));
    if let (Ok(file), Ok(running)) = pair {
        compare(&mut Vec::new(), Some(&file), Some(&running), &mut found);
    }
    found
}

fn compare<'a>(
    path: &mut Vec<&'a str>,
    file: Option<&'a Value>,
    running: Option<&'a Value>,
    found: &mut Vec<Difference>,
) {
    if file == running {
        return;
    }
    let (Some(Value::Object(left)), Some(Value::Object(right))) = (file, running) else {
        found.push(difference(path, file, running));
        return;
    };
    let only_right = right.keys().filter(|key| !left.contains_key(*key));
    for key in left.keys().chain(only_right) {
        path.push(key);
        compare(path, left.get(key), right.get(key), found);
        path.pop();
    }
}

fn difference(path: &[&str], file: Option<&Value>, running: Option<&Value>) -> Difference {
    let (thing, key) = match path {
        ["pools", pool, "backends", name, key @ ..] => (format!("pool {pool} backend {name}"), key),
        ["pools", pool, key @ ..] => (format!("pool {pool}"), key),
        ["services", service, key @ ..] => (format!("service {service}"), key),
        ["ha", "groups", group, key @ ..] => (format!("HA group {group}"), key),
        ["bfd", session, key @ ..] => (format!("BFD session {session}"), key),
        ["monitors", monitor, key @ ..] => (format!("monitor {monitor}"), key),
        [section, key @ ..] => ((*section).to_owned(), key),
        [] => ("configuration".to_owned(), path),
    };
    // The file's spelling of keys.
    let key = (!key.is_empty()).then(|| key.join(".").replace('-', "_"));
    Difference {
        thing,
        key,
        file: file.map(summary),
        running: running.map(summary),
    }
}

/// A value in one line: plain values as they are, whole things by what tells them apart.
fn summary(value: &Value) -> String {
    let field = |key: &str| value.get(key).map(plain);
    match value {
        Value::Object(_) => {
            let service = field("vip").zip(field("port")).zip(field("pool"));
            if let Some(((vip, port), pool)) = service {
                return format!("VIP {vip} port {port}, pool {pool}");
            }
            if let Some(address) = field("address") {
                let weight = field("weight").unwrap_or_default();
                return format!("{address}, weight {weight}");
            }
            if let Some(Value::Object(backends)) = value.get("backends") {
                return format!("{} backends", backends.len());
            }
            plain(value)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            plain(value)
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_deref().unwrap_or("nothing");
        let running = self.running.as_deref().unwrap_or("nothing");
        match &self.key {
            Some(key) => write!(f, "{key} of {}: file {file}, running {running}", self.thing),
            None => write!(f, "{}: file {file}, running {running}", self.thing),
        }
    }
}
