//! How long two nodes were active at once.

use std::time::Duration;

use crate::drive::Stamp;

/// A node that shows a sign of being active, and another no later than this, was active between the two. Ten times as long as
/// between two questions of [`super::Questioner`].
const GAP: u64 = 20_000_000;

/// The longest time in which both nodes were active, by the times (in order) at which each showed a sign of it.
pub fn longest_overlap(first: &[Stamp], second: &[Stamp]) -> Duration {
    let second = spans(second);
    let mut longest = 0;
    for (from, to) in spans(first) {
        for (other_from, other_to) in &second {
            let (begin, end) = (from.max(*other_from), to.min(*other_to));
            longest = longest.max(end.saturating_sub(begin));
        }
    }
    Duration::from_nanos(longest)
}

fn spans(stamps: &[Stamp]) -> Vec<(u64, u64)> {
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for Stamp(at) in stamps {
        match spans.last_mut() {
            Some((_, to)) if at.saturating_sub(*to) <= GAP => *to = *at,
            Some(_) | None => spans.push((*at, *at)),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_two_milliseconds(from: u64, to: u64) -> Vec<Stamp> {
        let stamps = (from..=to).step_by(2);
        stamps.map(|at| Stamp(at * 1_000_000)).collect()
    }

    #[test]
    fn a_node_that_begins_when_the_other_has_ended_does_not_overlap() {
        let first = every_two_milliseconds(0, 100);
        let second = every_two_milliseconds(101, 200);
        assert_eq!(longest_overlap(&first, &second), Duration::ZERO);
        assert_eq!(longest_overlap(&second, &first), Duration::ZERO);
        assert_eq!(longest_overlap(&first, &[]), Duration::ZERO);
    }

    #[test]
    fn the_longest_time_with_two_active_nodes_counts() {
        // The first is silent from 100 to 300, the second from 130 to 250.
        let mut first = every_two_milliseconds(0, 100);
        first.extend(every_two_milliseconds(300, 400));
        let mut second = every_two_milliseconds(90, 130);
        second.extend(every_two_milliseconds(250, 340));
        assert_eq!(longest_overlap(&first, &second), Duration::from_millis(40));
    }

    #[test]
    fn a_missing_answer_is_not_the_end() {
        let mut first = every_two_milliseconds(0, 100);
        first.retain(|Stamp(at)| !(40_000_000..55_000_000).contains(at));
        let second = every_two_milliseconds(0, 100);
        assert_eq!(longest_overlap(&first, &second), Duration::from_millis(100));
    }
}
