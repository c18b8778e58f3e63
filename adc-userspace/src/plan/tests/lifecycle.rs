//! Coming and going of services and backends.

use super::*;
use crate::plan::Change;

const WWW: &[(&str, &str, &str)] = &[("www", "203.0.113.10:80", "web")];

fn web(backends: &[(&str, u16)]) -> Config {
    config(WWW, &[("web", backends)])
}

fn two() -> Config {
    web(&[("10.0.0.1:80", 100), ("10.0.0.2:80", 100)])
}

fn one() -> Config {
    web(&[("10.0.0.1:80", 100)])
}

/// The changes without their details.
fn kinds(plan: &Plan) -> Vec<&'static str> {
    plan.changes
        .iter()
        .map(|change| match change {
            Change::RemoveIndex { .. } => "remove-index",
            Change::PutService { .. } => "put-service",
            Change::PutBackend { .. } => "put-backend",
            Change::PutRing { .. } => "put-ring",
            Change::ClearRing { .. } => "clear-ring",
            Change::PutIndex { .. } => "put-index",
            Change::ClearBackend { .. } => "clear-backend",
            Change::ClearService { .. } => "clear-service",
            Change::Group(_) => "group",
        })
        .collect()
}

#[test]
fn a_removed_backend_leaves_the_ring_first_and_goes_once_its_flows_have_ended() {
    let mut tables = tables_of(&wanted(&two()));
    let www = id_of(&tables, key("203.0.113.10:80"));
    let gone = backend_id(&tables, www, "10.0.0.2:80");
    let smaller = desired(&one(), &all_up(&one()), &all_resolved(&two()));

    // No flow was counted, but one may have come since, as the ring still named it.
    let first = plan(&smaller, &tables);
    assert_eq!(kinds(&first), ["put-ring"]);
    assert_eq!(
        first
            .draining_out
            .iter()
            .map(|kept| kept.id)
            .collect::<Vec<_>>(),
        [gone]
    );
    apply(&first, &mut tables);

    tables.backends_with_flows = Some([gone].into());
    assert_eq!(kinds(&plan(&smaller, &tables)), [""; 0]);
    tables.backends_with_flows = None;
    assert_eq!(kinds(&plan(&smaller, &tables)), [""; 0]);

    tables.backends_with_flows = Some(BTreeSet::new());
    let last = plan(&smaller, &tables);
    assert_eq!(kinds(&last), ["clear-backend"]);
    assert_eq!(last.draining_out, []);
    apply(&last, &mut tables);
    assert!(!tables.backends.contains_key(&gone));
}

#[test]
fn a_backend_that_drains_out_has_its_next_hop_kept_fresh() {
    let mut tables = tables_of(&wanted(&two()));
    let www = id_of(&tables, key("203.0.113.10:80"));
    let gone = backend_id(&tables, www, "10.0.0.2:80");
    tables.backends_with_flows = Some([gone].into());
    let mut hops = all_resolved(&two());
    apply(
        &plan(&desired(&one(), &all_up(&one()), &hops), &tables),
        &mut tables,
    );
    assert_eq!(tables.addresses(), [ip("10.0.0.1"), ip("10.0.0.2")].into());

    hops.insert(ip("10.0.0.2"), hop(9));
    let refresh = plan(&desired(&one(), &all_up(&one()), &hops), &tables);
    assert_eq!(kinds(&refresh), ["put-backend"]);
    apply(&refresh, &mut tables);
    assert_eq!(tables.backends[&gone].hop, hop(9));
}

#[test]
fn a_backend_that_comes_back_while_it_drains_out_is_the_same_backend() {
    let mut tables = tables_of(&wanted(&two()));
    let before = tables.clone();
    apply(&plan(&wanted(&one()), &tables), &mut tables);
    assert_ne!(tables, before);
    apply(&plan(&wanted(&two()), &tables), &mut tables);
    assert_eq!(tables, before);
}

#[test]
fn a_backend_that_loses_its_next_hop_leaves_the_ring_before_the_hop_goes() {
    let tables = tables_of(&wanted(&two()));
    let mut hops = all_resolved(&two());
    hops.remove(&ip("10.0.0.2"));
    let lost = plan(&desired(&two(), &all_up(&two()), &hops), &tables);
    assert_eq!(kinds(&lost), ["put-ring", "put-backend"]);

    let mut without = tables.clone();
    apply(&lost, &mut without);
    assert_eq!(
        kinds(&plan(&wanted(&two()), &without)),
        ["put-backend", "put-ring"]
    );
}

#[test]
fn a_service_whose_backends_are_all_gone_has_no_ring_and_stays_in_the_index() {
    let mut tables = tables_of(&wanted(&two()));
    let down = desired(&two(), &all_up(&two()), &Hops::new());
    let plan = plan(&down, &tables);
    assert_eq!(kinds(&plan), ["clear-ring", "put-backend", "put-backend"]);
    apply(&plan, &mut tables);
    assert!(tables.index.contains_key(&key("203.0.113.10:80")));
}

#[test]
fn changed_parameters_are_one_write() {
    let mut slower = two();
    for service in slower.services.values_mut() {
        service.timeouts.established = 60;
        service.hash = Hash::Source;
    }
    let tables = tables_of(&wanted(&two()));
    assert_eq!(kinds(&plan(&wanted(&slower), &tables)), ["put-service"]);
}

#[test]
fn a_removed_service_takes_no_new_flows_at_once_and_keeps_its_old_ones() {
    let mut tables = tables_of(&wanted(&two()));
    let www = id_of(&tables, key("203.0.113.10:80"));
    let busy = backend_id(&tables, www, "10.0.0.1:80");
    let nothing = desired(
        &empty_config(),
        &EffectiveWeights::new(),
        &all_resolved(&two()),
    );

    let first = plan(&nothing, &tables);
    assert_eq!(
        kinds(&first),
        ["remove-index", "remove-index", "clear-ring"]
    );
    apply(&first, &mut tables);
    assert!(
        tables.services.contains_key(&www),
        "flows need its timeouts"
    );

    tables.backends_with_flows = Some([busy].into());
    let second = plan(&nothing, &tables);
    assert_eq!(kinds(&second), ["clear-backend"]);
    apply(&second, &mut tables);

    tables.backends_with_flows = Some(BTreeSet::new());
    let last = plan(&nothing, &tables);
    assert_eq!(kinds(&last), ["clear-backend", "clear-service"]);
    apply(&last, &mut tables);
    let empty = Observed {
        backends_with_flows: Some(BTreeSet::new()),
        ..Observed::default()
    };
    assert_eq!(tables, empty);
}

#[test]
fn a_vip_stays_ours_until_its_last_service_has_gone() {
    let services = [
        ("http", "203.0.113.10:80", "web"),
        ("https", "203.0.113.10:443", "web"),
    ];
    let pools: &[(&str, &[(&str, u16)])] = &[("web", &[("10.0.0.1:80", 100)])];
    let marker = ServiceKey::vip_marker(ip("203.0.113.10").into());
    let mut tables = tables_of(&wanted(&config(&services, pools)));
    assert_eq!(tables.index[&marker], ServiceId(0));

    apply(
        &plan(&wanted(&config(&services[..1], pools)), &tables),
        &mut tables,
    );
    assert!(tables.index.contains_key(&marker));
    apply(&plan(&wanted(&config(&[], pools)), &tables), &mut tables);
    assert!(tables.index.is_empty());
}

#[test]
fn adopted_tables_have_their_rings_written_again_and_nothing_else() {
    let services = [
        ("a", "203.0.113.10:80", "web"),
        ("b", "203.0.113.11:80", "none"),
    ];
    let config = config(
        &services,
        &[("web", &[("10.0.0.1:80", 100)]), ("none", &[])],
    );
    let mut tables = tables_of(&wanted(&config));
    tables.rings.clear();
    assert_eq!(
        kinds(&plan(&wanted(&config), &tables)),
        ["put-ring", "clear-ring"]
    );
}

#[test]
fn a_ring_that_may_have_been_swapped_is_written_again_before_its_backends_go() {
    let mut tables = tables_of(&wanted(&one()));
    let www = id_of(&tables, key("203.0.113.10:80"));
    // Going to two backends failed at the ring, half-way: the kernel may have the new one.
    let larger = plan(&wanted(&two()), &tables);
    assert_eq!(kinds(&larger), ["put-backend", "put-ring"]);
    tables.record(&larger.changes[0]);
    tables.forget_ring(www);

    let back = desired(&one(), &all_up(&one()), &all_resolved(&two()));
    tables.backends_with_flows = Some(BTreeSet::new());
    let first = plan(&back, &tables);
    assert_eq!(kinds(&first), ["put-ring"], "not cleared under the ring");
    apply(&first, &mut tables);
    assert_eq!(kinds(&plan(&back, &tables)), ["clear-backend"]);
}

#[test]
fn an_adopting_agent_can_start_from_the_next_hops_in_the_tables() {
    let mut hops = all_resolved(&two());
    hops.remove(&ip("10.0.0.2"));
    let tables = tables_of(&desired(&two(), &all_up(&two()), &hops));
    assert_eq!(tables.hops(), hops);
}

#[test]
fn leftovers_of_a_service_that_reads_as_empty_are_cleaned_up() {
    let mut tables = tables_of(&wanted(&two()));
    tables.services.clear();
    tables.index.clear();
    tables.rings.clear();
    let nothing = Desired::default();
    let first = plan(&nothing, &tables);
    assert_eq!(kinds(&first), ["clear-ring", "put-backend", "put-backend"]);
    apply(&first, &mut tables);
    let last = plan(&nothing, &tables);
    assert_eq!(
        kinds(&last),
        ["clear-backend", "clear-backend", "clear-service"]
    );
    apply(&last, &mut tables);
    assert!(tables.backends.is_empty() && tables.rings.is_empty());
}
