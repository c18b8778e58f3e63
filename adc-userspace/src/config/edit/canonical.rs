//! The edits that lead from one configuration to another, in the one order they are kept in.

use super::Edit;
use crate::model::{Backend, BackendName, Config, Pool, PoolName};

/// The edits that turn the services and pools of `file` into those of `running`.
///
/// What goes is first and services come last, so that no step but the last has to satisfy any rule
/// that the steps before it broke.
pub(super) fn between(file: &Config, running: &Config) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (name, service) in &file.services {
        if running.services.get(name) != Some(service) {
            edits.push(Edit::ServiceRemove { name: name.clone() });
        }
    }
    for (name, pool) in &file.pools {
        match running.pools.get(name) {
            Some(now) if same_policy(now, pool) => {}
            Some(_) | None => edits.push(Edit::PoolRemove { name: name.clone() }),
        }
    }
    for (name, pool) in &running.pools {
        match file.pools.get(name) {
            Some(before) if same_policy(before, pool) => {
                backends_between(name, before, pool, &mut edits);
            }
            Some(_) | None => edits.push(Edit::PoolAdd {
                name: name.clone(),
                pool: pool.clone(),
            }),
        }
    }
    for (name, service) in &running.services {
        if file.services.get(name) != Some(service) {
            edits.push(Edit::ServiceAdd {
                name: name.clone(),
                service: service.clone(),
            });
        }
    }
    edits
}

/// Whether two pools differ in their backends at most.
fn same_policy(one: &Pool, other: &Pool) -> bool {
    one.monitors == other.monitors && one.on_down == other.on_down
}

fn backends_between(pool: &PoolName, file: &Pool, running: &Pool, edits: &mut Vec<Edit>) {
    for (name, before) in &file.backends {
        match running.backends.get(name) {
            Some(now) if now.address == before.address => {
                values_between(pool, name, before, now, edits);
            }
            Some(_) | None => edits.push(Edit::BackendRemove {
                pool: pool.clone(),
                name: name.clone(),
            }),
        }
    }
    for (name, now) in &running.backends {
        let before = file.backends.get(name);
        if before.is_none_or(|before| before.address != now.address) {
            edits.push(Edit::BackendAdd {
                pool: pool.clone(),
                name: name.clone(),
                backend: now.clone(),
            });
        }
    }
}

fn values_between(
    pool: &PoolName,
    name: &BackendName,
    before: &Backend,
    now: &Backend,
    edits: &mut Vec<Edit>,
) {
    if now.weight != before.weight {
        edits.push(Edit::BackendWeight {
            pool: pool.clone(),
            name: name.clone(),
            weight: now.weight,
        });
    }
    if now.admin != before.admin {
        edits.push(Edit::BackendAdmin {
            pool: pool.clone(),
            name: name.clone(),
            state: now.admin,
        });
    }
}
