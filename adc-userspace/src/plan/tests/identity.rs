//! What keeps its id, and which ids are given out.

use super::*;
use crate::plan::{Change, PlanError, RingSpec};

const WEB: &[(&str, u16)] = &[("10.0.0.1:80", 100), ("10.0.0.2:80", 100)];

#[test]
fn nothing_to_do_gives_an_empty_plan() {
    let config = config(&[("www", "203.0.113.10:80", "web")], &[("web", WEB)]);
    let tables = tables_of(&wanted(&config));
    assert_eq!(plan(&wanted(&config), &tables).changes, []);
    assert_eq!(plan(&Desired::default(), &Observed::default()).changes, []);
}

#[test]
fn renaming_services_pools_and_backends_changes_nothing() {
    let before = config(&[("www", "203.0.113.10:80", "web")], &[("web", WEB)]);
    let mut after = config(&[("shop", "203.0.113.10:80", "farm")], &[("farm", WEB)]);
    let farm = after.pools.get_mut(&name("farm")).expect("the pool");
    farm.backends = std::mem::take(&mut farm.backends)
        .into_values()
        .zip(["b", "a"])
        .map(|(backend, name)| (name.parse().expect("a name"), backend))
        .collect();
    assert_eq!(
        plan(&wanted(&after), &tables_of(&wanted(&before))).changes,
        []
    );
}

#[test]
fn services_that_share_a_pool_have_their_own_backend_ids() {
    let config = config(
        &[
            ("www", "203.0.113.10:80", "web"),
            ("alt", "203.0.113.11:80", "web"),
        ],
        &[("web", WEB)],
    );
    let tables = tables_of(&wanted(&config));
    assert_eq!(tables.backends.len(), 4);
    for (id, spec) in &tables.rings {
        assert_eq!(spec.members.len(), 2);
        for member in &spec.members {
            assert_eq!(tables.backends[&member.backend].service, *id);
        }
    }
}

#[test]
fn tcp_and_udp_on_one_port_are_two_services() {
    let mut config = config(
        &[
            ("dns-tcp", "203.0.113.10:53", "dns"),
            ("dns-udp", "203.0.113.10:53", "dns"),
        ],
        &[("dns", &[("10.0.0.1:53", 100)])],
    );
    let udp = "dns-udp".parse().expect("a name");
    config.services.get_mut(&udp).expect("the service").protocol = TransportProtocol::Udp;
    let tables = tables_of(&wanted(&config));
    assert_eq!(tables.services.len(), 2);
    assert_eq!(tables.index.len(), 3, "two services and one VIP marker");
}

#[test]
fn new_things_get_the_lowest_free_ids_and_never_one_that_a_flow_names() {
    let config = config(&[("www", "203.0.113.10:80", "web")], &[("web", WEB)]);
    let tables = Observed {
        backends_with_flows: Some([BackendId(1), BackendId(3)].into()),
        ..Observed::default()
    };
    let ids: Vec<BackendId> = plan(&wanted(&config), &tables)
        .changes
        .iter()
        .filter_map(|change| match change {
            Change::PutBackend { id, .. } => Some(*id),
            Change::RemoveIndex { .. }
            | Change::PutService { .. }
            | Change::PutRing { .. }
            | Change::ClearRing { .. }
            | Change::PutIndex { .. }
            | Change::ClearBackend { .. }
            | Change::ClearService { .. }
            | Change::Group(_) => None,
        })
        .collect();
    assert_eq!(ids, [BackendId(2), BackendId(4)]);
}

#[test]
fn running_out_of_ids_plans_nothing_and_names_the_limit() {
    let config = config(
        &[
            ("www", "203.0.113.10:80", "web"),
            ("alt", "203.0.113.11:80", "web"),
        ],
        &[("web", WEB)],
    );
    let few = |services, backends| Limits {
        services,
        backends,
        ..limits()
    };
    let empty = Observed::default();

    let error = diff(&wanted(&config), &empty, &few(1, 100)).expect_err("one service too many");
    let expected = PlanError::OutOfServiceIds {
        limit: 1,
        configured: 2,
        kept: 0,
    };
    assert_eq!(error, expected);
    assert!(
        error.to_string().contains("dataplane.limits.services is 1"),
        "{error}"
    );

    let error = diff(&wanted(&config), &empty, &few(2, 3)).expect_err("one backend too many");
    let expected = PlanError::OutOfBackendIds {
        limit: 3,
        configured: 4,
        kept: 0,
    };
    assert_eq!(error, expected);
    assert!(
        error.to_string().contains("dataplane.limits.backends is 3"),
        "{error}"
    );

    diff(&wanted(&config), &empty, &few(2, 4)).expect("just enough");
}

#[test]
fn a_limit_counts_what_is_kept_for_flows() {
    let before = config(&[("www", "203.0.113.10:80", "web")], &[("web", WEB)]);
    let after = config(
        &[("www", "203.0.113.10:80", "web")],
        &[("web", &[("10.0.0.2:80", 100), ("10.0.0.3:80", 100)])],
    );
    let tables = tables_of(&wanted(&before));
    let limits = Limits {
        backends: 2,
        ..limits()
    };
    let error = diff(&wanted(&after), &tables, &limits).expect_err("no third id");
    assert_eq!(
        error,
        PlanError::OutOfBackendIds {
            limit: 2,
            configured: 2,
            kept: 1
        }
    );
}

#[test]
fn a_backend_without_a_known_weight_gets_no_flows() {
    let config = config(&[("www", "203.0.113.10:80", "web")], &[("web", WEB)]);
    let desired = desired(&config, &EffectiveWeights::new(), &all_resolved(&config));
    let tables = tables_of(&desired);
    assert_eq!(tables.backends.len(), 2);
    assert!(tables.rings.values().all(RingSpec::is_empty));
}

#[test]
fn a_services_timeouts_go_to_the_phases_they_are_for() {
    use adc_common::abi::{Phase, Tick};
    let mut config = config(&[("www", "203.0.113.10:80", "web")], &[("web", WEB)]);
    for service in config.services.values_mut() {
        service.timeouts = Timeouts {
            handshake: 1,
            established: 2,
            half_closed: 3,
            closed: 4,
            reset: 5,
            udp_unreplied: 6,
            udp_replied: 7,
        };
    }
    let entry = wanted(&config).services[&key("203.0.113.10:80")].entry;
    for (phase, seconds) in [
        (Phase::SYN_SENT, 1),
        (Phase::SYN_RECEIVED, 1),
        (Phase::ESTABLISHED, 2),
        (Phase::HALF_CLOSED, 3),
        (Phase::CLOSED, 4),
        (Phase::RESET, 5),
        (Phase::UNREPLIED, 6),
        (Phase::REPLIED, 7),
        (Phase::PICKED_UP, 1),
        (Phase::PREFACED, 2),
    ] {
        let tick = entry.timeouts[usize::from(phase.0)];
        assert_eq!(tick, Tick::from_secs(seconds), "{}", phase.name());
    }
}

#[test]
fn services_of_one_vip_hash_alike_and_those_of_another_differently() {
    let config = config(
        &[
            ("http", "203.0.113.10:80", "web"),
            ("https", "203.0.113.10:443", "web"),
            ("other", "203.0.113.11:80", "web"),
        ],
        &[("web", WEB)],
    );
    let desired = wanted(&config);
    let seed = |place| desired.services[&key(place)].entry.hash_seed;
    assert_eq!(seed("203.0.113.10:80"), seed("203.0.113.10:443"));
    assert_ne!(seed("203.0.113.10:80"), seed("203.0.113.11:80"));
    // Other nodes hold this very number.
    assert_eq!(seed("203.0.113.10:80"), 0x71ae_d48b);
}
