//! Every prefix of every plan is safe, and plans reach what is desired, whatever happens in between: random
//! configurations one after the other, flows that come and go, crashes in the middle of a plan.

use adc_common::abi::{BackendFlags, Port, Protocol};
use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;
use crate::plan::{Change, RingSpec, observed::identity};

const VIPS: [&str; 3] = ["203.0.113.10", "203.0.113.11", "2001:db8::10"];
const PORTS: [&str; 3] = ["80", "443", "440-450"];
const ADDRESSES: [&str; 4] = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1"];

/// What people and the network do before one plan is made and applied.
#[derive(Clone, Debug)]
struct Step {
    /// By VIP and port: pool that the service uses, and a variant of its parameters.
    services: Vec<Option<(usize, u32)>>,
    /// By pool, address and port: weight.
    pools: Vec<Vec<Option<u16>>>,
    /// By address: a next hop.
    hops: Vec<Option<u8>>,
    /// Whether flows end; which backends of the rings get one.
    flows_end: bool,
    new_flows: Vec<Index>,
    counted: bool,
    /// Where in its plan the agent dies, if it does.
    crash: Option<Index>,
}

fn step() -> impl Strategy<Value = Step> {
    let service = proptest::option::of((0..2usize, 0..2u32));
    let backend = proptest::option::of(prop_oneof![Just(0u16), Just(50), Just(100)]);
    (
        vec(service, VIPS.len() * PORTS.len()),
        vec(vec(backend, ADDRESSES.len() * 2), 2),
        vec(proptest::option::weighted(0.8, 0..2u8), ADDRESSES.len()),
        any::<bool>(),
        vec(any::<Index>(), 0..4),
        any::<bool>(),
        proptest::option::weighted(0.3, any::<Index>()),
    )
        .prop_map(
            |(services, pools, hops, flows_end, new_flows, counted, crash)| Step {
                services,
                pools,
                hops,
                flows_end,
                new_flows,
                counted,
                crash,
            },
        )
}

impl Step {
    fn desired(&self) -> Desired {
        let places = VIPS.iter().flat_map(|vip| PORTS.map(|ports| (*vip, ports)));
        let mut config = empty_config();
        for (place, chosen) in places.zip(&self.services) {
            if let Some((pool, variant)) = chosen {
                let (vip, ports) = place;
                let mut service = service(&format!("{vip}:{ports}"), &format!("pool{pool}"));
                service.timeouts.established = 100 + variant;
                let name = format!("at-{vip}-{ports}").parse().expect("a name");
                config.services.insert(name, service);
            }
        }
        for (index, weights) in self.pools.iter().enumerate() {
            let places = ADDRESSES
                .iter()
                .flat_map(|address| [80, 81].map(|port| SocketAddr::new(ip(address), port)));
            let backends: Vec<(String, u16)> = places
                .zip(weights)
                .filter_map(|(place, weight)| weight.map(|weight| (place.to_string(), weight)))
                .collect();
            let backends: Vec<(&str, u16)> =
                backends.iter().map(|(a, w)| (a.as_str(), *w)).collect();
            config
                .pools
                .insert(name(&format!("pool{index}")), pool(&backends));
        }
        let hops = ADDRESSES
            .iter()
            .zip(&self.hops)
            .filter_map(|(address, byte)| byte.map(|byte| (ip(address), hop(byte))));
        desired(&config, &all_up(&config), &hops.collect())
    }
}

/// The kernel, and what the agent knows of it.
#[derive(Default)]
struct World {
    /// With the rings that are really there.
    tables: Observed,
    flows: BTreeSet<BackendId>,
    /// Rings that this agent process has written.
    known_rings: BTreeMap<ServiceId, RingSpec>,
}

impl World {
    fn view(&self, counted: bool) -> Observed {
        Observed {
            rings: self.known_rings.clone(),
            backends_with_flows: counted.then(|| self.flows.clone()),
            ..self.tables.clone()
        }
    }

    fn apply(&mut self, change: &Change) {
        self.tables.record(change);
        let mut known = Observed {
            rings: std::mem::take(&mut self.known_rings),
            ..Observed::default()
        };
        known.record(change);
        self.known_rings = known.rings;
    }

    /// Backends that a new flow may be given to.
    fn reachable(&self) -> Vec<BackendId> {
        self.tables
            .index
            .values()
            .filter_map(|id| self.tables.rings.get(id))
            .flat_map(|ring| &ring.members)
            .map(|member| member.backend)
            .collect()
    }

    fn run(&mut self, step: &Step) {
        if step.flows_end {
            self.flows.clear();
        }
        let counted = self.view(step.counted);
        // These flows come after the count: no plan knows of them.
        let reachable = self.reachable();
        if !reachable.is_empty() {
            let new = step.new_flows.iter().map(|index| *index.get(&reachable));
            self.flows.extend(new);
        }

        let desired = step.desired();
        let plan = plan(&desired, &counted);
        let crash = step.crash.map(|index| index.index(plan.changes.len() + 1));
        let begin = self.tables.clone();
        for change in plan.changes.iter().take(crash.unwrap_or(usize::MAX)) {
            self.apply(change);
            self.assert_safe(&begin, &plan);
        }
        if crash.is_some() {
            self.known_rings.clear();
        } else {
            let again = super::plan(&desired, &self.view(false));
            assert_eq!(
                again.changes,
                [],
                "a plan that was applied leaves nothing to do"
            );
        }
    }

    fn assert_safe(&self, begin: &Observed, plan: &Plan) {
        let tables = &self.tables;
        for (service, ring) in &tables.rings {
            let present = tables.services.contains_key(service);
            assert!(
                present || ring.is_empty(),
                "a ring of a service that is absent"
            );
            for member in &ring.members {
                let entry = tables
                    .backends
                    .get(&member.backend)
                    .expect("named, so present");
                assert_eq!(entry.service, *service);
                assert_eq!(identity(entry), member.identity);
                assert!(entry.flags.contains(BackendFlags::HOP_RESOLVED));
            }
        }
        for (key, id) in &tables.index {
            if *id == ServiceId(0) {
                assert_eq!(
                    (key.port, key.protocol),
                    (Port::default(), Protocol::default())
                );
                continue;
            }
            assert_eq!(tables.services[id].key, *key);
            assert!(tables.index.contains_key(&ServiceKey::vip_marker(key.vip)));
            if !begin.index.contains_key(key) {
                let mut end = begin.clone();
                apply(plan, &mut end);
                assert_eq!(
                    tables.rings[id], end.rings[id],
                    "a new service opens with its ring"
                );
            }
        }
        for id in self.flows.iter().chain(&self.reachable()) {
            let entry = tables
                .backends
                .get(id)
                .expect("a flow's backend is present");
            let timeouts = tables.services.get(&entry.service);
            assert!(timeouts.is_some(), "a flow's service is present");
            if let Some(before) = begin.backends.get(id) {
                assert_eq!(identity(entry), identity(before));
                assert_eq!(entry.service, before.service);
            }
        }
    }

    /// Plans until nothing is left to do.
    fn settle(&mut self, desired: &Desired) {
        for _ in 0..3 {
            for change in &plan(desired, &self.view(true)).changes {
                self.apply(change);
            }
        }
        assert_eq!(plan(desired, &self.view(true)).changes, []);
    }

    fn assert_holds(&self, desired: &Desired) {
        let tables = &self.tables;
        assert_eq!(tables.services.len(), desired.services.len());
        let vips: BTreeSet<_> = desired.services.keys().map(|key| key.vip).collect();
        assert_eq!(tables.index.len(), desired.services.len() + vips.len());
        let backends: usize = desired.services.values().map(|s| s.backends.len()).sum();
        assert_eq!(tables.backends.len(), backends);
        for (key, service) in &desired.services {
            let id = tables.index[key];
            assert_eq!(tables.services[&id], service.entry);
            let in_ring: BTreeMap<SocketAddr, Weight> = (tables.rings[&id].members.iter())
                .map(|member| (member.identity, member.weight))
                .collect();
            let usable = service.backends.iter().filter(|(address, weight)| {
                **weight > Weight(0) && desired.hops.contains_key(&address.ip())
            });
            assert_eq!(
                in_ring,
                usable
                    .map(|(address, weight)| (*address, *weight))
                    .collect()
            );
            for entry in tables.backends.values().filter(|entry| entry.service == id) {
                assert!(service.backends.contains_key(&identity(entry)));
                let hop = desired.hops.get(&identity(entry).ip()).copied();
                assert_eq!(entry.hop, hop.unwrap_or_default());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn every_prefix_of_a_plan_is_safe_and_plans_reach_what_is_desired(steps in vec(step(), 1..8)) {
        let mut world = World::default();
        for step in &steps {
            world.run(step);
        }
        let desired = steps.last().map(Step::desired).unwrap_or_default();
        world.flows.clear();
        world.settle(&desired);
        world.assert_holds(&desired);
    }

    #[test]
    fn ring_changes_stand_together(steps in vec(step(), 2)) {
        // Ranges hold back what they replace, with its rings.
        let [before, after] = [&steps[0], &steps[1]].map(|step| {
            let mut desired = step.desired();
            desired.services.retain(|key, _| key.ports().is_none());
            desired
        });
        let tables = tables_of(&before);
        let plan = plan(&after, &tables);
        let is_ring = |change: &Change| {
            matches!(change, Change::PutRing { .. } | Change::ClearRing { .. })
        };
        let blocks = plan.changes.chunk_by(|a, b| is_ring(a) == is_ring(b));
        let rings = blocks.filter(|block| is_ring(&block[0]));
        prop_assert!(rings.count() <= 1);
    }
}
