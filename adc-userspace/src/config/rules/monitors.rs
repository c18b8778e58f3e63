//! Which monitors a service's protocol leaves room for.

use super::{
    super::error::Fault,
    place::{Breach, Place},
};
use crate::model::{Config, Monitor, MonitorKind, Pool, Service, ServiceName, TransportProtocol};

/// Nothing answers TCP where SCTP is served, as a rule, so a monitor that speaks TCP must say which port it is for.
pub(super) fn check(
    name: &ServiceName,
    service: &Service,
    pool: Option<&Pool>,
    config: &Config,
    breaches: &mut Vec<Breach>,
) {
    match service.protocol {
        TransportProtocol::Sctp => {}
        TransportProtocol::Tcp | TransportProtocol::Udp => return,
    }
    for monitor_name in pool.into_iter().flat_map(|pool| &pool.monitors) {
        if !config.monitors.get(monitor_name).is_some_and(needs_port) {
            continue;
        }
        let problem = format!(
            "its monitor {monitor_name} speaks TCP, and the backends' port is one of SCTP; give the monitor a `port` that answers TCP, or take one with type = \"icmp\""
        );
        let fault = Fault::new(problem).value(service.pool.as_str());
        let cause = Place::Pool(service.pool.clone(), "");
        let at = Place::Service(name.clone(), "pool");
        breaches.push(Breach::new(at, fault).caused_by(cause));
    }
}

fn needs_port(monitor: &Monitor) -> bool {
    match monitor.kind {
        MonitorKind::Tcp | MonitorKind::Http(_) => monitor.port.is_none(),
        MonitorKind::Icmp | MonitorKind::Bfd(_) => false,
    }
}
