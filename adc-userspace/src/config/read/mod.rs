//! A TOML document to a [`Config`], with every error in it.
//!
//! Types, units, words and ranges are checked here, where the text is; what services, pools and
//! backends mean to each other is checked by `rules`, which runtime edits share.

mod announce;
mod backends;
mod ha;
mod ha_track;
mod heartbeat;
mod monitor;
mod node;
mod report;
mod section;
mod service;
mod sync;
mod wire;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, path::Path};

use toml_edit::Document;

use self::{report::Report, section::Section};
use super::{
    error::{ConfigError, Fault},
    rules::{self, Breach, Place},
};
use crate::model::{BackendName, Config, GroupName, MonitorKind, PoolName};

/// Key paths of backends: `pool.web.backends[2]`.
type BackendPaths = HashMap<(PoolName, BackendName), String>;

/// Key paths of what stands in arrays.
#[derive(Default)]
struct Paths {
    backends: BackendPaths,
    /// HA groups: `ha.group[0]`.
    groups: HashMap<GroupName, String>,
}

/// Reads a document. `node_name` is the node's name if the file gives none; `ca_file_fault` says what
/// is wrong with a file of trusted CAs, if anything.
///
/// # Errors
/// Every error of the document, or the first one if it is not TOML.
pub(super) fn document(
    text: &str,
    file: &Path,
    node_name: &str,
    ca_file_fault: impl Fn(&Path) -> Option<Fault>,
) -> Result<Config, Vec<ConfigError>> {
    let report = Report::new(file, text);
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let fault = Fault::new(format!("not valid TOML: {}", error.message()));
            report.syntax(text, error.span().map(|span| span.start), fault);
            return Err(report.into_errors());
        }
    };
    let (config, paths) = {
        let root = Section::new(&report, String::new(), Some(document.as_table()));
        let read = everything(&root, node_name);
        root.finish();
        read
    };
    check_ca_files(&config, &report, ca_file_fault);
    for breach in rules::check(&config) {
        record(breach, &report, &paths);
    }
    let errors = report.into_errors();
    if errors.is_empty() {
        Ok(config)
    } else {
        Err(errors)
    }
}

/// Reads all sections; what could not be read is left out or has its default.
fn everything(root: &Section<'_>, node_name: &str) -> (Config, Paths) {
    let mut paths = Paths::default();
    let node = node::node(root.table("node"), node_name);
    let ha = ha::ha(root.table("ha"), &node.name, &mut paths.groups);
    let config = Config {
        node,
        dataplane: node::dataplane(root.table("dataplane")),
        telemetry: node::telemetry(root.table("metrics")),
        monitors: monitor::monitors(root),
        pools: backends::pools(root, &mut paths.backends),
        services: service::services(root),
        ha,
        announce: announce::announce(root),
    };
    (config, paths)
}

fn check_ca_files(config: &Config, report: &Report<'_>, fault: impl Fn(&Path) -> Option<Fault>) {
    for (name, monitor) in &config.monitors {
        let MonitorKind::Http(http) = &monitor.kind else {
            continue;
        };
        let ca_file = http.tls.as_ref().and_then(|tls| tls.ca_file.as_ref());
        if let Some(fault) = ca_file.and_then(|file| fault(file)) {
            let place = Place::Monitor(name.clone(), "ca_file");
            report.fault(&key_path(&place, &Paths::default()), fault);
        }
    }
}

/// Turns a broken rule into an error at the line it is about.
fn record(breach: Breach, report: &Report<'_>, paths: &Paths) {
    let mut fault = breach.fault;
    if let Some(with) = breach.with {
        let line = report.line_of(&key_path(&with, paths));
        let line = line.map_or(String::new(), |line| format!(" (line {line})"));
        fault.problem = format!("{} {with}{line}", fault.problem);
    }
    report.fault(&key_path(&breach.at, paths), fault);
}

/// Where in the document a thing is.
fn key_path(place: &Place, paths: &Paths) -> String {
    match place {
        Place::Limit(field) => format!("dataplane.limits.{field}"),
        Place::Monitor(name, field) => {
            section::join(&section::join("monitor", name.as_str()), field)
        }
        Place::Pool(name, field) => section::join(&section::join("pool", name.as_str()), field),
        Place::Service(name, field) => {
            section::join(&section::join("service", name.as_str()), field)
        }
        Place::Backend(pool, name, field) => {
            // Every backend of the model was read from somewhere; the fallback is its pool.
            let pool_path = section::join("pool", pool.as_str());
            let path = paths.backends.get(&(pool.clone(), name.clone()));
            section::join(path.unwrap_or(&pool_path), field)
        }
        Place::Group(name, field) => {
            let path = paths.groups.get(name).map_or("ha", String::as_str);
            section::join(path, field)
        }
    }
}
