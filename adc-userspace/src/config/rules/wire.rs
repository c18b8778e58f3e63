//! What a service may ask for on the wire: tunnel options and the limit of TCP segments.

use super::{
    super::{bounds, error::Fault},
    address::address_fault,
    place::{Breach, Place},
};
use crate::model::{Mode, MssClamp, Service, ServiceName, TransportProtocol, Tunnel};

pub(super) fn check(name: &ServiceName, service: &Service, breaches: &mut Vec<Breach>) {
    let faults = [
        port_fault(service).map(|fault| ("tunnel_port", fault)),
        source_fault(service).map(|fault| ("tunnel_source", fault)),
        mss_fault(service).map(|fault| ("mss_clamp", fault)),
        proxy_fault(service).map(|fault| ("proxy_protocol", fault)),
    ];
    for (field, fault) in faults.into_iter().flatten() {
        breaches.push(Breach::new(Place::Service(name.clone(), field), fault));
    }
}

fn port_fault(service: &Service) -> Option<Fault> {
    let port = service.tunnel.port;
    if !bounds::PORT.contains(&port) {
        let fault = Fault::new("port 0 is no port").value("0");
        return Some(fault.allowed("1 to 65535"));
    }
    if port == Tunnel::DEFAULT_PORT || service.mode == Mode::DsrGue {
        return None;
    }
    let problem = format!(
        "mode {} sends no UDP of its own; remove `tunnel_port`, or set mode = \"dsr-gue\"",
        service.mode.name()
    );
    Some(Fault::new(problem).value(port.to_string()))
}

fn source_fault(service: &Service) -> Option<Fault> {
    let sources = &service.tunnel.source;
    let first = sources.first()?;
    if !service.mode.is_tunnel() {
        let problem = format!(
            "mode {} wraps packets in no others; remove `tunnel_source`, or set mode = \"dsr-ipip\" or \"dsr-gue\"",
            service.mode.name()
        );
        return Some(Fault::new(problem).value(first.to_string()));
    }
    let mut faults = sources.iter().map(|ip| (*ip, 0).into());
    if let Some(fault) = faults.find_map(|address| address_fault(address, "tunnel source")) {
        return Some(fault);
    }
    // IPv4 sorts before IPv6: two of a family stand together.
    let twice = sources
        .iter()
        .zip(sources.iter().skip(1))
        .find(|(one, next)| one.is_ipv4() == next.is_ipv4());
    twice.map(|(_, second)| {
        let fault = Fault::new("a second address of one family").value(second.to_string());
        fault.allowed("at most one IPv4 and one IPv6 address")
    })
}

fn mss_fault(service: &Service) -> Option<Fault> {
    if service.mss_clamp.is_off() {
        return None;
    }
    match service.protocol {
        TransportProtocol::Tcp => {}
        protocol @ (TransportProtocol::Udp | TransportProtocol::Sctp) => {
            let problem = format!(
                "{} has no segments; remove `mss_clamp`, or set protocol = \"tcp\"",
                protocol.name().to_uppercase()
            );
            return Some(Fault::new(problem));
        }
    }
    match service.mss_clamp {
        MssClamp::Bytes(bytes) if !bounds::MSS.contains(&bytes) => {
            let fault = Fault::new("out of range").value(bytes.to_string());
            Some(fault.allowed("536 to 65495, or \"auto\""))
        }
        MssClamp::Off | MssClamp::Auto | MssClamp::Bytes(_) => None,
    }
}

/// A header can only go into a stream that adc sees both directions of.
fn proxy_fault(service: &Service) -> Option<Fault> {
    let version = service.proxy_protocol?;
    let problem = if service.protocol != TransportProtocol::Tcp {
        format!(
            "{} has no stream that a PROXY protocol header could begin; remove `proxy_protocol`, or set protocol = \"tcp\" (mode nat keeps the client's address in every protocol)",
            service.protocol.name()
        )
    } else if service.mode.is_dsr() {
        format!(
            "in mode {} backends see the client's own address, and adc can not add bytes to a stream whose answers it does not see; remove `proxy_protocol`, or set mode = \"nat\" or \"full-nat\"",
            service.mode.name()
        )
    } else {
        return None;
    };
    Some(Fault::new(problem).value(version.name()))
}
