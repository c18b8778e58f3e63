//! The doctor on real interfaces, in network namespaces.

mod program;

use std::path::Path;

use super::{Finding, Severity, attach_refusal, examine};
use crate::neighbours::testnet::{Namespace, is_root};

const PINS: &str = "/sys/fs/bpf/adc-doctor-test";

fn about(node: &Namespace, name: &str) -> Vec<Finding> {
    let names = [name.to_owned()];
    let all = node.enter(|| examine(&names, Path::new(PINS)));
    all.into_iter()
        .filter(|finding| finding.subject == name)
        .collect()
}

fn says(findings: &[Finding], part: &str) -> Option<Severity> {
    let found = findings
        .iter()
        .find(|finding| finding.what.contains(part))?;
    Some(found.severity)
}

#[test]
fn a_missing_interface_is_an_error_that_names_those_there_are() {
    if !is_root("a_missing_interface_is_an_error_that_names_those_there_are") {
        return;
    }
    let (node, peer) = (Namespace::new(), Namespace::new());
    node.cable("a0", &peer, "b0");
    let findings = about(&node, "nope0");
    let [finding] = findings.as_slice() else {
        panic!("{findings:?}");
    };
    assert_eq!(finding.severity, Severity::Error);
    let remedy = finding.remedy.as_deref().expect("a remedy");
    assert!(remedy.contains("there are: a0"), "{remedy}");
    let refusal = node.enter(|| attach_refusal("nope0", Path::new(PINS)));
    assert!(
        refusal.contains("can not attach to nope0: there is no such interface"),
        "{refusal}"
    );
}

#[test]
fn a_veth_is_recognised_and_its_peer_looked_at() {
    if !is_root("a_veth_is_recognised_and_its_peer_looked_at") {
        return;
    }
    let node = Namespace::new();
    node.ip("link add a0 type veth peer name b0");
    node.ip("link set a0 up");
    node.ip("link set b0 up");
    let findings = about(&node, "a0");
    assert_eq!(
        says(&findings, "driver veth"),
        Some(Severity::Ok),
        "{findings:?}"
    );
    assert_eq!(
        says(&findings, "peer b0 sends packets with unfinished"),
        Some(Severity::Warning)
    );
    assert_eq!(says(&findings, "it is up"), Some(Severity::Ok));
    assert_eq!(says(&findings, "no XDP program"), Some(Severity::Ok));

    node.ethtool("-K b0 tx off gro on");
    let findings = about(&node, "a0");
    assert_eq!(
        says(&findings, "peer b0 finishes checksums"),
        Some(Severity::Ok),
        "{findings:?}"
    );
    if says(&findings, "sent by XDP is not told by this kernel").is_some() {
        eprintln!("the peer's reception of XDP packets: skipped: needs kernel 6.3");
        return;
    }
    assert_eq!(
        says(&findings, "peer takes packets sent by XDP"),
        Some(Severity::Ok)
    );
    node.ethtool("-K b0 gro off");
    let findings = about(&node, "a0");
    assert_eq!(
        says(&findings, "peer drops packets sent by XDP"),
        Some(Severity::Warning)
    );
}

#[test]
fn a_peer_in_another_namespace_is_told_apart() {
    if !is_root("a_peer_in_another_namespace_is_told_apart") {
        return;
    }
    let (node, peer) = (Namespace::new(), Namespace::new());
    // Indices are per namespace: the peer's must not be taken for a device of this one.
    node.cable("c0", &peer, "d0");
    node.cable("a0", &peer, "b0");
    let findings = about(&node, "a0");
    assert_eq!(
        says(&findings, "can not be looked at"),
        Some(Severity::Warning),
        "{findings:?}"
    );
}

#[test]
fn a_down_interface_with_a_large_mtu_is_told_both() {
    if !is_root("a_down_interface_with_a_large_mtu_is_told_both") {
        return;
    }
    let (node, peer) = (Namespace::new(), Namespace::new());
    node.cable("a0", &peer, "b0");
    node.ip("link set a0 mtu 9000");
    node.ip("link set a0 down");
    let findings = about(&node, "a0");
    assert_eq!(
        says(&findings, "it is down"),
        Some(Severity::Warning),
        "{findings:?}"
    );
    assert_eq!(says(&findings, "MTU 9000"), Some(Severity::Error));
    let refusal = node.enter(|| attach_refusal("a0", Path::new(PINS)));
    assert!(
        refusal.contains("MTU 9000") && refusal.contains("mtu 3498"),
        "{refusal}"
    );
}

#[test]
fn a_bridge_sends_the_operator_to_its_ports() {
    if !is_root("a_bridge_sends_the_operator_to_its_ports") {
        return;
    }
    let (node, peer) = (Namespace::new(), Namespace::new());
    node.cable("a0", &peer, "b0");
    node.ip("link add br0 type bridge");
    node.ip("link set a0 master br0");
    let refusal = node.enter(|| attach_refusal("br0", Path::new(PINS)));
    assert!(
        refusal.contains("bridge of a0") && refusal.contains("put its ports (a0)"),
        "{refusal}"
    );
}

#[test]
fn a_device_without_native_xdp_is_an_error_where_the_kernel_tells() {
    if !is_root("a_device_without_native_xdp_is_an_error_where_the_kernel_tells") {
        return;
    }
    let (node, peer) = (Namespace::new(), Namespace::new());
    node.cable("a0", &peer, "b0");
    node.ip("link add link a0 name m0 type macvlan mode bridge");
    let findings = about(&node, "m0");
    let told = says(&findings, "runs no native XDP");
    let untold = says(&findings, "not told by this kernel");
    assert!(
        told == Some(Severity::Error) || untold == Some(Severity::Ok),
        "{findings:?}"
    );
}

#[test]
fn the_host_is_examined_first_and_without_interfaces_too() {
    let findings = examine(&[], Path::new(PINS));
    assert!(findings.iter().all(|finding| finding.subject == "host"));
    assert!(findings.len() >= 6, "{findings:?}");
}
