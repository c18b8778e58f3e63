//! `[pool.NAME]` and `[[pool.NAME.backends]]`.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{
    super::{bounds, error::Fault},
    BackendPaths,
    section::Section,
};
use crate::model::{
    AdminState, Backend, BackendAddress, BackendName, InvalidAddress, MonitorName, Pool, PoolName,
    Weight,
};

const ADDRESS: &str = "an IP address with a port, such as \"10.0.0.11:8080\" or \"[2001:db8::1]:80\", or without one if the pool has a `port` or the service a range";

pub(super) fn pools(root: &Section<'_>, paths: &mut BackendPaths) -> BTreeMap<PoolName, Pool> {
    let mut pools = BTreeMap::new();
    for (name, section) in root.named("pool") {
        if let Some(name) = section.name::<PoolName>(name) {
            let pool = pool(&name, &section, paths);
            pools.insert(name, pool);
        }
        section.finish();
    }
    pools
}

fn pool(name: &PoolName, section: &Section<'_>, paths: &mut BackendPaths) -> Pool {
    let port = section.integer("port", bounds::PORT);
    let monitors = section.texts("monitors", "an array of monitor names, such as [\"web\"]");
    let monitors = monitors
        .into_iter()
        .filter_map(|(path, monitor)| section.name_at::<MonitorName>(&path, monitor));
    let mut pool = Pool {
        monitors: monitors.collect(),
        on_down: section.word("on_down").unwrap_or_default(),
        backends: BTreeMap::new(),
    };
    for entry in section.tables("backends") {
        add_backend(name, &mut pool, &entry, port, paths);
        entry.finish();
    }
    pool
}

fn add_backend(
    pool_name: &PoolName,
    pool: &mut Pool,
    entry: &Section<'_>,
    port: Option<u16>,
    paths: &mut BackendPaths,
) {
    entry.require("address", ADDRESS);
    // Everything is read before anything is given up, so that no error hides another.
    let address = address(entry, port);
    let name = entry
        .text("name")
        .map(|name| entry.name_at(&entry.key("name"), name));
    let weight = entry
        .integer("weight", bounds::WEIGHT)
        .map_or_else(Weight::default, Weight);
    let admin = entry.word("admin").unwrap_or(AdminState::Enabled);
    let Some(address) = address else { return };
    let name: Option<BackendName> = match name {
        Some(name) => name,
        None => entry.name_at(&entry.key("address"), &address.to_string()),
    };
    let Some(name) = name else { return };
    let key = (pool_name.clone(), name.clone());
    if let Some(other) = paths.get(&key) {
        let at = if entry.has("name") { "name" } else { "address" };
        let line = entry
            .line_of(other)
            .map_or(String::new(), |line| format!(" (line {line})"));
        let fault = Fault::new(format!(
            "names the same backend as {other}{line}; give it another `name`"
        ));
        entry.fault(at, fault.value(name.as_str()));
        return;
    }
    paths.insert(key, entry.path().to_owned());
    pool.backends.insert(
        name,
        Backend {
            address,
            weight,
            admin,
        },
    );
}

fn address(entry: &Section<'_>, port: Option<u16>) -> Option<BackendAddress> {
    let text = entry.text("address")?;
    let problem = match text.parse::<BackendAddress>() {
        Ok(address) if address.keeps_ports() => {
            let port = port.unwrap_or(0);
            return Some(BackendAddress(SocketAddr::new(address.ip(), port)));
        }
        Ok(address) => return Some(address),
        Err(InvalidAddress::PortZero) => "port 0 is no port",
        Err(InvalidAddress::Form)
            if text.contains(|c: char| c.is_ascii_alphabetic()) && !text.contains("::") =>
        {
            "not an IP address (host names are not resolved)"
        }
        Err(InvalidAddress::Form) => "not an IP address with a port",
    };
    entry.fault("address", Fault::new(problem).value(text).allowed(ADDRESS));
    None
}
