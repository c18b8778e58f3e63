//! Requests that change something at run time. Each becomes one [`Edit`].

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::edit::Edit;
use crate::model::answers_ping;
use crate::model::{
    AdminState, Backend, BackendAddress, BackendName, Config, Hash, Mode, MonitorName, MssClamp,
    OnDown, Pool, PoolName, Ports, ProxyProtocol, Scheduler, Service, ServiceName, Timeouts,
    TransportProtocol, Tunnel, Weight,
};

/// Body of `POST /api/v1/services`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewService {
    /// Its name.
    pub name: ServiceName,
    /// Address clients connect to.
    pub vip: IpAddr,
    /// Ports clients connect to.
    pub port: Ports,
    /// TCP or UDP.
    pub protocol: TransportProtocol,
    /// Where flows go.
    pub pool: PoolName,
    /// Forwarding mode; default `nat`.
    #[serde(default = "default_mode")]
    pub mode: Mode,
    /// Local addresses to send from, for mode `full-nat`; default none.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub snat: BTreeSet<IpAddr>,
    /// How packets are wrapped, for modes `dsr-ipip` and `dsr-gue`.
    #[serde(default, skip_serializing_if = "Tunnel::is_default")]
    pub tunnel: Tunnel,
    /// Limit of the TCP segment size.
    #[serde(default, skip_serializing_if = "MssClamp::is_off")]
    pub mss_clamp: MssClamp,
    /// Whether each stream to a backend begins with a PROXY protocol header, and of which version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Scheduler; default `maglev`.
    #[serde(default = "default_scheduler")]
    pub scheduler: Scheduler,
    /// What the scheduler hashes; default `five-tuple`.
    #[serde(default = "default_hash")]
    pub hash: Hash,
    /// Whether the VIP answers echo requests; default true.
    #[serde(default = "answers_ping")]
    pub ping: bool,
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
    /// What becomes of the flows of a backend that goes down; default `keep`.
    #[serde(default)]
    pub on_down: OnDown,
}

/// Body of `POST /api/v1/pools/{pool}/backends`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBackend {
    /// Its name; default its address, with the port if it has one.
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

impl From<NewService> for Edit {
    fn from(new: NewService) -> Self {
        Self::ServiceAdd {
            name: new.name,
            service: Service {
                vip: new.vip,
                port: new.port,
                protocol: new.protocol,
                pool: new.pool,
                mode: new.mode,
                snat: new.snat,
                tunnel: new.tunnel,
                mss_clamp: new.mss_clamp,
                proxy_protocol: new.proxy_protocol,
                scheduler: new.scheduler,
                hash: new.hash,
                ping: new.ping,
                timeouts: new.timeouts,
            },
        }
    }
}

impl From<NewPool> for Edit {
    fn from(new: NewPool) -> Self {
        Self::PoolAdd {
            name: new.name,
            pool: Pool {
                monitors: new.monitors,
                on_down: new.on_down,
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
    pub fn into_edit(self, pool: PoolName) -> Result<Edit, crate::model::InvalidName> {
        let name = match self.name {
            Some(name) => name,
            None => BackendName::try_from(self.address.to_string())?,
        };
        let backend = Backend {
            address: self.address,
            weight: self.weight,
            admin: self.admin,
        };
        Ok(Edit::BackendAdd {
            pool,
            name,
            backend,
        })
    }
}

impl BackendPatch {
    /// As an edit of backend `name` in `pool`.
    pub fn into_edit(self, pool: PoolName, name: BackendName) -> Edit {
        match self {
            Self::Weight(weight) => Edit::BackendWeight { pool, name, weight },
            Self::Admin(state) => Edit::BackendAdmin { pool, name, state },
        }
    }
}

/// What `config` holds where `edit` works (null = nothing): before and after of an audit record.
pub fn edited(edit: &Edit, config: &Config) -> Value {
    // A model type always becomes JSON: its maps have string keys.
    match edit {
        Edit::ServiceAdd { name, .. } | Edit::ServiceRemove { name } => {
            serde_json::to_value(config.services.get(name)).unwrap_or_default()
        }
        Edit::PoolAdd { name, .. } | Edit::PoolRemove { name } => {
            serde_json::to_value(config.pools.get(name)).unwrap_or_default()
        }
        Edit::BackendAdd { pool, name, .. }
        | Edit::BackendRemove { pool, name }
        | Edit::BackendWeight { pool, name, .. }
        | Edit::BackendAdmin { pool, name, .. } => {
            let backend = config.pools.get(pool).and_then(|p| p.backends.get(name));
            serde_json::to_value(backend).unwrap_or_default()
        }
    }
}
