//! Prometheus text format, as far as tests read it.

use std::collections::BTreeMap;

/// One scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    /// Reads the text of one scrape.
    ///
    /// # Panics
    /// At a line that is neither a comment nor a sample.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples = lines
            .map(|line| sample(line).unwrap_or_else(|| panic!("not a metric: `{line}`")))
            .collect();
        Self { samples }
    }

    /// Sum of all samples of this name that have (at least) these labels.
    ///
    /// # Panics
    /// If there is none, listing the names there are.
    #[track_caller]
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        // Counters below 2^53 are exact in a double.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counters and gauges of tests are small and not negative"
        )]
        {
            self.total(name, labels) as u64
        }
    }

    /// The same for a metric that is no whole number.
    ///
    /// # Panics
    /// If there is none, listing the names there are.
    #[track_caller]
    pub fn total(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let matching: Vec<f64> = self
            .samples
            .iter()
            .filter(|sample| sample.name == name)
            .filter(|sample| {
                labels
                    .iter()
                    .all(|(key, value)| sample.labels.get(*key).is_some_and(|v| v == value))
            })
            .map(|sample| sample.value)
            .collect();
        assert!(
            !matching.is_empty(),
            "no metric {name} with {labels:?}; there are {:?}",
            self.names()
        );
        matching.iter().sum()
    }

    /// Every name, once.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .samples
            .iter()
            .map(|sample| sample.name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

fn sample(line: &str) -> Option<Sample> {
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = match series.split_once('{') {
        Some((name, rest)) => (name, labels(rest.strip_suffix('}')?)?),
        None => (series, BTreeMap::new()),
    };
    Some(Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().ok()?,
    })
}

/// `a="x",b="y"`; the names that tests give to things need no escapes.
fn labels(text: &str) -> Option<BTreeMap<String, String>> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (key, quoted) = rest.split_once("=\"")?;
        let (value, after) = quoted.split_once('"')?;
        labels.insert(key.to_owned(), value.to_owned());
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE adc_flows counter\nadc_flows_total{service=\"a\",backend=\"x:80\"} 3\nadc_flows_total{service=\"b\",backend=\"y\"} 4\nup 1\n";

    #[test]
    fn samples_are_summed_by_label() {
        let metrics = Metrics::parse(TEXT);
        assert_eq!(metrics.sum("adc_flows_total", &[]), 7);
        assert_eq!(metrics.sum("adc_flows_total", &[("backend", "x:80")]), 3);
        assert_eq!(metrics.sum("up", &[]), 1);
    }

    #[test]
    #[should_panic(expected = "no metric adc_flows_total")]
    fn a_missing_series_is_not_zero() {
        Metrics::parse(TEXT).sum("adc_flows_total", &[("service", "c")]);
    }
}
