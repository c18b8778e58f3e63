//! What a broken rule is about.

use std::fmt;

use super::super::error::Fault;
use crate::model::{BackendName, BfdName, GroupName, MonitorName, PoolName, ServiceName};

/// A value of a configuration: a thing and the key of one of its values (empty: the thing itself).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) enum Place {
    /// `dataplane.limits`.
    Limit(&'static str),
    /// A monitor.
    Monitor(MonitorName, &'static str),
    /// A pool.
    Pool(PoolName, &'static str),
    /// A backend of a pool.
    Backend(PoolName, BackendName, &'static str),
    /// A service.
    Service(ServiceName, &'static str),
    /// An HA group.
    Group(GroupName, &'static str),
    /// HA groups that move together.
    SyncGroup(GroupName, &'static str),
    /// A BFD session.
    Bfd(BfdName, &'static str),
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Breach {
    /// The value that breaks it.
    pub at: Place,
    /// What is wrong.
    pub fault: Fault,
    /// The other party, where two things are at odds; it completes the sentence of `fault`.
    pub with: Option<Place>,
    /// Something else whose absence may be the cause.
    pub cause: Option<Place>,
}

impl Breach {
    pub(super) fn new(at: Place, fault: Fault) -> Self {
        Self {
            at,
            fault,
            with: None,
            cause: None,
        }
    }

    pub(super) fn with(mut self, other: Place) -> Self {
        self.with = Some(other);
        self
    }

    pub(super) fn caused_by(mut self, cause: Place) -> Self {
        self.cause = Some(cause);
        self
    }
}

impl fmt::Display for Place {
    /// The thing, without its key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(_) => write!(f, "dataplane limits"),
            Self::Monitor(name, _) => write!(f, "monitor {name}"),
            Self::Pool(name, _) => write!(f, "pool {name}"),
            Self::Backend(pool, name, _) => write!(f, "pool {pool} backend {name}"),
            Self::Service(name, _) => write!(f, "service {name}"),
            Self::Group(name, _) => write!(f, "HA group {name}"),
            Self::SyncGroup(name, _) => write!(f, "HA sync group {name}"),
            Self::Bfd(name, _) => write!(f, "BFD session {name}"),
        }
    }
}

impl Place {
    /// Whether both are about the same service, pool, backend or monitor. An edit of a pool is about its
    /// backends too.
    pub(in super::super) fn same_thing(&self, edited: &Self) -> bool {
        match self {
            Self::Limit(_)
            | Self::Monitor(..)
            | Self::Group(..)
            | Self::SyncGroup(..)
            | Self::Bfd(..) => false,
            Self::Service(name, _) => matches!(edited, Self::Service(edited, _) if edited == name),
            Self::Pool(name, _) => matches!(edited, Self::Pool(edited, _) if edited == name),
            Self::Backend(in_pool, name, _) => {
                let pool_edited = matches!(edited, Self::Pool(pool, _) if pool == in_pool);
                let edited = matches!(edited, Self::Backend(pool, edited, _) if pool == in_pool && edited == name);
                pool_edited || edited
            }
        }
    }

    /// The key of the value.
    pub(in super::super) fn field(&self) -> &'static str {
        match self {
            Self::Limit(field)
            | Self::Monitor(_, field)
            | Self::Pool(_, field)
            | Self::Backend(_, _, field)
            | Self::Service(_, field)
            | Self::Group(_, field)
            | Self::SyncGroup(_, field)
            | Self::Bfd(_, field) => field,
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.at, self.at.field())?;
        let mut fault = self.fault.clone();
        if let Some(with) = &self.with {
            fault.problem = format!("{} {with}", fault.problem);
        }
        fault.fmt(f)
    }
}
