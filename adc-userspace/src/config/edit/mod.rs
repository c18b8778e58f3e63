//! Runtime edits: what people changed over the control socket, kept beside the file and never in it.
//!
//! The edits are what has to be done to the file's configuration to get the running one, in one
//! canonical order. So the latest change to a value is the only one kept, and setting a value back to
//! what the file says removes the edit.

mod canonical;
mod replay;
mod store;

#[cfg(test)]
mod tests;

pub use self::store::{StateError, StateFault};

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    difference::{Difference, differences},
    rules::{self, Breach, Place},
    words::closest,
};
use crate::model::{
    AdminState, Backend, BackendName, Config, Pool, PoolName, Service, ServiceName, Weight,
};

/// One change to a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Edit {
    /// Adds a service.
    ServiceAdd { name: ServiceName, service: Service },
    /// Removes a service.
    ServiceRemove { name: ServiceName },
    /// Adds a pool, with the backends in it.
    PoolAdd { name: PoolName, pool: Pool },
    /// Removes a pool that no service uses.
    PoolRemove { name: PoolName },
    /// Adds a backend to a pool.
    BackendAdd {
        pool: PoolName,
        name: BackendName,
        backend: Backend,
    },
    /// Removes a backend from a pool.
    BackendRemove { pool: PoolName, name: BackendName },
    /// Sets a backend's weight.
    BackendWeight {
        pool: PoolName,
        name: BackendName,
        weight: Weight,
    },
    /// Sets a backend's admin state.
    BackendAdmin {
        pool: PoolName,
        name: BackendName,
        state: AdminState,
    },
}

/// The runtime edits, in the order in which they are applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    edits: Vec<Edit>,
}

/// A file's configuration with the runtime edits on top.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The effective configuration; always valid.
    pub config: Config,
    /// Edits that are kept but have no effect, and why. Worth a warning, never a reason to stop.
    pub problems: Vec<EditProblem>,
}

/// An edit that does not fit the file any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EditProblem {
    /// The edit, which is not in effect.
    pub edit: Edit,
    /// Why.
    pub problem: String,
}

/// Why an edit was refused. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(tag = "error", rename_all = "kebab-case")]
pub enum EditError {
    /// It adds what is there.
    #[error("{thing} exists already; remove it first, or choose another name")]
    Exists { thing: String },
    /// It is about something that is not there.
    #[error("there is no {thing}{}", suggestion(did_you_mean.as_ref()))]
    Missing {
        thing: String,
        did_you_mean: Option<String>,
    },
    /// It removes a pool that services point at.
    #[error("pool {pool} is still used by {}; remove what uses it first", services.join(", "))]
    InUse { pool: String, services: Vec<String> },
    /// It collides with something else, e.g. a second service on the same VIP and port.
    #[error("{}", problems.join("\n"))]
    Conflict { problems: Vec<String> },
    /// A value is not allowed.
    #[error("{}", problems.join("\n"))]
    Invalid { problems: Vec<String> },
}

fn suggestion(word: Option<&String>) -> String {
    word.map_or(String::new(), |word| format!("; did you mean `{word}`?"))
}

impl Edits {
    /// Adds an edit to what is in effect over `file` and returns the new effective configuration.
    ///
    /// # Errors
    /// The edit conflicts with what is in effect, or breaks a rule; then nothing has changed.
    pub fn push(&mut self, edit: &Edit, file: &Config) -> Result<Config, EditError> {
        let Applied {
            mut config,
            problems,
        } = self.apply(file);
        refuse_if_in_use(edit, &config)?;
        replay::step(&mut config, edit).map_err(|error| error.with_suggestion(edit, &config))?;
        let breaches = rules::check(&config);
        if !breaches.is_empty() {
            return Err(EditError::of(&breaches));
        }
        // Edits out of effect stay, unless this one is about the same thing.
        let place = edit.place();
        let idle = problems.into_iter().map(|problem| problem.edit);
        self.edits = idle
            .filter(|idle| idle.place() != place)
            .chain(canonical::between(file, &config))
            .collect();
        Ok(config)
    }

    /// The effective configuration over `file`.
    ///
    /// An edit whose target is gone from the file, or that the file now contradicts, is left out and
    /// reported; the others are applied.
    pub fn apply(&self, file: &Config) -> Applied {
        replay::all(&self.edits, file)
    }

    /// Every value in which the running configuration differs from the file because of these edits.
    pub fn differences(&self, file: &Config) -> Vec<Difference> {
        differences(file, &self.apply(file).config)
    }

    /// Removes the edits that have no effect over `file`, and returns them.
    pub fn prune(&mut self, file: &Config) -> Vec<EditProblem> {
        let Applied { config, problems } = self.apply(file);
        self.edits = canonical::between(file, &config);
        problems
    }

    /// Removes all edits, so that the file alone counts.
    pub fn clear(&mut self) {
        self.edits.clear();
    }

    /// The edits, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Edit> {
        self.edits.iter()
    }

    /// Number of edits.
    pub fn len(&self) -> usize {
        self.edits.len()
    }

    /// Whether the file alone counts.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }
}

impl<'a> IntoIterator for &'a Edits {
    type Item = &'a Edit;
    type IntoIter = std::slice::Iter<'a, Edit>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A pool in use must not go; the general rule would only say that a service names no pool.
fn refuse_if_in_use(edit: &Edit, config: &Config) -> Result<(), EditError> {
    let Edit::PoolRemove { name } = edit else {
        return Ok(());
    };
    let users = config
        .services
        .iter()
        .filter(|(_, service)| service.pool == *name);
    let services: Vec<_> = users
        .map(|(service, _)| format!("service {service}"))
        .collect();
    if services.is_empty() {
        return Ok(());
    }
    let pool = name.to_string();
    Err(EditError::InUse { pool, services })
}

impl Edit {
    /// The thing it changes.
    fn place(&self) -> Place {
        match self {
            Self::ServiceAdd { name, .. } | Self::ServiceRemove { name } => {
                Place::Service(name.clone(), "")
            }
            Self::PoolAdd { name, .. } | Self::PoolRemove { name } => Place::Pool(name.clone(), ""),
            Self::BackendAdd { pool, name, .. }
            | Self::BackendRemove { pool, name }
            | Self::BackendWeight { pool, name, .. }
            | Self::BackendAdmin { pool, name, .. } => {
                Place::Backend(pool.clone(), name.clone(), "")
            }
        }
    }
}

impl EditError {
    fn of(breaches: &[Breach]) -> Self {
        let conflict = breaches.iter().any(|breach| breach.with.is_some());
        let problems = breaches.iter().map(Breach::to_string).collect();
        if conflict {
            Self::Conflict { problems }
        } else {
            Self::Invalid { problems }
        }
    }

    /// Offers the nearest name to one that does not exist.
    fn with_suggestion(self, edit: &Edit, config: &Config) -> Self {
        let Self::Missing { thing, .. } = self else {
            return self;
        };
        let did_you_mean = match edit.place() {
            Place::Service(name, _) => closest(
                name.as_str(),
                config.services.keys().map(ServiceName::as_str),
            ),
            Place::Pool(name, _) => {
                closest(name.as_str(), config.pools.keys().map(PoolName::as_str))
            }
            Place::Backend(pool, name, _) => match config.pools.get(&pool) {
                Some(pool) => closest(name.as_str(), pool.backends.keys().map(BackendName::as_str)),
                None => closest(pool.as_str(), config.pools.keys().map(PoolName::as_str)),
            },
            Place::Limit(_)
            | Place::Monitor(..)
            | Place::Group(..)
            | Place::SyncGroup(..)
            | Place::Bfd(..) => None,
        };
        Self::Missing {
            thing,
            did_you_mean,
        }
    }

    /// Whether the edit is at odds with what is there, rather than wrong in itself.
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Exists { .. }
            | Self::Missing { .. }
            | Self::InUse { .. }
            | Self::Conflict { .. } => true,
            Self::Invalid { .. } => false,
        }
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.place();
        match self {
            Self::ServiceAdd { .. } | Self::PoolAdd { .. } | Self::BackendAdd { .. } => {
                write!(f, "add {place}")
            }
            Self::ServiceRemove { .. } | Self::PoolRemove { .. } | Self::BackendRemove { .. } => {
                write!(f, "remove {place}")
            }
            Self::BackendWeight { weight, .. } => {
                write!(f, "set weight of {place} to {}", weight.0)
            }
            Self::BackendAdmin { state, .. } => {
                write!(f, "set admin state of {place} to {}", state.name())
            }
        }
    }
}

impl fmt::Display for EditProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "runtime change `{}` has no effect: {}",
            self.edit, self.problem
        )
    }
}
