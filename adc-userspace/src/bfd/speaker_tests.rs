//! Sessions together: whose a packet is, and what stays.

use super::*;
use crate::model::BfdTiming;

const TIMING: BfdTiming = BfdTiming {
    interval: Duration::from_millis(50),
    multiplier: 3,
};

fn path(peer: &str) -> Path {
    Path {
        peer: peer.parse().unwrap(),
        interface: None,
        local: None,
    }
}

fn wanted(peers: &[&str]) -> BTreeMap<Path, Wanted> {
    let wanted = |peer: &&str| {
        let wanted = Wanted {
            name: format!("to {peer}"),
            timing: TIMING,
            passive: false,
        };
        (path(peer), wanted)
    };
    peers.iter().map(wanted).collect()
}

fn speaker(now: Instant, peers: &[&str]) -> Speaker {
    let mut speaker = Speaker::new(5);
    speaker.configure(now, SystemTime::UNIX_EPOCH, &wanted(peers));
    speaker
}

fn says(speaker: &mut Speaker, now: Instant, peer: &str, packet: &Packet) -> Vec<Outgoing> {
    let wall = SystemTime::UNIX_EPOCH;
    speaker.receive(now, wall, &path(peer), &packet.encode(), 255)
}

fn down() -> Packet {
    Packet {
        state: State::Down,
        multiplier: 3,
        my_discriminator: 99,
        desired_min_tx: 1_000_000,
        required_min_rx: 50_000,
        ..Packet::default()
    }
}

/// Both sessions of a speaker with these peers are up.
fn take_up(speaker: &mut Speaker, now: Instant, peer: &str) {
    let own = discriminator(speaker, peer);
    says(speaker, now, peer, &down());
    let init = Packet {
        state: State::Init,
        your_discriminator: own,
        ..down()
    };
    says(speaker, now, peer, &init);
    assert_eq!(state(speaker, peer), State::Up);
}

fn discriminator(speaker: &Speaker, peer: &str) -> u32 {
    let entry = &speaker.entries[&path(peer)];
    entry.session.discriminator().get()
}

fn state(speaker: &Speaker, peer: &str) -> State {
    speaker.entries[&path(peer)].session.state()
}

fn refused(speaker: &Speaker, peer: &str, refusal: Refusal) -> u64 {
    let counts = &speaker.entries[&path(peer)].counts;
    counts.refused.get(&refusal).copied().unwrap_or(0)
}

#[test]
fn every_session_has_a_number_and_a_port_of_its_own() {
    let peers: Vec<_> = (0..200).map(|n| format!("10.0.0.{n}")).collect();
    let peers: Vec<_> = peers.iter().map(String::as_str).collect();
    let speaker = speaker(Instant::now(), &peers);
    let entries = speaker.entries.values();
    let numbers: BTreeSet<_> = entries.clone().map(|e| e.session.discriminator()).collect();
    let ports: BTreeSet<_> = entries.map(|e| e.port).collect();
    assert_eq!((numbers.len(), ports.len()), (200, 200));
    assert!(ports.iter().all(|port| *port >= FIRST_PORT));
}

#[test]
fn packets_go_to_the_session_that_they_name_and_nobody_speaks_for_another_peer() {
    let now = Instant::now();
    let mut speaker = speaker(now, &["10.0.0.1", "10.0.0.2"]);
    let other = Packet {
        your_discriminator: discriminator(&speaker, "10.0.0.2"),
        ..down()
    };
    assert_eq!(says(&mut speaker, now, "10.0.0.1", &other), []);
    assert_eq!(refused(&speaker, "10.0.0.1", Refusal::NoSession), 1);
    assert_eq!(state(&speaker, "10.0.0.2"), State::Down);
    assert_eq!(says(&mut speaker, now, "10.0.0.1", &down()).len(), 1);
    assert_eq!(state(&speaker, "10.0.0.1"), State::Init);
}

#[test]
fn what_is_refused_is_counted_by_reason_and_changes_nothing() {
    let now = Instant::now();
    let mut speaker = speaker(now, &["10.0.0.1"]);
    take_up(&mut speaker, now, "10.0.0.1");
    let wall = SystemTime::UNIX_EPOCH;
    let peer = path("10.0.0.1");
    let mut version = down().encode();
    version[0] = 0x40;
    speaker.receive(now, wall, &peer, &version, 255);
    speaker.receive(now, wall, &peer, &down().encode(), 254);
    speaker.receive(now, wall, &peer, b"who is there?", 255);
    assert_eq!(state(&speaker, "10.0.0.1"), State::Up);
    for refusal in [Refusal::Version, Refusal::HopLimit, Refusal::Truncated] {
        assert_eq!(refused(&speaker, "10.0.0.1", refusal), 1, "{refusal:?}");
    }
    let view = speaker.view();
    assert_eq!(view.sessions[0].counters.refused["hop_limit"], 1);
    assert_eq!(view.sessions[0].counters.refused["length"], 0);
}

#[test]
fn a_session_that_stays_goes_on_and_one_that_goes_tells_its_peer() {
    let now = Instant::now();
    let mut speaker = speaker(now, &["10.0.0.1", "10.0.0.2"]);
    take_up(&mut speaker, now, "10.0.0.1");
    take_up(&mut speaker, now, "10.0.0.2");
    let wall = SystemTime::UNIX_EPOCH;
    let outgoing = speaker.configure(now, wall, &wanted(&["10.0.0.2"]));
    assert_eq!(outgoing.len(), 1);
    let told = packet::parse(&outgoing[0].data, 255).unwrap();
    assert_eq!(told.state, State::AdminDown);
    assert_eq!(state(&speaker, "10.0.0.2"), State::Up);
    speaker.tick(now + Duration::from_secs(10), wall);
    assert!(!speaker.entries.contains_key(&path("10.0.0.1")), "it left");
}

#[test]
fn what_another_program_saved_goes_on_without_a_word_to_the_peer() {
    let now = Instant::now();
    let mut before = speaker(now, &["10.0.0.1"]);
    take_up(&mut before, now, "10.0.0.1");
    let saved = serde_json::to_string(&before.save(now)).unwrap();
    let saved = serde_json::from_str(&saved).unwrap();

    let later = now + Duration::from_secs(1);
    let mut after = Speaker::new(6);
    after.restore(later, now, saved);
    let number = discriminator(&before, "10.0.0.1");
    assert_eq!(discriminator(&after, "10.0.0.1"), number);
    let port = |speaker: &Speaker| speaker.entries[&path("10.0.0.1")].port;
    assert_eq!(port(&after), port(&before));
    // Nobody listened for a second: that is no silence of the peer.
    let outgoing = after.tick(later, SystemTime::UNIX_EPOCH);
    assert_eq!(state(&after, "10.0.0.1"), State::Up);
    let told = packet::parse(&outgoing[0].data, 255).unwrap();
    assert_eq!((told.state, told.my_discriminator), (State::Up, number));
    assert_eq!(told.your_discriminator, 99);
    // But from here on it is.
    after.tick(later + Duration::from_secs(3), SystemTime::UNIX_EPOCH);
    assert_eq!(state(&after, "10.0.0.1"), State::Down);
}
