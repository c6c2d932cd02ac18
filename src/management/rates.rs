//! The fields that a history gives to an answer: beside each number `X` an `X_details` with its rate, and with its samples
//! if the query asks for them (`lengths_age` and `lengths_incr`, `msg_rates_…`, `data_rates_…`, `node_stats_…`, seconds).

use super::answer::ApiError;
use super::call::Query;
use super::history::{Sample, Series, Span};
use super::listing::{Put, Row, Wanted};
use crate::limits::HISTORY_POINTS_MAX;
use crate::vhost::counts::{CountName, MessageCounts};
use serde_json::{Value, json};

/// What the query asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans {
    /// Of lengths of queues.
    pub(super) lengths: Option<Span>,
    /// Of messages counted.
    pub(super) messages: Option<Span>,
    /// Of bytes on sockets.
    pub(super) data: Option<Span>,
    /// Of the node.
    pub(super) node: Option<Span>,
    /// The wall clock, ms.
    pub(super) now_ms: u64,
}

impl Spans {
    /// Reads them.
    ///
    /// # Errors
    /// 400 if they are no numbers, or ask for more samples than there may be.
    pub(super) fn asked(query: &Query, now_ms: u64) -> Result<Self, ApiError> {
        let span = |prefix: &str| -> Result<Option<Span>, ApiError> {
            let number = |what: &str| -> Result<Option<u64>, ApiError> {
                let name = format!("{prefix}_{what}");
                let Some(text) = query.get(&name) else { return Ok(None) };
                let seconds: u64 =
                    text.parse().map_err(|_| ApiError::bad(format!("{name} must be a number of seconds")))?;
                Ok(Some(seconds.saturating_mul(1000)))
            };
            let (Some(age_ms), Some(step_ms)) = (number("age")?, number("incr")?) else { return Ok(None) };
            if step_ms == 0 || age_ms / step_ms > HISTORY_POINTS_MAX {
                let reason = format!("{prefix}_age and {prefix}_incr give 1 to {HISTORY_POINTS_MAX} samples");
                return Err(ApiError::bad(reason));
            }
            Ok(Some(Span { age_ms, step_ms }))
        };
        Ok(Self {
            lengths: span("lengths")?,
            messages: span("msg_rates")?,
            data: span("data_rates")?,
            node: span("node_stats")?,
            now_ms,
        })
    }

    /// Adds `name` with `value`, and its details.
    pub(super) fn add(
        &self,
        row: &mut impl Put,
        (name, value): (&str, u64),
        series: &Series,
        span: Option<Span>,
        number: impl Fn(&Sample) -> u64,
    ) {
        row.put(name, value);
        let name = format!("{name}_details");
        match span {
            None => row.put_object(&name, |details| details.put("rate", series.rate(number))),
            span => row.put(&name, self.details(series, span, number)),
        }
    }

    /// The rate of a number, and its samples if they are asked for.
    pub(super) fn details(
        &self,
        series: &Series,
        span: Option<Span>,
        number: impl Fn(&Sample) -> u64,
    ) -> Value {
        let rate = series.rate(&number);
        let Some(span) = span else { return json!({ "rate": rate }) };
        let course = series.course(span, self.now_ms, number);
        let points = course.points.iter();
        let samples: Vec<Value> =
            points.map(|(at_ms, value)| json!({"sample": value, "timestamp": at_ms})).collect();
        json!({"rate": rate, "samples": samples, "avg_rate": course.rate, "avg": course.mean})
    }

    /// `message_stats` of these numbers.
    pub(super) fn message_stats(
        &self,
        counts: &MessageCounts,
        names: &[CountName],
        series: &Series,
    ) -> Value {
        self.wanted_message_stats(counts, names, series, &Wanted::ALL)
    }

    /// The same, with those numbers alone that are wanted.
    pub(super) fn wanted_message_stats(
        &self,
        counts: &MessageCounts,
        names: &[CountName],
        series: &Series,
        wanted: &Wanted,
    ) -> Value {
        let mut stats = Row::new();
        self.add_message_stats(&mut stats, counts, names, series, wanted);
        Value::Object(stats)
    }

    /// The same, one by one.
    pub(super) fn add_message_stats(
        &self,
        stats: &mut impl Put,
        counts: &MessageCounts,
        names: &[CountName],
        series: &Series,
        wanted: &Wanted,
    ) {
        let is_wanted = |name: &str| {
            wanted.is_all()
                || wanted.has(&["message_stats", name])
                || wanted.has(&["message_stats", &format!("{name}_details")])
        };
        for (name, count) in names.iter().filter(|(name, _)| is_wanted(name)) {
            let number = |sample: &Sample| count(&sample.counts);
            self.add(stats, (name, count(counts)), series, self.messages, number);
        }
    }

    /// `messages`, `messages_ready` and `messages_unacknowledged`.
    pub(super) fn add_lengths(&self, row: &mut impl Put, ready: u64, unacked: u64, series: &Series) {
        let all = |sample: &Sample| sample.ready + sample.unacked;
        self.add(row, ("messages", ready + unacked), series, self.lengths, all);
        self.add(row, ("messages_ready", ready), series, self.lengths, |sample| sample.ready);
        self.add(row, ("messages_unacknowledged", unacked), series, self.lengths, |sample| sample.unacked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Result<Spans, ApiError> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Spans::asked(&Query::new(pairs.collect()), 100_000)
    }

    #[test]
    fn spans_are_seconds_within_bounds() {
        let spans = asked(&[("lengths_age", "60"), ("lengths_incr", "5"), ("msg_rates_age", "60")]).unwrap();
        assert_eq!(spans.lengths, Some(Span { age_ms: 60_000, step_ms: 5_000 }));
        assert_eq!(spans.messages, None, "half of it is nothing");
        for pairs in [
            [("data_rates_age", "x"), ("data_rates_incr", "5")],
            [("data_rates_age", "60"), ("data_rates_incr", "0")],
            [("data_rates_age", "18446744073709551615"), ("data_rates_incr", "1")],
            [("data_rates_age", "-1"), ("data_rates_incr", "1")],
        ] {
            assert!(matches!(asked(&pairs), Err(ApiError::BadRequest(_))), "{pairs:?}");
        }
    }

    #[test]
    fn details_stand_beside_their_number() {
        let spans = asked(&[("lengths_age", "5"), ("lengths_incr", "5")]).unwrap();
        let mut row = Row::new();
        spans.add_lengths(&mut row, 3, 2, &Series::default());
        assert_eq!(row["messages"], 5);
        let samples = json!([{"sample": 0, "timestamp": 100_000}, {"sample": 0, "timestamp": 95_000}]);
        assert_eq!(row["messages_ready_details"]["samples"], samples);
        let stats = spans.message_stats(
            &MessageCounts { get: 7, ..MessageCounts::default() },
            MessageCounts::QUEUE,
            &Series::default(),
        );
        assert_eq!((&stats["deliver_get"], &stats["get_details"]), (&json!(7), &json!({"rate": 0.0})));
    }
}
