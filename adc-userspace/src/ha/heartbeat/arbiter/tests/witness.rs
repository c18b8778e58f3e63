//! With a witness.

use super::*;

#[test]
fn with_a_witness_nobody_becomes_or_stays_active_who_reaches_neither_it_nor_the_peer() {
    let mut node = Node::with(|rules| rules.witness = true);
    node.step(0);
    node.seen.verdict = Verdict::Silent { last: None };
    assert_eq!(node.step(1_000).role, Role::Backup);
    node.local.witness = Some(node.at(1_000));
    assert_eq!(node.step(1_010).role, Role::Active);
    // The lease counts from what was answered, not from now.
    let outcome = node.step(1_050);
    assert_eq!(outcome.lease, Some(node.at(1_000 + LEASE)));
    let outcome = node.step(1_000 + LEASE);
    assert_eq!(outcome.role, Role::Backup);
    assert_eq!(outcome.news, Some(Why::Isolated), "it was run all the time");
    // The peer's word that it heard us will do as well.
    let mut node = Node::with(|rules| rules.witness = true);
    node.step(0);
    node.seen.verdict = Verdict::Silent { last: None };
    node.local.witness = Some(node.at(1_000));
    node.step(1_010);
    node.hear(Role::Backup, 50, 1, 1_190);
    node.seen.confirmed = Some(node.at(1_090));
    assert_eq!(node.step(1_095).lease, Some(node.at(1_090 + LEASE)));
}

#[test]
fn a_peer_that_hears_nobody_and_reaches_no_witness_is_replaced() {
    let mut node = Node::with(|rules| rules.witness = true);
    node.step(0);
    node.hear(Role::Backup, 150, 1, 1_000);
    if let Verdict::Present(presence) = &mut node.seen.verdict {
        presence.hears_us = false;
    }
    for milliseconds in (1_000..1_000 + 2 * LEASE).step_by(10) {
        node.local.witness = Some(node.at(milliseconds));
        let role = node.step(milliseconds).role;
        assert_eq!(role, Role::Backup, "it may become active itself");
    }
    let outcome = node.step(1_000 + 2 * LEASE);
    assert_eq!(
        (outcome.role, outcome.news),
        (Role::Active, Some(Why::PeerUnable))
    );
    // That one who reaches no witness either does not.
    let mut node = Node::with(|rules| rules.witness = true);
    node.step(0);
    node.hear(Role::Backup, 150, 1, 1_000);
    if let Verdict::Present(presence) = &mut node.seen.verdict {
        presence.hears_us = false;
    }
    for milliseconds in (1_000..2_000).step_by(10) {
        assert_eq!(node.step(milliseconds).role, Role::Backup);
    }
}
