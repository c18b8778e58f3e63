//! Interfaces that come, go and change under a running agent, or while none runs.

use std::{net::IpAddr, time::Duration};

use adc_tests::{
    drive::{HeldConnections, get_in},
    net::{Link, VethPair},
    require,
    scene::{ECHO, Scene, WWW, WWW6},
    topology::{GATEWAY_V4, GATEWAY_V6, Topology, VIP_V4, VIP_V6},
    wait::eventually,
};
use ipnet::IpNet;
use serde_json::Value;

/// Two sweeps: what nobody tells the agent of is found by the next one.
const MENDED: Duration = Duration::from_secs(15);

/// Own addresses of a link, VIPs left out.
fn own_addresses(link: &Link) -> Vec<IpNet> {
    let text = link
        .namespace
        .ip(&["-json", "address", "show", "dev", &link.name]);
    let list: Value = serde_json::from_str(&text).unwrap();
    let all = list[0]["addr_info"].as_array().into_iter().flatten();
    all.filter(|entry| entry["scope"] != "link")
        .map(|entry| -> IpNet {
            let (local, length) = (entry["local"].as_str().unwrap(), &entry["prefixlen"]);
            format!("{local}/{length}").parse().unwrap()
        })
        .filter(|address| address.prefix_len() < address.max_prefix_len())
        .collect()
}

fn mac(link: &Link) -> String {
    link.details()["address"].as_str().unwrap().to_owned()
}

/// Deletes the veth pair between client and adc node; the function puts it back, with the same MACs and addresses.
fn unplug_client(topology: &Topology) -> impl FnOnce() + use<> {
    let ours = topology.interfaces[0].clone();
    let theirs = Link {
        namespace: topology.client.clone(),
        name: "eth0".into(),
    };
    let before = [&theirs, &ours].map(|link| (link.clone(), own_addresses(link), mac(link)));
    theirs.namespace.ip(&["link", "del", "eth0"]);
    move || {
        let [(theirs, _, _), (ours, _, _)] = &before;
        let pair = VethPair::connect((&theirs.namespace, "eth0"), (&ours.namespace, "eth0"));
        pair.a.enable_gro();
        for (link, addresses, mac) in before {
            link.namespace
                .ip(&["link", "set", &link.name, "address", &mac]);
            for address in addresses {
                link.add_address(address);
            }
        }
        let (v4, v6) = (GATEWAY_V4.0.to_string(), GATEWAY_V6.0.to_string());
        let client = &pair.a.namespace;
        client.ip(&["route", "add", "default", "via", &v4]);
        client.ip(&["-6", "route", "add", "default", "via", &v6]);
    }
}

fn answers(scene: &Scene) -> bool {
    [WWW, WWW6].iter().all(|vip| {
        let timeout = Duration::from_millis(500);
        get_in(&scene.topology.client, *vip, "/", timeout).is_ok()
    })
}

fn warns_about(scene: &Scene, subject: &str) -> bool {
    let status = scene.agent.json(&["status"]);
    let warnings = status["warnings"].as_array().into_iter().flatten();
    warnings
        .into_iter()
        .any(|warning| warning["subject"] == subject)
}

#[test]
fn vips_that_somebody_took_off_come_back() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(1));
    let front = &scene.topology.interfaces[0];
    let vip = format!("{VIP_V4}/32");
    let adc = &scene.topology.adc;
    adc.ip(&["address", "del", &vip, "dev", &front.name]);
    eventually(MENDED, "the IPv4 VIP is back", || {
        front.addresses().contains(&IpAddr::V4(VIP_V4))
    });
    // The kernel takes IPv6 addresses off an interface that goes down.
    adc.ip(&["link", "set", &front.name, "down"]);
    adc.ip(&["link", "set", &front.name, "up"]);
    eventually(MENDED, "the IPv6 VIP is back", || {
        front.addresses().contains(&IpAddr::V6(VIP_V6))
    });
    adc.ip(&[
        "address",
        "add",
        "fd00:1::1/64",
        "dev",
        &front.name,
        "nodad",
    ]);
    eventually(MENDED, "both VIPs answer", || answers(&scene));
}

#[test]
fn an_interface_that_is_deleted_and_made_anew_is_used_again_with_its_vips_and_flows() {
    require!(namespaces, agent);
    let scene = Scene::new(Topology::two_arm(2));
    let held = HeldConnections::open(&scene.topology.client, ECHO, 20);
    held.assert_all_alive();
    let replug = unplug_client(&scene.topology);
    eventually(MENDED, "the loss is shown", || {
        warns_about(&scene, "interface eth0")
    });
    let metrics = scene.topology.adc.enter(|| {
        get_in(
            &scene.topology.adc,
            ([127, 0, 0, 1], 9551).into(),
            "/readyz",
            Duration::from_secs(2),
        )
    });
    assert_eq!(metrics.unwrap().status, 503);
    replug();
    eventually(MENDED, "both VIPs answer again", || answers(&scene));
    held.assert_all_alive();
    eventually(MENDED, "the warning goes away", || {
        !warns_about(&scene, "interface eth0")
    });
}

#[test]
fn an_interface_made_anew_while_no_agent_ran_serves_its_old_flows() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(2));
    let held = HeldConnections::open(&scene.topology.client, ECHO, 20);
    held.assert_all_alive();
    scene.agent.kill9();
    unplug_client(&scene.topology)();
    scene.agent.restart();
    eventually(MENDED, "both VIPs answer again", || answers(&scene));
    held.assert_all_alive();
}

#[test]
fn an_adopted_attachment_keeps_its_mode_and_the_status_says_so() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(1));
    scene.agent.kill9();
    scene.config.attach = "skb";
    scene.agent.write_config(&scene.config);
    scene.agent.restart();
    let status = scene.agent.json(&["status"]);
    assert_eq!(status["interfaces"][0]["adopted"], true, "{status}");
    assert_eq!(status["interfaces"][0]["mode"], "native", "{status}");
    assert!(warns_about(&scene, "interface eth0"), "{status}");
    assert!(answers(&scene));
    // After a clean stop the mode that was asked for is used.
    assert!(scene.agent.stop().success());
    scene.agent.restart();
    let status = scene.agent.json(&["status"]);
    assert_eq!(status["interfaces"][0]["mode"], "skb", "{status}");
}

#[test]
fn an_adopted_node_starts_without_one_of_its_interfaces_and_mends_when_it_returns() {
    require!(namespaces, agent);
    let mut scene = Scene::new(Topology::two_arm(2));
    scene.agent.kill9();
    let replug = unplug_client(&scene.topology);
    scene.agent.restart();
    assert!(warns_about(&scene, "interface eth0"));
    // Health checks go on over the other one.
    scene.agent.wait_for_available("web", 2);
    scene.kill_http(0);
    scene.agent.wait_for_available("web", 1);
    replug();
    eventually(MENDED, "both VIPs answer again", || answers(&scene));
    eventually(MENDED, "the warning goes away", || {
        !warns_about(&scene, "interface eth0")
    });
}
