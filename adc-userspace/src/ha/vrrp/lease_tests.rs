//! How long an active node that stops may serve.

use super::{
    Input,
    instance_tests::{Node, SECOND, timing},
};

#[test]
fn a_lease_that_nobody_renews_is_over_before_any_backup_takes_over() {
    let mut active = Node::new(timing(254));
    assert_eq!(active.instance.lease(), None);
    active.pass(SECOND * 5);
    // It stops right after its last advert.
    let stopped = active.now;
    let lease = active.instance.lease().unwrap();
    assert!(lease > stopped);

    let mut backup = Node::new(timing(253));
    backup.now = stopped;
    backup.hears("10.0.0.9", 254);
    let takes_over = backup.instance.deadline().unwrap();
    assert!(lease <= takes_over, "{:?}", lease - takes_over);
}

#[test]
fn a_node_that_resigns_has_no_lease_and_one_that_found_its_addresses_on_serves_until_it_knows() {
    let mut node = Node::new(timing(100));
    node.pass(SECOND * 5);
    node.step(Input::Stopped);
    assert_eq!(node.instance.lease(), None);
    node.step(Input::Started { resume: true });
    let decided = node.instance.deadline().unwrap();
    assert!(node.instance.lease().unwrap() > decided);
    node.hears("10.0.0.9", 200);
    assert_eq!(node.instance.lease(), None);
}
