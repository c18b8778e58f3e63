//! Adverts that a group refuses though they are well made.

use std::{net::IpAddr, path::Path, time::Instant};

use super::{
    router::Router,
    vrrp::{Advert, Dialect, Envelope, Family, Input, Interval, Refusal, encode},
};
use crate::config;

const OWN: &str = "192.0.2.2";
const OTHER: &str = "192.0.2.3";
const STRANGER: &str = "192.0.2.4";

/// A group with these lines more, on a link where this node has an address of its own.
fn router(more: &str) -> Router {
    let text = format!(
        "dataplane.interfaces = [\"eth0\"]\n[[ha.group]]\nname = \"front\"\nvrid = 51\ninterface = \"eth0\"\nvips = [\"192.0.2.1\"]\n{more}\n"
    );
    let config = config::parse(&text, Path::new("adc.toml")).unwrap();
    let (name, group) = config.ha.groups.first_key_value().unwrap();
    let now = Instant::now();
    let mut router = Router::new(now, name.clone(), group.clone(), None);
    let own = Ok(OWN.parse().unwrap());
    router.machine.step(now, Input::Link(Family::Ipv4, own));
    router
}

/// Why the router refuses an advert from there; `None` = it is heard.
fn refusal(router: &mut Router, from: &str, interval: Interval) -> Option<Refusal> {
    let (source, destination): (IpAddr, IpAddr) =
        (from.parse().unwrap(), "224.0.0.18".parse().unwrap());
    let advert = Advert {
        vrid: 51,
        priority: 100,
        interval,
        addresses: vec!["192.0.2.1".parse().unwrap()],
    };
    let message = encode(&advert, source, destination, Dialect::default());
    let envelope = Envelope {
        source,
        destination,
        hop_limit: 255,
    };
    let heard = router.receive(Instant::now(), &envelope, &message);
    let refused = std::mem::take(&mut router.refused);
    assert_eq!(heard.is_some(), refused.is_empty(), "{refused:?}");
    assert!(refused.values().all(|count| *count == 1), "{refused:?}");
    assert!(refused.len() <= 1, "{refused:?}");
    refused.into_keys().next()
}

#[test]
fn our_own_advert_sent_back_is_refused() {
    let mut router = router("");
    let second = Interval::Centiseconds(100);
    assert_eq!(refusal(&mut router, OWN, second), Some(Refusal::Own));
    assert_eq!(refusal(&mut router, OTHER, second), None);
}

#[test]
fn by_unicast_only_configured_peers_are_heard() {
    let mut router = router(&format!("unicast_peers = [\"{OTHER}\"]"));
    let second = Interval::Centiseconds(100);
    assert_eq!(refusal(&mut router, STRANGER, second), Some(Refusal::Peer));
    assert_eq!(refusal(&mut router, OTHER, second), None);
}

#[test]
fn version_two_refuses_another_interval_and_version_three_follows_it() {
    let mut two = router("version = 2\nadvert_interval = \"2s\"");
    let refused = refusal(&mut two, OTHER, Interval::Seconds(1));
    assert_eq!(refused, Some(Refusal::IntervalMismatch));
    assert_eq!(refusal(&mut two, OTHER, Interval::Seconds(2)), None);
    let mut three = router("advert_interval = \"2s\"");
    let other = Interval::Centiseconds(100);
    assert_eq!(refusal(&mut three, OTHER, other), None);
}
