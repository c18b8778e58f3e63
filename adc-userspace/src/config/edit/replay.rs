//! Edits on a configuration.

use super::{
    super::rules::{self, Breach, Place},
    Applied, Edit, EditError, EditProblem,
};
use crate::model::{Backend, BackendName, Config, Pool, PoolName};

/// Applies one edit. Only that its target is there, or not yet, is checked; the rules come after.
///
/// # Errors
/// [`EditError::Exists`] or [`EditError::Missing`]; then `config` is as it was.
pub(super) fn step(config: &mut Config, edit: &Edit) -> Result<(), EditError> {
    match edit {
        Edit::ServiceAdd { name, service } => {
            refuse_if(config.services.contains_key(name), edit)?;
            config.services.insert(name.clone(), service.clone());
        }
        Edit::ServiceRemove { name } => {
            let removed = config.services.remove(name);
            removed.ok_or_else(|| missing(&edit.place()))?;
        }
        Edit::PoolAdd { name, pool } => {
            refuse_if(config.pools.contains_key(name), edit)?;
            config.pools.insert(name.clone(), pool.clone());
        }
        Edit::PoolRemove { name } => {
            pool(config, name)?;
            config.pools.remove(name);
        }
        Edit::BackendAdd {
            pool: pool_name,
            name,
            backend,
        } => {
            let pool = pool(config, pool_name)?;
            refuse_if(pool.backends.contains_key(name), edit)?;
            pool.backends.insert(name.clone(), backend.clone());
        }
        Edit::BackendRemove {
            pool: pool_name,
            name,
        } => {
            backend(config, pool_name, name)?;
            pool(config, pool_name)?.backends.remove(name);
        }
        Edit::BackendWeight { pool, name, weight } => {
            backend(config, pool, name)?.weight = *weight;
        }
        Edit::BackendAdmin { pool, name, state } => {
            backend(config, pool, name)?.admin = *state;
        }
    }
    Ok(())
}

fn refuse_if(exists: bool, edit: &Edit) -> Result<(), EditError> {
    if exists {
        let thing = edit.place().to_string();
        return Err(EditError::Exists { thing });
    }
    Ok(())
}

fn missing(place: &Place) -> EditError {
    EditError::Missing {
        thing: place.to_string(),
        did_you_mean: None,
    }
}

fn pool<'c>(config: &'c mut Config, name: &PoolName) -> Result<&'c mut Pool, EditError> {
    let pool = config.pools.get_mut(name);
    pool.ok_or_else(|| missing(&Place::Pool(name.clone(), "")))
}

fn backend<'c>(
    config: &'c mut Config,
    pool_name: &PoolName,
    name: &BackendName,
) -> Result<&'c mut Backend, EditError> {
    let backend = pool(config, pool_name)?.backends.get_mut(name);
    backend.ok_or_else(|| missing(&Place::Backend(pool_name.clone(), name.clone(), "")))
}

/// Applies all edits, leaving out those that do not fit the file any more.
pub(super) fn all(edits: &[Edit], file: &Config) -> Applied {
    let mut active: Vec<&Edit> = edits.iter().collect();
    let mut dropped = Vec::new();
    loop {
        let Applied {
            config,
            mut problems,
        } = replay(&active, file);
        let breaches = rules::check(&config);
        let culprits = culprits(&breaches, &active, &problems);
        // No culprit and still a breach: `file` was not valid to begin with, which is not for edits to mend.
        if culprits.is_empty() {
            problems.extend(dropped);
            return Applied { config, problems };
        }
        for (index, problem) in culprits.into_iter().rev() {
            let edit = active.remove(index).clone();
            dropped.push(EditProblem { edit, problem });
        }
    }
}

/// Applies edits in order; those without a target, or that add what the file has, are problems.
fn replay(edits: &[&Edit], file: &Config) -> Applied {
    let mut config = file.clone();
    let mut problems = Vec::new();
    for edit in edits {
        // The file may have caught up with an edit; that is how edits are meant to end.
        if already_so(edit, &config) {
            continue;
        }
        if let Err(error) = step(&mut config, edit) {
            problems.push(EditProblem {
                edit: (*edit).clone(),
                problem: stale(&error),
            });
        }
    }
    Applied { config, problems }
}

/// Whether an edit that adds or removes finds its work done.
fn already_so(edit: &Edit, config: &Config) -> bool {
    match edit {
        Edit::ServiceAdd { name, service } => config.services.get(name) == Some(service),
        Edit::ServiceRemove { name } => !config.services.contains_key(name),
        Edit::PoolAdd { name, pool } => config.pools.get(name) == Some(pool),
        Edit::PoolRemove { name } => !config.pools.contains_key(name),
        Edit::BackendAdd {
            pool,
            name,
            backend,
        } => {
            let pool = config.pools.get(pool);
            pool.and_then(|pool| pool.backends.get(name)) == Some(backend)
        }
        Edit::BackendRemove { pool, name } => {
            let pool = config.pools.get(pool);
            !pool.is_some_and(|pool| pool.backends.contains_key(name))
        }
        Edit::BackendWeight { .. } | Edit::BackendAdmin { .. } => false,
    }
}

fn stale(error: &EditError) -> String {
    match error {
        EditError::Exists { thing } => {
            format!("the file now has a {thing} of its own, which counts")
        }
        EditError::Missing { thing, .. } => format!("{thing} is no longer in the file"),
        EditError::InUse { .. } | EditError::Conflict { .. } | EditError::Invalid { .. } => {
            error.to_string()
        }
    }
}

/// Which edits, by index, to leave out so that the rules hold; each with the rule it breaks. Ordered
/// by index. Not empty if there is a breach and an edit in effect.
fn culprits(
    breaches: &[Breach],
    edits: &[&Edit],
    idle: &[EditProblem],
) -> std::collections::BTreeMap<usize, String> {
    let in_effect = |edit: &Edit| !idle.iter().any(|problem| problem.edit == *edit);
    let latest = |wanted: &dyn Fn(&Edit) -> bool| {
        edits
            .iter()
            .rposition(|edit| in_effect(edit) && wanted(edit))
    };
    let mut culprits = std::collections::BTreeMap::new();
    for breach in breaches {
        let involved = [
            Some(&breach.at),
            breach.with.as_ref(),
            breach.cause.as_ref(),
        ];
        let touches = |edit: &Edit| {
            let place = edit.place();
            involved
                .iter()
                .flatten()
                .any(|involved| involved.same_thing(&place))
        };
        if let Some(index) = latest(&touches) {
            culprits.insert(index, breach.to_string());
        }
    }
    // A total is no one's fault: leave out the newest addition, then look again.
    if let (true, Some(breach)) = (culprits.is_empty(), breaches.first()) {
        let newest = latest(&Edit::adds).or_else(|| latest(&|_| true));
        culprits.extend(newest.map(|index| (index, breach.to_string())));
    }
    culprits
}

impl Edit {
    fn adds(&self) -> bool {
        match self {
            Self::ServiceAdd { .. } | Self::PoolAdd { .. } | Self::BackendAdd { .. } => true,
            Self::ServiceRemove { .. }
            | Self::PoolRemove { .. }
            | Self::BackendRemove { .. }
            | Self::BackendWeight { .. }
            | Self::BackendAdmin { .. } => false,
        }
    }
}
