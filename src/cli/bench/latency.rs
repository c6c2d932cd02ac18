//! Latencies of a run: a histogram with three significant digits, and the figures that are reported of it.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Microseconds, however many of them.
#[derive(Clone, Debug)]
pub(super) struct Latencies(Histogram<u64>);

/// What is reported, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Percentiles {
    pub(super) count: u64,
    pub(super) p50: u64,
    pub(super) p90: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
    pub(super) max: u64,
}

impl Latencies {
    /// None yet. Grows with the longest one: small where all are short.
    pub(super) fn new() -> Self {
        #[expect(clippy::expect_used, reason = "fails for more than five digits only")]
        Self(Histogram::new(3).expect("three digits are allowed"))
    }

    /// One more, microseconds.
    pub(super) fn record(&mut self, us: u64) {
        self.record_many(us, 1);
    }

    /// So many of the same, microseconds.
    pub(super) fn record_many(&mut self, us: u64, count: u64) {
        // A histogram that grows by itself refuses nothing below 2^63.
        let _ = self.0.record_n(us.min(u64::from(u32::MAX)), count);
    }

    /// Adds those of another thread.
    pub(super) fn merge(&mut self, other: &Self) {
        // As above: it grows.
        let _ = self.0.add(&other.0);
    }

    /// The figures.
    pub(super) fn percentiles(&self) -> Percentiles {
        let at = |quantile| self.0.value_at_quantile(quantile);
        Percentiles {
            count: self.0.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.0.max(),
        }
    }
}

impl Percentiles {
    /// As they stand in a report.
    pub(super) fn json(self) -> Value {
        json!({ "p50": self.p50, "p90": self.p90, "p99": self.p99, "p99.9": self.p999, "max": self.max })
    }

    /// As they stand in a table.
    pub(super) fn text(self) -> String {
        format!(
            "p50 {}  p90 {}  p99 {}  p99.9 {}  max {}",
            duration(self.p50),
            duration(self.p90),
            duration(self.p99),
            duration(self.p999),
            duration(self.max)
        )
    }
}

fn duration(us: u64) -> String {
    let us_f = us as f64;
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{:.2} ms", us_f / 1e3),
        _ => format!("{:.2} s", us_f / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_all_threads() {
        let (mut all, mut other) = (Latencies::new(), Latencies::new());
        (1..=500).for_each(|us| all.record(us));
        (501..=990).for_each(|us| other.record(us));
        other.record_many(2_000_000, 10);
        all.merge(&other);
        let found = all.percentiles();
        assert_eq!((found.count, found.p50, found.p90, found.p99), (1000, 500, 900, 990));
        for (value, exact) in [(found.p999, 2_000_000), (found.max, 2_000_000)] {
            assert!(value.abs_diff(exact) <= exact / 1000, "{value} for {exact}: three digits");
        }
    }

    #[test]
    fn durations_read_well() {
        for (us, text) in [(0, "0 µs"), (999, "999 µs"), (1_500, "1.50 ms"), (2_000_000, "2.00 s")] {
            assert_eq!(duration(us), text);
        }
    }

    #[test]
    fn a_time_beyond_all_reason_is_kept_as_the_largest() {
        let mut all = Latencies::new();
        all.record(u64::MAX);
        assert!(all.percentiles().max >= u64::from(u32::MAX));
    }
}
