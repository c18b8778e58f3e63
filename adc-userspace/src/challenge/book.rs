//! Who is asked, and who was.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{BuildHasher as _, RandomState},
};

use adc_common::abi::{BackendId, Phase};

use crate::dataplane::FlowEnds;

/// Times that a flow is asked about, a round apart: what is sent may be lost, and so may the answer.
const TIMES: u8 = 2;

/// Flows asked about in one round. With a round every 5 seconds that makes 2 000 a second.
const PER_ROUND: usize = 10_000;

/// What was asked so far.
#[derive(Debug, Default)]
pub struct Book {
    /// Backends that are down and whose flows are reset.
    down: BTreeMap<BackendId, Asked>,
    /// Flows in which a RST was seen, and how often they were asked about.
    reset: HashMap<u64, u8>,
    names: RandomState,
}

#[derive(Debug, Default)]
struct Asked {
    times: HashMap<u64, u8>,
    /// Nobody is left to ask.
    done: bool,
}

/// One walk over the flows.
#[derive(Debug)]
pub struct Round<'a> {
    book: &'a mut Book,
    reset: HashMap<u64, u8>,
    asked: BTreeSet<BackendId>,
    left: usize,
}

/// Whom to ask about a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The client too, not the backend alone.
    pub client: bool,
}

/// A backend that is down, with nobody left to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Which.
    pub backend: BackendId,
    /// Flows that were asked about.
    pub flows: usize,
}

impl Book {
    /// Takes note of all backends that are down and reset their flows. One that comes up is forgotten.
    pub fn set_down(&mut self, down: &BTreeSet<BackendId>) {
        self.down.retain(|backend, _| down.contains(backend));
        for backend in down {
            self.down.entry(*backend).or_default();
        }
    }

    /// Whether a round would find nobody; `resets` = flows in which a RST was seen.
    pub fn is_idle(&self, resets: u64) -> bool {
        resets == 0 && self.down.values().all(|asked| asked.done)
    }

    /// Begins a walk over all flows.
    pub fn round(&mut self) -> Round<'_> {
        Round {
            book: self,
            reset: HashMap::new(),
            asked: BTreeSet::new(),
            left: PER_ROUND,
        }
    }
}

impl Round<'_> {
    /// Whether to ask about this flow.
    pub fn consider(&mut self, flow: &FlowEnds) -> Option<Question> {
        let name = self.book.names.hash_one((flow.client, flow.vip));
        if let Some(asked) = self.book.down.get_mut(&flow.backend) {
            // One that is in phase `reset` answered already.
            if !matches!(flow.phase, Phase::ESTABLISHED | Phase::HALF_CLOSED) {
                return None;
            }
            let times = asked.times.entry(name).or_default();
            return ask(times, &mut self.left).then(|| {
                self.asked.insert(flow.backend);
                Question { client: true }
            });
        }
        if flow.phase != Phase::RESET {
            return None;
        }
        let mut times = self.book.reset.get(&name).copied().unwrap_or_default();
        let asked = ask(&mut times, &mut self.left);
        self.reset.insert(name, times);
        asked.then_some(Question { client: false })
    }

    /// Ends the walk. Names backends about whose flows nothing is left to ask.
    pub fn end(self) -> Vec<Finished> {
        self.book.reset = self.reset;
        // If the round was full, who was not asked may have been passed over.
        if self.left == 0 {
            return Vec::new();
        }
        let over = |(backend, asked): (&BackendId, &mut Asked)| {
            if asked.done || self.asked.contains(backend) {
                return None;
            }
            asked.done = true;
            let flows = std::mem::take(&mut asked.times).len();
            Some(Finished {
                backend: *backend,
                flows,
            })
        };
        self.book.down.iter_mut().filter_map(over).collect()
    }
}

/// Once more, if that is allowed.
fn ask(times: &mut u8, left: &mut usize) -> bool {
    if *times >= TIMES || *left == 0 {
        return false;
    }
    *left -= 1;
    *times += 1;
    true
}

#[cfg(test)]
mod tests {
    use adc_common::abi::Hop;

    use super::*;

    const DEAD: BackendId = BackendId(1);
    const ALIVE: BackendId = BackendId(2);

    fn flow(port: u16, backend: BackendId, phase: Phase) -> FlowEnds {
        FlowEnds {
            backend,
            phase,
            client: ([192, 0, 2, 1], port).into(),
            vip: ([203, 0, 113, 1], 80).into(),
            seen_as: ([192, 0, 2, 1], port).into(),
            server: ([10, 0, 0, 1], 80).into(),
            client_hop: Hop::default(),
        }
    }

    fn round(book: &mut Book, flows: &[FlowEnds]) -> (Vec<Option<Question>>, Vec<Finished>) {
        let mut round = book.round();
        let asked = flows.iter().map(|flow| round.consider(flow)).collect();
        (asked, round.end())
    }

    const BOTH: Option<Question> = Some(Question { client: true });
    const BACKEND_ALONE: Option<Question> = Some(Question { client: false });

    #[test]
    fn both_ends_of_a_dead_backends_flows_are_asked_twice_and_no_more() {
        let mut book = Book::default();
        book.set_down(&[DEAD].into());
        let flows = [
            flow(1, DEAD, Phase::ESTABLISHED),
            flow(2, ALIVE, Phase::ESTABLISHED),
            flow(3, DEAD, Phase::HALF_CLOSED),
            flow(4, DEAD, Phase::CLOSED),
        ];
        let asked = vec![BOTH, None, BOTH, None];
        assert_eq!(round(&mut book, &flows), (asked.clone(), vec![]));
        assert_eq!(round(&mut book, &flows), (asked, vec![]));
        assert!(!book.is_idle(0));
        let finished = vec![Finished {
            backend: DEAD,
            flows: 2,
        }];
        assert_eq!(round(&mut book, &flows), (vec![None; 4], finished));
        assert!(book.is_idle(0));
    }

    #[test]
    fn a_backend_that_comes_and_goes_again_is_asked_about_anew() {
        let mut book = Book::default();
        let flows = [flow(1, DEAD, Phase::ESTABLISHED)];
        for _ in 0..2 {
            book.set_down(&[DEAD].into());
            assert_eq!(round(&mut book, &flows).0, [BOTH]);
            book.set_down(&BTreeSet::new());
            assert!(book.is_idle(0));
        }
    }

    #[test]
    fn the_backend_of_a_reset_flow_is_asked_and_forgotten_with_the_flow() {
        let mut book = Book::default();
        let reset = [flow(1, ALIVE, Phase::RESET)];
        assert!(!book.is_idle(1));
        assert_eq!(round(&mut book, &reset).0, [BACKEND_ALONE]);
        assert_eq!(round(&mut book, &reset).0, [BACKEND_ALONE]);
        assert_eq!(round(&mut book, &reset).0, [None]);
        // It answered, and later the same happens again.
        assert_eq!(
            round(&mut book, &[flow(1, ALIVE, Phase::ESTABLISHED)]).0,
            [None]
        );
        assert_eq!(round(&mut book, &reset).0, [BACKEND_ALONE]);
    }

    #[test]
    fn a_round_asks_about_a_bounded_number_of_flows_and_the_next_goes_on() {
        let mut book = Book::default();
        book.set_down(&[DEAD].into());
        let flows: Vec<FlowEnds> = (0..u16::try_from(PER_ROUND).unwrap() + 5)
            .map(|port| flow(port, DEAD, Phase::ESTABLISHED))
            .collect();
        let questions = |book: &mut Book| round(book, &flows).0.into_iter().flatten().count();
        assert_eq!(questions(&mut book), PER_ROUND);
        assert_eq!(questions(&mut book), PER_ROUND);
        for _ in 0..TIMES {
            assert_eq!(questions(&mut book), 5);
        }
        assert_eq!(questions(&mut book), 0);
        assert!(book.is_idle(0));
    }
}
