//! When the addresses of an active node are announced, and how often. Pure.

use std::time::Instant;

use super::Announcing;

/// The announcements that are still to come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Announcements {
    /// When the next ones are due, and how many.
    next: Option<(Instant, u8)>,
}

impl Announcements {
    /// These.
    pub(super) fn to_come(next: Option<(Instant, u8)>) -> Self {
        Self { next }
    }

    /// When the next ones are due, and how many.
    pub(super) fn next(&self) -> Option<(Instant, u8)> {
        self.next
    }

    /// A node has become active; gives how many announcements go out at once.
    pub(crate) fn begin(&mut self, now: Instant, announcing: &Announcing) -> u8 {
        self.next = match (announcing.repeat_count, announcing.refresh) {
            (0, None) => None,
            (0, Some(every)) => Some((now + every, 1)),
            (repeat, _) => Some((now + announcing.repeat_after, repeat)),
        };
        announcing.count
    }

    /// It is active still, and is to announce otherwise: what was to come comes, and after that what is asked for now.
    pub(crate) fn go_on(&mut self, now: Instant, announcing: &Announcing) {
        let refresh = announcing.refresh.map(|every| (now + every, 1));
        self.next = self.next.or(refresh);
    }

    /// It is active no longer.
    pub(crate) fn end(&mut self) {
        self.next = None;
    }

    /// When the next ones are due.
    pub(crate) fn at(&self) -> Option<Instant> {
        self.next.map(|(at, _)| at)
    }

    /// How many are due now, if any.
    pub(crate) fn due(&mut self, now: Instant, announcing: &Announcing) -> Option<u8> {
        let (at, count) = self.next.filter(|(at, _)| now >= *at)?;
        let refresh = announcing.refresh;
        self.next = refresh.map(|every| (at.max(now) + every, 1));
        Some(count)
    }
}
