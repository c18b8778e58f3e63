//! Plans as people and programs read them.

use super::*;

const WWW: &[(&str, &str, &str)] = &[("www", "203.0.113.10:80", "web")];

fn before() -> Config {
    config(
        WWW,
        &[(
            "web",
            &[
                ("10.0.0.11:80", 100),
                ("10.0.0.12:80", 100),
                ("10.0.0.13:80", 100),
            ],
        )],
    )
}

fn after() -> Config {
    let mut after = config(
        WWW,
        &[(
            "web",
            &[
                ("10.0.0.11:80", 50),
                ("10.0.0.13:80", 100),
                ("10.0.0.14:80", 100),
            ],
        )],
    );
    for service in after.services.values_mut() {
        service.timeouts.established = 600;
        service.hash = Hash::Source;
    }
    after
}

#[test]
fn a_first_plan_reads_well() {
    let mut config = config(
        WWW,
        &[("web", &[("10.0.0.11:80", 100), ("[2001:db8::b]:80", 100)])],
    );
    let six = "www6".parse().expect("a name");
    config
        .services
        .insert(six, service("[2001:db8::10]:80", "web"));
    let mut hops = all_resolved(&config);
    hops.remove(&ip("2001:db8::b"));
    let plan = plan(
        &desired(&config, &all_up(&config), &hops),
        &Observed::default(),
    );
    assert_eq!(
        plan.to_string(),
        "\
+ service www 203.0.113.10:80/tcp (id 1)
+ service www6 [2001:db8::10]:80/tcp (id 2)
+ backend 10.0.0.11:80 of 203.0.113.10:80/tcp (id 1): next hop 02:00:00:00:00:01 on interface 1
+ backend 10.0.0.11:80 of [2001:db8::10]:80/tcp (id 3): next hop 02:00:00:00:00:01 on interface 1
+ ring of 203.0.113.10:80/tcp: 1 backend, +10.0.0.11:80 weight 100
+ ring of [2001:db8::10]:80/tcp: 1 backend, +10.0.0.11:80 weight 100
+ backend [2001:db8::b]:80 of 203.0.113.10:80/tcp (id 2): no next hop
+ backend [2001:db8::b]:80 of [2001:db8::10]:80/tcp (id 4): no next hop
+ VIP 203.0.113.10
+ VIP 2001:db8::10
+ index 203.0.113.10:80/tcp (id 1)
+ index [2001:db8::10]:80/tcp (id 2)
12 changes."
    );
}

#[test]
fn a_change_reads_well() {
    let tables = tables_of(&wanted(&before()));
    let mut hops = all_resolved(&before());
    hops.extend(all_resolved(&after()));
    let mut moved = hop(0x2a);
    moved.vlan = VlanId(100);
    hops.insert(ip("10.0.0.13"), moved);
    let plan = plan(&desired(&after(), &all_up(&after()), &hops), &tables);
    assert_eq!(
        plan.to_string(),
        "\
~ service www 203.0.113.10:80/tcp (id 1): hash five-tuple → source, established timeout 7440 s → 600 s, prefaced timeout 7440 s → 600 s
~ backend 10.0.0.13:80 of 203.0.113.10:80/tcp (id 3): next hop 02:00:00:00:00:01 on interface 1 → next hop 02:00:00:00:00:2a on interface 1 vlan 100
+ backend 10.0.0.14:80 of 203.0.113.10:80/tcp (id 4): next hop 02:00:00:00:00:01 on interface 1
~ ring of 203.0.113.10:80/tcp: 3 → 3 backends, 10.0.0.11:80 weight 100 → 50, -10.0.0.12:80, +10.0.0.14:80 weight 100
= backend 10.0.0.12:80 of 203.0.113.10:80/tcp (id 2) drains out: kept until its last flow has ended
4 changes."
    );
}

#[test]
fn a_removal_reads_well() {
    let mut tables = tables_of(&wanted(&before()));
    let nothing = desired(
        &empty_config(),
        &EffectiveWeights::new(),
        &all_resolved(&before()),
    );
    let first = plan(&nothing, &tables);
    apply(&first, &mut tables);
    let last = plan(&nothing, &tables);
    assert_eq!(
        format!("{first}\n--\n{last}"),
        "\
- index 203.0.113.10:80/tcp
- VIP 203.0.113.10
~ ring of 203.0.113.10:80/tcp: 3 → 0 backends, -10.0.0.11:80, -10.0.0.12:80, -10.0.0.13:80; no backend takes new flows
= backend 10.0.0.11:80 of 203.0.113.10:80/tcp (id 1) drains out: kept until its last flow has ended
= backend 10.0.0.12:80 of 203.0.113.10:80/tcp (id 2) drains out: kept until its last flow has ended
= backend 10.0.0.13:80 of 203.0.113.10:80/tcp (id 3) drains out: kept until its last flow has ended
3 changes.
--
- backend 10.0.0.11:80 of 203.0.113.10:80/tcp (id 1)
- backend 10.0.0.12:80 of 203.0.113.10:80/tcp (id 2)
- backend 10.0.0.13:80 of 203.0.113.10:80/tcp (id 3)
- service 203.0.113.10:80/tcp (id 1)
4 changes."
    );
}

#[test]
fn nothing_to_do_says_so() {
    assert_eq!(
        Plan::default().to_string(),
        "No changes: the tables hold what is configured."
    );
}

#[test]
fn a_large_ring_is_summed_up() {
    let addresses: Vec<String> = (1..=20).map(|n| format!("10.0.0.{n}:80")).collect();
    let backends: Vec<(&str, u16)> = addresses.iter().map(|a| (a.as_str(), 100)).collect();
    let plan = plan(
        &wanted(&config(WWW, &[("web", &backends)])),
        &Observed::default(),
    );
    let text = plan.to_string();
    let ring = text
        .lines()
        .find(|line| line.contains("ring"))
        .expect("a ring");
    assert!(ring.contains("20 backends"), "{ring}");
    assert!(ring.ends_with(", and 14 more"), "{ring}");
}

#[test]
fn the_json_form_is_stable() {
    let mut tables = tables_of(&wanted(&before()));
    let plan = plan(&wanted(&after()), &tables);
    let json = serde_json::to_value(&plan).expect("a plan is serialisable");
    assert_eq!(
        json,
        serde_json::json!({
            "changes": [
                {
                    "change": "put-service", "service": "203.0.113.10:80/tcp", "service_id": 1,
                    "text": "~ service www 203.0.113.10:80/tcp (id 1): hash five-tuple → source, \
                             established timeout 7440 s → 600 s, prefaced timeout 7440 s → 600 s",
                },
                {
                    "change": "put-backend", "service": "203.0.113.10:80/tcp", "service_id": 1,
                    "backend": "10.0.0.14:80", "backend_id": 4,
                    "text": "+ backend 10.0.0.14:80 of 203.0.113.10:80/tcp (id 4): \
                             next hop 02:00:00:00:00:01 on interface 1",
                },
                {
                    "change": "put-ring", "service": "203.0.113.10:80/tcp", "service_id": 1,
                    "members": [
                        {"backend": "10.0.0.11:80", "backend_id": 1, "weight": 50},
                        {"backend": "10.0.0.13:80", "backend_id": 3, "weight": 100},
                        {"backend": "10.0.0.14:80", "backend_id": 4, "weight": 100},
                    ],
                    "text": "~ ring of 203.0.113.10:80/tcp: 3 → 3 backends, 10.0.0.11:80 weight 100 → 50, \
                             -10.0.0.12:80, +10.0.0.14:80 weight 100",
                },
                {
                    "change": "put-backend", "service": "203.0.113.10:80/tcp", "service_id": 1,
                    "backend": "10.0.0.12:80", "backend_id": 2,
                    "text": "~ backend 10.0.0.12:80 of 203.0.113.10:80/tcp (id 2): \
                             next hop 02:00:00:00:00:01 on interface 1 → no next hop",
                },
            ],
            "draining_out": [
                {
                    "service": "203.0.113.10:80/tcp", "service_id": 1,
                    "backend": "10.0.0.12:80", "backend_id": 2,
                },
            ],
        })
    );

    apply(&plan, &mut tables);
    let last = super::plan(&wanted(&after()), &tables);
    let json = serde_json::to_value(&last).expect("a plan is serialisable");
    assert_eq!(
        json,
        serde_json::json!({
            "changes": [
                {
                    "change": "clear-backend", "service": "203.0.113.10:80/tcp", "service_id": 1,
                    "backend": "10.0.0.12:80", "backend_id": 2,
                    "text": "- backend 10.0.0.12:80 of 203.0.113.10:80/tcp (id 2)",
                },
            ],
            "draining_out": [],
        })
    );
}

#[test]
fn every_kind_of_change_has_its_json_form() {
    let mut tables = tables_of(&Desired::default());
    let mut seen = BTreeSet::new();
    let none = desired(&before(), &EffectiveWeights::new(), &Hops::new());
    for wanted in [
        &wanted(&before()),
        &none,
        &Desired::default(),
        &Desired::default(),
    ] {
        let plan = plan(wanted, &tables);
        let json = serde_json::to_value(&plan).expect("a plan is serialisable");
        for change in json["changes"].as_array().expect("a list") {
            let kind = change["change"].as_str().expect("a word");
            let vip = change["text"].as_str().expect("a line").contains(" VIP ");
            assert_eq!(change.get("service").is_none(), vip, "{change}");
            assert_eq!(
                change.get("backend").is_some(),
                kind.ends_with("-backend"),
                "{change}"
            );
            assert_eq!(
                change.get("members").is_some(),
                kind.ends_with("-ring"),
                "{change}"
            );
            seen.insert(kind.to_owned());
        }
        apply(&plan, &mut tables);
    }
    let all = [
        "clear-backend",
        "clear-ring",
        "clear-service",
        "put-backend",
        "put-index",
        "put-ring",
        "put-service",
        "remove-index",
    ];
    assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), all);
}
