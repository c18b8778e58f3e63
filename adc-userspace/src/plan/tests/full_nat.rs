//! Local addresses of `full-nat` in the tables.

use adc_common::abi::{ForwardingMode, ServiceId, ServiceKey};

use super::*;

/// One service that sends from these addresses.
fn full_nat(addresses: &[&str]) -> Config {
    let mut config = config(
        &[("www", "203.0.113.10:80", "web")],
        &[("web", &[("10.0.0.1:80", 100)])],
    );
    let service = config.services.values_mut().next().expect("a service");
    service.mode = Mode::FullNat;
    service.snat = addresses.iter().map(|address| ip(address)).collect();
    config
}

fn marker(address: &str) -> ServiceKey {
    ServiceKey::snat_marker(ip(address).into())
}

#[test]
fn local_addresses_stand_in_the_service_ipv4_first_and_are_marked() {
    let wanted = wanted(&full_nat(&["fd00::1", "10.2.0.101", "10.2.0.100"]));
    let tables = tables_of(&wanted);
    let entry = tables.services.values().next().expect("a service");
    assert_eq!(entry.mode, ForwardingMode::FULL_NAT);
    assert_eq!((entry.snat_v4, entry.snat_v6), (2, 1));
    let addresses: Vec<IpAddr> = entry.snat[..3].iter().map(|a| (*a).into()).collect();
    assert_eq!(
        addresses,
        ["10.2.0.100", "10.2.0.101", "fd00::1"].map(ip),
        "in an order that all nodes agree on"
    );
    for address in ["10.2.0.100", "10.2.0.101", "fd00::1"] {
        assert_eq!(tables.index[&marker(address)], ServiceId(0), "{address}");
    }
}

#[test]
fn a_changed_address_is_said_in_words() {
    let mut tables = tables_of(&wanted(&full_nat(&["10.2.0.100"])));
    let change = plan(&wanted(&full_nat(&["10.2.0.101"])), &tables);
    let text = change.to_string();
    for line in [
        "snat 10.2.0.100 → 10.2.0.101",
        "- SNAT address 10.2.0.100",
        "+ SNAT address 10.2.0.101",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    apply(&change, &mut tables);
    assert!(!tables.index.contains_key(&marker("10.2.0.100")));
}

#[test]
fn answers_to_a_service_that_drains_out_are_still_known() {
    let mut tables = tables_of(&wanted(&full_nat(&["10.2.0.100"])));
    let flows = tables.backends.keys().copied().collect();
    let nothing = wanted(&config(&[], &[]));
    tables.backends_with_flows = Some(flows);
    apply(&plan(&nothing, &tables), &mut tables);
    assert!(tables.index.contains_key(&marker("10.2.0.100")));
    tables.backends_with_flows = Some(BTreeSet::new());
    apply(&plan(&nothing, &tables), &mut tables);
    // What is cleared by one plan is unmarked by the next.
    apply(&plan(&nothing, &tables), &mut tables);
    assert!(tables.index.is_empty(), "{:?}", tables.index);
}
