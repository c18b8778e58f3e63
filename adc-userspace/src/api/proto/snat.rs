//! Ports of the local addresses that `full-nat` sends from.

use serde::{Deserialize, Serialize};

use crate::model::{BackendAddress, ServiceName};

/// How much of what a service can use towards one backend is in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnatUse {
    /// The service.
    pub service: ServiceName,
    /// The backend.
    pub backend: BackendAddress,
    /// Live flows to the backend from the service's local addresses, those of other services included.
    pub flows: u64,
    /// Ports of the local addresses: as many flows are possible at a time.
    pub ports: u64,
    /// New flows dropped for want of a port since the maps were created.
    pub exhausted: u64,
    /// Whether some were between the last two sweeps.
    pub refusing: bool,
}
