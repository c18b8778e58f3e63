//! Changes at run time.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::{
    AdminState, Backend, BackendAddress, BackendName, Config, Hash, Mode, MonitorName, Pool,
    PoolName, Scheduler, Service, ServiceName, Timeouts, TransportProtocol, Weight,
};

/// One change of the running configuration, kept over restarts until the edits are reset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "kebab-case", deny_unknown_fields)]
pub enum EditRequest {
    /// A new service on an existing pool.
    ServiceAdd {
        /// Its name, not yet in use.
        name: ServiceName,
        /// The service.
        service: Service,
    },
    /// Removes a service; its pool stays.
    ServiceRemove {
        /// Which.
        name: ServiceName,
    },
    /// A new pool, with the backends in it.
    PoolAdd {
        /// Its name, not yet in use.
        name: PoolName,
        /// The pool.
        pool: Pool,
    },
    /// Removes a pool that no service uses.
    PoolRemove {
        /// Which.
        name: PoolName,
    },
    /// A new backend.
    BackendAdd {
        /// In which pool.
        pool: PoolName,
        /// Its name, not yet in use in the pool.
        name: BackendName,
        /// The backend.
        backend: Backend,
    },
    /// Removes a backend.
    BackendRemove {
        /// From which pool.
        pool: PoolName,
        /// Which.
        name: BackendName,
    },
    /// Overrides a backend's weight.
    BackendWeight {
        /// In which pool.
        pool: PoolName,
        /// Which.
        name: BackendName,
        /// New share of new flows.
        weight: Weight,
    },
    /// Sets a backend's admin state.
    BackendAdmin {
        /// In which pool.
        pool: PoolName,
        /// Which.
        name: BackendName,
        /// New admin state.
        state: AdminState,
    },
}

/// Body of `POST /api/v1/services`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewService {
    /// Its name.
    pub name: ServiceName,
    /// Address clients connect to.
    pub vip: IpAddr,
    /// Port clients connect to.
    pub port: u16,
    /// TCP or UDP.
    pub protocol: TransportProtocol,
    /// Where flows go.
    pub pool: PoolName,
    /// Forwarding mode; default `nat`.
    #[serde(default = "default_mode")]
    pub mode: Mode,
    /// Scheduler; default `maglev`.
    #[serde(default = "default_scheduler")]
    pub scheduler: Scheduler,
    /// What the scheduler hashes; default `five-tuple`.
    #[serde(default = "default_hash")]
    pub hash: Hash,
    /// Idle timeouts, seconds; all of them or none.
    #[serde(default)]
    pub timeouts: Timeouts,
}

/// Body of `POST /api/v1/pools`: an empty pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPool {
    /// Its name.
    pub name: PoolName,
    /// Its monitors; none = its backends are always up.
    #[serde(default)]
    pub monitors: Vec<MonitorName>,
}

/// Body of `POST /api/v1/pools/{pool}/backends`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBackend {
    /// Its name; default `address:port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<BackendName>,
    /// Where it listens.
    pub address: BackendAddress,
    /// Share of new flows; default 100.
    #[serde(default)]
    pub weight: Weight,
    /// Admin state; default `enabled`.
    #[serde(default = "default_admin")]
    pub admin: AdminState,
}

/// Body of `PATCH /api/v1/pools/{pool}/backends/{name}`: `{"weight": 50}` or `{"admin": "draining"}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendPatch {
    /// Overrides the weight.
    Weight(Weight),
    /// Sets the admin state.
    Admin(AdminState),
}

const fn default_mode() -> Mode {
    Mode::Nat
}

const fn default_scheduler() -> Scheduler {
    Scheduler::Maglev
}

const fn default_hash() -> Hash {
    Hash::FiveTuple
}

const fn default_admin() -> AdminState {
    AdminState::Enabled
}

impl From<NewService> for EditRequest {
    fn from(new: NewService) -> Self {
        Self::ServiceAdd {
            name: new.name,
            service: Service {
                vip: new.vip,
                port: new.port,
                protocol: new.protocol,
                pool: new.pool,
                mode: new.mode,
                scheduler: new.scheduler,
                hash: new.hash,
                timeouts: new.timeouts,
            },
        }
    }
}

impl From<NewPool> for EditRequest {
    fn from(new: NewPool) -> Self {
        Self::PoolAdd {
            name: new.name,
            pool: Pool {
                monitors: new.monitors,
                backends: BTreeMap::new(),
            },
        }
    }
}

impl NewBackend {
    /// As an edit of `pool`.
    ///
    /// # Errors
    /// `address:port` is not a valid name: an IPv6 address with a zone that makes it too long.
    pub fn into_edit(self, pool: PoolName) -> Result<EditRequest, crate::model::InvalidName> {
        let name = match self.name {
            Some(name) => name,
            None => BackendName::try_from(self.address.to_string())?,
        };
        let backend = Backend {
            address: self.address,
            weight: self.weight,
            admin: self.admin,
        };
        Ok(EditRequest::BackendAdd {
            pool,
            name,
            backend,
        })
    }
}

impl BackendPatch {
    /// As an edit of backend `name` in `pool`.
    pub fn into_edit(self, pool: PoolName, name: BackendName) -> EditRequest {
        match self {
            Self::Weight(weight) => EditRequest::BackendWeight { pool, name, weight },
            Self::Admin(state) => EditRequest::BackendAdmin { pool, name, state },
        }
    }
}

impl EditRequest {
    /// Key of what is edited, as in the configuration: `pool.web.backends.web1`.
    pub fn key(&self) -> String {
        match self {
            Self::ServiceAdd { name, .. } | Self::ServiceRemove { name } => {
                format!("service.{name}")
            }
            Self::PoolAdd { name, .. } | Self::PoolRemove { name } => format!("pool.{name}"),
            Self::BackendAdd { pool, name, .. }
            | Self::BackendRemove { pool, name }
            | Self::BackendWeight { pool, name, .. }
            | Self::BackendAdmin { pool, name, .. } => format!("pool.{pool}.backends.{name}"),
        }
    }

    /// What `config` holds at [`Self::key`] (null = nothing): before and after of the audit log.
    pub fn subject(&self, config: &Config) -> Value {
        match self {
            Self::ServiceAdd { name, .. } | Self::ServiceRemove { name } => {
                serde_json::to_value(config.services.get(name)).unwrap_or_default()
            }
            Self::PoolAdd { name, .. } | Self::PoolRemove { name } => {
                serde_json::to_value(config.pools.get(name)).unwrap_or_default()
            }
            Self::BackendAdd { pool, name, .. }
            | Self::BackendRemove { pool, name }
            | Self::BackendWeight { pool, name, .. }
            | Self::BackendAdmin { pool, name, .. } => {
                let backend = config.pools.get(pool).and_then(|p| p.backends.get(name));
                serde_json::to_value(backend).unwrap_or_default()
            }
        }
    }
}

impl std::fmt::Display for EditRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ServiceAdd { name, service } => write!(
                f,
                "service {name}: add {} {} port {} to pool {}",
                service.protocol.name(),
                service.vip,
                service.port,
                service.pool
            ),
            Self::ServiceRemove { name } => write!(f, "service {name}: remove"),
            Self::PoolAdd { name, pool } => {
                write!(f, "pool {name}: add with {} backends", pool.backends.len())
            }
            Self::PoolRemove { name } => write!(f, "pool {name}: remove"),
            Self::BackendAdd {
                pool,
                name,
                backend,
            } => write!(
                f,
                "backend {pool}/{name}: add {} weight {}",
                backend.address, backend.weight.0
            ),
            Self::BackendRemove { pool, name } => write!(f, "backend {pool}/{name}: remove"),
            Self::BackendWeight { pool, name, weight } => {
                write!(f, "backend {pool}/{name}: weight {}", weight.0)
            }
            Self::BackendAdmin { pool, name, state } => {
                write!(f, "backend {pool}/{name}: {}", state.name())
            }
        }
    }
}
