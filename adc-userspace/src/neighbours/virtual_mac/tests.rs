//! Devices with virtual MACs on a real interface, in network namespaces.

use adc_common::abi::Vrid;

use super::{
    super::testnet::{Namespace, is_root},
    *,
};

fn of(node: &Namespace, address: &str, router: u8) -> VirtualDevice {
    let shown = node.ip("-o link show dev a0");
    let index = shown.split(':').next().expect("an index");
    let index = index.parse().expect("a number");
    VirtualDevice::carrying(&address.parse().expect("an address"), Vrid(router), index)
}

/// A setting of a device, of IPv4 or IPv6.
fn setting(node: &Namespace, family: &str, device: &str, name: &str) -> String {
    let path = format!("/proc/sys/net/{family}/conf/{device}/{name}");
    let read = node.enter(|| std::fs::read_to_string(&path));
    read.expect("it exists").trim().to_owned()
}

#[test]
fn a_device_is_made_down_and_adopted_by_whoever_makes_it_again() {
    if !is_root("a_device_is_made_down_and_adopted_by_whoever_makes_it_again") {
        return;
    }
    let (node, peer) = (Namespace::new(), Namespace::new());
    node.cable("a0", &peer, "b0");
    let (v4, v6) = (of(&node, "192.0.2.1", 51), of(&node, "::1", 51));
    node.block_on(|| async move {
        for device in [v4, v6, v4] {
            make(device).await.expect("root may");
        }
        set_up(v4, true).await.expect("it is there");
        make(v4).await.expect("it is there");
    });
    let shown = node.ip("-o -d link show type macvlan");
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(shown.contains("mode vepa"), "{shown}");
    assert!(shown.contains("00:00:5e:00:01:33"), "{shown}");
    assert!(shown.contains("00:00:5e:00:02:33"), "{shown}");
    let up = node.ip("-o link show up type macvlan");
    assert_eq!(up.lines().count(), 1, "{up}");
    assert!(
        up.contains(&v4.name()),
        "made again, it stays as it is: {up}"
    );
    assert_eq!(setting(&node, "ipv6", &v4.name(), "disable_ipv6"), "1");
    assert_eq!(setting(&node, "ipv6", &v6.name(), "accept_ra"), "0");
    for device in [v4.name(), v6.name()] {
        assert_eq!(setting(&node, "ipv4", &device, "arp_ignore"), "1");
        assert_eq!(setting(&node, "ipv4", &device, "rp_filter"), "2");
        let addresses = node.ip(&format!("-o address show dev {device}"));
        assert_eq!(addresses, "", "no address by itself");
    }
}

#[test]
fn the_interface_gets_its_settings_back_with_the_last_device() {
    if !is_root("the_interface_gets_its_settings_back_with_the_last_device") {
        return;
    }
    let (node, peer) = (Namespace::new(), Namespace::new());
    node.cable("a0", &peer, "b0");
    node.sysctl("net/ipv4/conf/a0/arp_announce", "1");
    let (v4, v6) = (of(&node, "192.0.2.1", 51), of(&node, "::1", 52));
    let now = || ["arp_ignore", "arp_announce"].map(|name| setting(&node, "ipv4", "a0", name));
    node.block_on(|| async move {
        make(v4).await.expect("root may");
        make(v6).await.expect("root may");
    });
    assert_eq!(now(), ["1", "2"]);
    node.block_on(|| async move { remove(v4).await.expect("root may") });
    assert_eq!(now(), ["1", "2"], "there is another");
    let removed = node.block_on(|| async { remove_all().await.expect("root may") });
    assert_eq!(removed, [v6.name()]);
    assert_eq!(now(), ["0", "1"]);
}

#[test]
fn what_somebody_else_set_on_the_interface_meanwhile_stays() {
    if !is_root("what_somebody_else_set_on_the_interface_meanwhile_stays") {
        return;
    }
    let (node, peer) = (Namespace::new(), Namespace::new());
    node.cable("a0", &peer, "b0");
    let device = of(&node, "192.0.2.1", 51);
    node.block_on(|| async move { make(device).await.expect("root may") });
    node.sysctl("net/ipv4/conf/a0/arp_ignore", "2");
    node.block_on(|| async move { remove(device).await.expect("root may") });
    assert_eq!(setting(&node, "ipv4", "a0", "arp_ignore"), "2");
    assert_eq!(setting(&node, "ipv4", "a0", "arp_announce"), "0");
}

#[test]
fn one_that_was_left_half_made_is_completed_and_gone_without_a_trace() {
    if !is_root("one_that_was_left_half_made_is_completed_and_gone_without_a_trace") {
        return;
    }
    let (node, peer) = (Namespace::new(), Namespace::new());
    node.cable("a0", &peer, "b0");
    let device = of(&node, "192.0.2.1", 51);
    let name = device.name();
    node.ip(&format!(
        "link add {name} link a0 address 00:00:5e:00:01:33 type macvlan mode vepa"
    ));
    node.block_on(|| async move { make(device).await.expect("root may") });
    assert_eq!(setting(&node, "ipv4", "a0", "arp_ignore"), "1");
    assert_eq!(setting(&node, "ipv4", &name, "rp_filter"), "2");
    node.block_on(|| async move {
        set_up(device, true).await.expect("it is there");
        remove(device).await.expect("root may");
        remove(device).await.expect("it has gone already");
    });
    assert_eq!(setting(&node, "ipv4", "a0", "arp_ignore"), "0");
    assert_eq!(setting(&node, "ipv4", "a0", "arp_announce"), "0");
}

#[test]
fn another_device_of_that_name_is_not_taken_for_it() {
    if !is_root("another_device_of_that_name_is_not_taken_for_it") {
        return;
    }
    let (node, peer) = (Namespace::new(), Namespace::new());
    node.cable("a0", &peer, "b0");
    let device = of(&node, "192.0.2.1", 51);
    let name = device.name();
    node.ip(&format!("link add {name} link a0 type macvlan mode vepa"));
    let refused = node.block_on(|| async move { make(device).await });
    let why = refused.expect_err("it has another MAC").to_string();
    assert!(why.contains(&format!("ip link delete {name}")), "{why}");
    assert_eq!(setting(&node, "ipv4", "a0", "arp_ignore"), "0");
}

#[test]
fn it_has_ipv6_where_new_devices_have_none() {
    if !is_root("it_has_ipv6_where_new_devices_have_none") {
        return;
    }
    let (node, peer) = (Namespace::new(), Namespace::new());
    node.cable("a0", &peer, "b0");
    node.sysctl("net/ipv6/conf/default/disable_ipv6", "1");
    let device = of(&node, "::1", 51);
    node.block_on(|| async move { make(device).await.expect("root may") });
    assert_eq!(setting(&node, "ipv6", &device.name(), "disable_ipv6"), "0");
    assert_eq!(setting(&node, "ipv6", &device.name(), "accept_ra"), "0");
}

#[test]
fn devices_of_others_are_left_alone() {
    if !is_root("devices_of_others_are_left_alone") {
        return;
    }
    let (node, peer) = (Namespace::new(), Namespace::new());
    node.cable("a0", &peer, "b0");
    node.ip("link add vrrp.51 link a0 address 00:00:5e:00:01:33 type macvlan mode private");
    let removed = node.block_on(|| async { remove_all().await.expect("root may") });
    assert!(removed.is_empty(), "{removed:?}");
    node.ip("link show dev vrrp.51");
}

#[test]
fn an_interface_whose_frames_are_another_ones_can_have_none() {
    if !is_root("an_interface_whose_frames_are_another_ones_can_have_none") {
        return;
    }
    let (node, peer) = (Namespace::new(), Namespace::new());
    node.cable("b1", &peer, "b0");
    node.ip("link add a0 link b1 type macvlan mode private");
    let device = of(&node, "192.0.2.1", 51);
    let refused = node.block_on(|| async move { make(device).await });
    let why = refused.expect_err("it is a macvlan").to_string();
    assert!(why.contains("a0 can not have a virtual MAC"), "{why}");
}
