//! What several monitors of one backend mean together. Pure.

use crate::model::Health;

/// One monitor's word on a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opinion<'a> {
    /// Name of the monitor.
    pub monitor: &'a str,
    /// Its verdict.
    pub health: Health,
    /// Why.
    pub reason: &'a str,
}

/// A backend is down when any monitor says so, else unknown while any has no verdict, else up.
/// The text names the monitor that decides.
///
/// Without monitors a backend is unknown (see [`Health::Unknown`]).
pub fn combine(opinions: &[Opinion<'_>]) -> (Health, String) {
    let of = |health| {
        let mut matching = opinions
            .iter()
            .filter(move |opinion| opinion.health == health);
        matching.next().map(|first| (first, matching.count()))
    };
    if let Some((first, others)) = of(Health::Down) {
        return (Health::Down, first.and_others(others));
    }
    if let Some((first, others)) = of(Health::Unknown) {
        return (Health::Unknown, first.and_others(others));
    }
    match opinions {
        [] => (Health::Unknown, "no monitor".to_owned()),
        [only] => (Health::Up, only.and_others(0)),
        all => (Health::Up, format!("all {} monitors pass", all.len())),
    }
}

impl Opinion<'_> {
    fn and_others(&self, others: usize) -> String {
        let Self {
            monitor, reason, ..
        } = self;
        match others {
            0 => format!("{monitor}: {reason}"),
            1 => format!("{monitor}: {reason} (and 1 more monitor)"),
            _ => format!("{monitor}: {reason} (and {others} more monitors)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opinion(monitor: &'static str, health: Health, reason: &'static str) -> Opinion<'static> {
        Opinion {
            monitor,
            health,
            reason,
        }
    }

    #[test]
    fn up_only_while_all_monitors_are_up() {
        let ping = opinion("ping", Health::Up, "icmp: reply");
        let web = opinion("web", Health::Up, "http: status 200");
        assert_eq!(
            combine(&[web]),
            (Health::Up, "web: http: status 200".into())
        );
        assert_eq!(
            combine(&[ping, web]),
            (Health::Up, "all 2 monitors pass".into())
        );
    }

    #[test]
    fn down_names_the_failing_monitor_even_while_another_is_unknown() {
        let up = opinion("ping", Health::Up, "icmp: reply");
        let unknown = opinion("slow", Health::Unknown, "no probe has finished yet");
        let down = opinion("web", Health::Down, "http: status 503");
        let tls = opinion("tls", Health::Down, "tls: certificate expired");
        assert_eq!(
            combine(&[up, unknown, down]),
            (Health::Down, "web: http: status 503".into())
        );
        assert_eq!(
            combine(&[down, up, tls]),
            (
                Health::Down,
                "web: http: status 503 (and 1 more monitor)".into()
            )
        );
    }

    #[test]
    fn unknown_while_any_is_unknown_and_none_is_down() {
        let up = opinion("ping", Health::Up, "icmp: reply");
        let unknown = opinion("slow", Health::Unknown, "no probe has finished yet");
        assert_eq!(
            combine(&[up, unknown]),
            (Health::Unknown, "slow: no probe has finished yet".into())
        );
    }

    #[test]
    fn a_backend_without_monitors_has_no_verdict() {
        assert_eq!(combine(&[]).0, Health::Unknown);
    }
}
