//! The state machine, one step at a time.

use super::*;

const FAST: BfdTiming = BfdTiming {
    interval: Duration::from_millis(50),
    multiplier: 3,
};

fn session(now: Instant, timing: BfdTiming, passive: bool) -> Session {
    Session::new(now, NonZeroU32::new(7).unwrap(), timing, passive, 1)
}

/// What a peer that is configured as `FAST` says.
fn said(state: State) -> Packet {
    Packet {
        state,
        multiplier: 3,
        my_discriminator: 9,
        your_discriminator: 7,
        desired_min_tx: if state == State::Up {
            50_000
        } else {
            1_000_000
        },
        required_min_rx: 50_000,
        ..Packet::default()
    }
}

fn sent(actions: &[Action]) -> Vec<Packet> {
    let sent = actions.iter().filter_map(|action| match action {
        Action::Send(packet) => Some(*packet),
        Action::Changed { .. } => None,
    });
    sent.collect()
}

/// One that came up just now, and whose peer confirmed what it says.
fn up(now: Instant) -> Session {
    let mut session = session(now, FAST, false);
    session.receive(now, &said(State::Down)).unwrap();
    session.receive(now, &said(State::Init)).unwrap();
    let confirmed = Packet {
        is_final: true,
        ..said(State::Up)
    };
    session.receive(now, &confirmed).unwrap();
    assert_eq!(session.state(), State::Up);
    session
}

#[test]
fn three_packets_take_a_session_up_and_the_peer_is_asked_to_confirm_the_quicker_pace() {
    let now = Instant::now();
    let mut session = session(now, FAST, false);
    let first = sent(&session.tick(now));
    assert_eq!(
        (first[0].state, first[0].desired_min_tx),
        (State::Down, 1_000_000)
    );
    assert_eq!(first[0].your_discriminator, 0);
    let init = sent(&session.receive(now, &said(State::Down)).unwrap());
    assert_eq!(
        (init[0].state, init[0].your_discriminator),
        (State::Init, 9)
    );
    let up = sent(&session.receive(now, &said(State::Init)).unwrap());
    assert_eq!((up[0].state, up[0].poll), (State::Up, true));
    assert_eq!(up[0].desired_min_tx, 50_000);
    assert_eq!(session.verdict(), Verdict::Up);
    // Until it is confirmed every packet asks.
    let later = now + Duration::from_millis(50);
    assert!(sent(&session.tick(later))[0].poll);
    let confirmed = Packet {
        is_final: true,
        ..said(State::Up)
    };
    session.receive(later, &confirmed).unwrap();
    assert!(!sent(&session.tick(later + Duration::from_millis(50)))[0].poll);
}

#[test]
fn a_question_is_answered_at_once_and_never_with_another_question() {
    let now = Instant::now();
    let mut session = session(now, FAST, false);
    session.receive(now, &said(State::Down)).unwrap();
    let poll = Packet {
        poll: true,
        ..said(State::Init)
    };
    let answers = sent(&session.receive(now, &poll).unwrap());
    let last = answers.last().unwrap();
    assert!(last.is_final && !last.poll);
    assert!(
        answers
            .iter()
            .all(|packet| !(packet.poll && packet.is_final))
    );
}

#[test]
fn silence_for_the_detection_time_takes_it_down_and_no_sooner() {
    let now = Instant::now();
    let mut session = up(now);
    assert_eq!(session.detection_time(), Duration::from_millis(150));
    session.tick(now + Duration::from_millis(149));
    assert_eq!(session.state(), State::Up);
    let actions = session.tick(now + Duration::from_millis(150));
    assert_eq!(session.state(), State::Down);
    assert_eq!(session.verdict(), Verdict::Down);
    let told = sent(&actions)[0];
    assert_eq!(told.diagnostic, Diagnostic::DetectionTimeExpired);
    assert_eq!(told.your_discriminator, 0, "the peer's number is forgotten");
    assert_eq!(told.desired_min_tx, 1_000_000);
}

#[test]
fn a_peer_that_is_slower_than_wished_is_given_its_time() {
    let now = Instant::now();
    let mut session = up(now);
    let slower = Packet {
        desired_min_tx: 400_000,
        multiplier: 5,
        required_min_rx: 200_000,
        ..said(State::Up)
    };
    session.receive(now, &slower).unwrap();
    assert_eq!(session.detection_time(), Duration::from_secs(2));
    assert_eq!(
        session.transmit_interval(),
        Some(Duration::from_millis(200))
    );
}

#[test]
fn the_peers_word_takes_it_down_and_says_so() {
    let now = Instant::now();
    let mut session = up(now);
    let actions = session.receive(now, &said(State::Down)).unwrap();
    assert_eq!(session.state(), State::Down);
    assert_eq!(session.verdict(), Verdict::Down);
    assert_eq!(
        sent(&actions)[0].diagnostic,
        Diagnostic::NeighborSignaledDown
    );
}

#[test]
fn a_peer_that_withdraws_is_down_and_not_dead_even_when_it_is_silent_then() {
    let now = Instant::now();
    let mut session = up(now);
    session.receive(now, &said(State::AdminDown)).unwrap();
    assert_eq!(session.state(), State::Down);
    assert_eq!(session.verdict(), Verdict::Withdrawn);
    session.tick(now + Duration::from_mins(1));
    assert_eq!(session.verdict(), Verdict::Withdrawn);
    let later = now + Duration::from_mins(2);
    session.receive(later, &said(State::Down)).unwrap();
    session.receive(later, &said(State::Up)).unwrap();
    assert_eq!(session.verdict(), Verdict::Up);
}

#[test]
fn one_that_never_came_up_is_unknown_for_three_seconds_and_then_down() {
    let now = Instant::now();
    for heard in [false, true] {
        let mut session = session(now, FAST, false);
        if heard {
            session.receive(now, &said(State::Down)).unwrap();
        }
        session.tick(now + Duration::from_millis(2_999));
        assert_eq!(session.verdict(), Verdict::Unknown);
        session.tick(now + Duration::from_secs(3));
        assert_eq!(session.verdict(), Verdict::Down);
    }
}

#[test]
fn one_that_waits_for_its_peer_says_nothing_first() {
    let now = Instant::now();
    let mut session = session(now, FAST, true);
    let tick = session.tick(now + Duration::from_secs(10));
    assert_eq!(sent(&tick), []);
    let answer = session.receive(now + Duration::from_secs(10), &said(State::Down));
    assert_eq!(sent(&answer.unwrap())[0].state, State::Init);
}

#[test]
fn who_wants_no_packets_gets_none_but_answers() {
    let now = Instant::now();
    let mut session = up(now);
    let hush = Packet {
        required_min_rx: 0,
        ..said(State::Up)
    };
    session.receive(now, &hush).unwrap();
    assert_eq!(sent(&session.tick(now + Duration::from_millis(149))), []);
    let poll = Packet { poll: true, ..hush };
    assert!(sent(&session.receive(now, &poll).unwrap())[0].is_final);
    let demand = Packet {
        demand: true,
        ..said(State::Up)
    };
    session.receive(now, &demand).unwrap();
    assert_eq!(sent(&session.tick(now + Duration::from_millis(149))), []);
}

#[test]
fn a_longer_interval_waits_for_the_peers_word_and_a_shorter_one_does_not() {
    let now = Instant::now();
    let of = |millis| BfdTiming {
        interval: Duration::from_millis(millis),
        multiplier: 3,
    };
    let confirmed = Packet {
        is_final: true,
        ..said(State::Up)
    };
    let mut session = up(now);
    session.set(now, of(500), false);
    let (wait, detection) = (session.transmit_interval(), session.detection_time());
    assert_eq!(wait, Some(Duration::from_millis(50)), "still the old pace");
    assert_eq!(
        detection,
        Duration::from_millis(1_500),
        "more patience at once"
    );
    assert!(sent(&session.tick(now + Duration::from_millis(50)))[0].poll);
    session.receive(now, &confirmed).unwrap();
    assert_eq!(
        session.transmit_interval(),
        Some(Duration::from_millis(500))
    );

    session.set(now, of(100), false);
    let (wait, detection) = (session.transmit_interval(), session.detection_time());
    assert_eq!(
        wait,
        Some(Duration::from_millis(100)),
        "the quicker pace at once"
    );
    assert_eq!(
        detection,
        Duration::from_millis(1_500),
        "less patience later"
    );
    session.receive(now, &confirmed).unwrap();
    assert_eq!(session.detection_time(), Duration::from_millis(300));
}

#[test]
fn packets_are_spread_between_three_quarters_of_the_interval_and_all_of_it() {
    for (multiplier, most) in [(3, 1000), (1, 900)] {
        let now = Instant::now();
        let mut session = up(now);
        session.set(now, BfdTiming { multiplier, ..FAST }, false);
        let (mut at, mut pauses) = (now, Vec::new());
        for _ in 0..200 {
            session.expires = None;
            let due = session.deadline().unwrap();
            session.tick(due);
            pauses.push(due - at);
            at = due;
        }
        let interval = Duration::from_millis(50);
        for pause in &pauses[1..] {
            assert!(*pause >= interval * 750 / 1000 && *pause <= interval * most / 1000);
        }
        let (least, longest) = (pauses[1..].iter().min(), pauses[1..].iter().max());
        assert!(least.unwrap() < &Duration::from_millis(40), "{least:?}");
        assert!(longest.unwrap() > &Duration::from_millis(43), "{longest:?}");
    }
}

#[test]
fn one_that_leaves_says_so_for_a_while_and_hears_nothing_any_more() {
    let now = Instant::now();
    let mut session = up(now);
    let actions = session.leave(now);
    let told = sent(&actions)[0];
    assert_eq!(told.state, State::AdminDown);
    assert_eq!(told.diagnostic, Diagnostic::AdministrativelyDown);
    assert_eq!(
        session.receive(now, &said(State::Up)),
        Err(Refusal::AdminDown)
    );
    assert!(!session.has_left(now));
    assert!(session.has_left(now + Duration::from_secs(4)));
}
