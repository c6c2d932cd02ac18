//! What was counted over the last minutes, so that there are rates: a sample of the sums every few seconds, and of the
//! queues, exchanges, channels and connections that somebody looked at lately, or of all while they are few. Owns the
//! samples; knows no JSON and does not ask the broker: see [`super::sampler`].

use crate::limits::{HISTORY_OBJECT_SAMPLES, HISTORY_OBJECTS_MAX, HISTORY_SUM_SAMPLES, HISTORY_WATCHED_MS};
use crate::vhost::command::ConnectionId;
use crate::vhost::counts::MessageCounts;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Something with a history.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Object {
    /// The broker as a whole. Always kept.
    Broker,
    /// A vhost. Always kept.
    Vhost(Arc<str>),
    /// A queue, by vhost and name.
    Queue(Arc<str>, Arc<str>),
    /// An exchange, by vhost and name.
    Exchange(Arc<str>, Arc<str>),
    /// A channel.
    Channel(ConnectionId, u16),
    /// A connection.
    Connection(ConnectionId),
}

impl Object {
    fn is_sum(&self) -> bool {
        matches!(self, Self::Broker | Self::Vhost(_))
    }
}

/// How an object stood at one moment; what it does not have is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// What it counted.
    pub(super) counts: MessageCounts,
    /// Messages waiting.
    pub(super) ready: u64,
    /// Messages with consumers.
    pub(super) unacked: u64,
    /// Bytes received by its sockets.
    pub(super) received_bytes: u64,
    /// Bytes sent by them.
    pub(super) sent_bytes: u64,
    /// What only the broker as a whole has.
    pub(super) node: NodeSample,
}

/// Figures of the process and of what came and went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct NodeSample {
    /// Resident memory, bytes.
    pub(super) memory_bytes: u64,
    /// Open files.
    pub(super) files: u64,
    /// Connections.
    pub(super) sockets: u64,
    /// Free disk space, bytes.
    pub(super) disk_free_bytes: u64,
    /// Syncs of the disk.
    pub(super) syncs: u64,
    /// Connections since the start.
    pub(super) connections_created: u64,
    /// Connections that ended since then.
    pub(super) connections_closed: u64,
    /// Channels since the start.
    pub(super) channels_created: u64,
    /// Channels that ended since then.
    pub(super) channels_closed: u64,
    /// Declarations of queues, of those that were there as well.
    pub(super) queues_declared: u64,
    /// Queues that came.
    pub(super) queues_created: u64,
    /// Queues that went.
    pub(super) queues_deleted: u64,
}

/// Samples of one object, oldest first.
#[derive(Debug, Default)]
pub(super) struct Series {
    samples: VecDeque<(u64, Sample)>,
}

/// A number of a sample, by name.
pub(super) type SampledNumber = (&'static str, fn(&Sample) -> u64);

/// Over which time samples are wanted, and how far apart, ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) age_ms: u64,
    pub(super) step_ms: u64,
}

/// A number over a span.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Course {
    /// Time and value, newest first.
    pub(super) points: Vec<(u64, u64)>,
    /// Mean of the values.
    pub(super) mean: f64,
    /// Growth over the span, per second.
    pub(super) rate: f64,
}

impl Series {
    fn add(&mut self, at_ms: u64, sample: Sample, samples_max: usize) {
        if self.samples.len() >= samples_max {
            self.samples.pop_front();
        }
        self.samples.push_back((at_ms, sample));
    }

    /// How it stood last.
    pub(super) fn last(&self) -> Sample {
        self.samples.back().map(|(_, sample)| *sample).unwrap_or_default()
    }

    /// Growth between the last two samples, per second; 0 until there are two.
    pub(super) fn rate(&self, number: impl Fn(&Sample) -> u64) -> f64 {
        let mut newest = self.samples.iter().rev();
        let (Some((after_ms, after)), Some((before_ms, before))) = (newest.next(), newest.next()) else {
            return 0.0;
        };
        per_second(number(before), number(after), after_ms.saturating_sub(*before_ms))
    }

    /// A number at the steps of a span that ends at the newest sample. Before the first sample it was 0.
    pub(super) fn course(&self, span: Span, now_ms: u64, number: impl Fn(&Sample) -> u64) -> Course {
        let newest_ms = self.samples.back().map_or(now_ms, |(at_ms, _)| *at_ms);
        let last_ms = newest_ms - newest_ms % span.step_ms;
        let mut samples = self.samples.iter().rev().peekable();
        let mut points = Vec::new();
        for step in 0..=span.age_ms / span.step_ms {
            let at_ms = last_ms.saturating_sub(step * span.step_ms);
            while samples.next_if(|(sampled_ms, _)| *sampled_ms >= at_ms + span.step_ms).is_some() {}
            points.push((at_ms, samples.peek().map_or(0, |(_, sample)| number(sample))));
        }
        let sum: f64 = points.iter().map(|(_, value)| float(*value)).sum();
        let mean = sum / float(points.len() as u64);
        let (newest, oldest) =
            (points.first().map_or(0, |point| point.1), points.last().map_or(0, |point| point.1));
        Course { mean, rate: per_second(oldest, newest, span.age_ms), points }
    }
}

fn per_second(before: u64, after: u64, over_ms: u64) -> f64 {
    if over_ms == 0 { 0.0 } else { (float(after) - float(before)) * 1000.0 / float(over_ms) }
}

#[expect(clippy::cast_precision_loss, reason = "rates and means are shown to people")]
fn float(number: u64) -> f64 {
    number as f64
}

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    sums: HashMap<Object, Series>,
    watched: HashMap<Object, Watched>,
}

#[derive(Debug)]
struct Watched {
    series: Series,
    /// When somebody last looked at it, ms.
    asked_ms: u64,
}

impl History {
    /// Shows what there is of an object, and goes on watching it from now on. Beyond the bound nothing new is watched.
    pub(super) fn read<R>(&self, object: Object, now_ms: u64, show: impl FnOnce(&Series) -> R) -> R {
        let mut state = self.lock();
        if object.is_sum() {
            return show(state.sums.get(&object).unwrap_or(&Series::default()));
        }
        let is_full = state.watched.len() >= HISTORY_OBJECTS_MAX;
        if is_full && !state.watched.contains_key(&object) {
            return show(&Series::default());
        }
        let new = || Watched { series: Series::default(), asked_ms: now_ms };
        let watched = state.watched.entry(object).or_insert_with(new);
        watched.asked_ms = now_ms;
        show(&watched.series)
    }

    /// Shows what there is of an object to one who does not look at it for itself.
    pub(super) fn peek<R>(&self, object: &Object, show: impl FnOnce(&Series) -> R) -> R {
        let state = self.lock();
        let watched = state.watched.get(object).map(|watched| &watched.series);
        show(watched.or_else(|| state.sums.get(object)).unwrap_or(&Series::default()))
    }

    /// Adds the samples of one moment. Objects that are watched and not among them are gone; those nobody asked for any
    /// more are forgotten.
    pub(super) fn add(&self, at_ms: u64, now_ms: u64, samples: impl IntoIterator<Item = (Object, Sample)>) {
        let mut state = self.lock();
        for (object, sample) in samples {
            if object.is_sum() {
                state.sums.entry(object).or_default().add(at_ms, sample, HISTORY_SUM_SAMPLES);
            } else if let Some(watched) = state.watched.get_mut(&object) {
                watched.series.add(at_ms, sample, HISTORY_OBJECT_SAMPLES);
            } else if state.watched.len() < HISTORY_OBJECTS_MAX {
                let mut series = Series::default();
                series.add(at_ms, sample, HISTORY_OBJECT_SAMPLES);
                state.watched.insert(object, Watched { series, asked_ms: now_ms });
            }
        }
        state.watched.retain(|_, watched| now_ms < watched.asked_ms + HISTORY_WATCHED_MS);
    }

    /// Forgets vhosts that are gone.
    pub(super) fn keep_vhosts(&self, is_there: impl Fn(&str) -> bool) {
        self.lock().sums.retain(|object, _| match object {
            Object::Vhost(name) => is_there(name),
            _ => true,
        });
    }

    /// What is watched.
    pub(super) fn watched(&self) -> Vec<Object> {
        self.lock().watched.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(ready: u64) -> Sample {
        Sample { ready, ..Sample::default() }
    }

    fn queue(name: &str) -> Object {
        Object::Queue("/".into(), name.into())
    }

    fn ready(sample: &Sample) -> u64 {
        sample.ready
    }

    #[test]
    fn rates_are_those_of_the_last_interval() {
        let history = History::default();
        let rate = || history.read(Object::Broker, 0, |series| series.rate(ready));
        assert!(rate().abs() < f64::EPSILON, "nothing is known");
        history.add(10_000, 10_000, [(Object::Broker, sample(100))]);
        assert!(rate().abs() < f64::EPSILON, "one sample is no rate");
        history.add(15_000, 15_000, [(Object::Broker, sample(600))]);
        assert!((rate() - 100.0).abs() < 1e-9);
        history.add(20_000, 20_000, [(Object::Broker, sample(100))]);
        assert!((rate() + 100.0).abs() < 1e-9, "queues get shorter, too");
    }

    #[test]
    fn a_course_has_a_value_for_each_step() {
        let mut series = Series::default();
        for (at_ms, value) in [(10_200, 5), (15_200, 10), (20_200, 30)] {
            series.add(at_ms, sample(value), 10);
        }
        let course = series.course(Span { age_ms: 20_000, step_ms: 5_000 }, 99_999, ready);
        let expected = [(20_000, 30), (15_000, 10), (10_000, 5), (5_000, 0), (0, 0)];
        assert_eq!(course.points, expected);
        assert!((course.mean - 9.0).abs() < 1e-9 && (course.rate - 1.5).abs() < 1e-9);
        let empty = Series::default().course(Span { age_ms: 0, step_ms: 5_000 }, 12_000, ready);
        assert_eq!(empty.points, [(10_000, 0)]);
    }

    #[test]
    fn what_is_looked_at_is_watched_for_a_while() {
        let history = History::default();
        assert!(history.watched().is_empty());
        history.read(queue("q"), 1_000, |_| ());
        assert_eq!(history.watched(), [queue("q")]);
        history.add(5_000, 5_000, [(queue("q"), sample(1))]);
        history.add(10_000, 10_000, [(queue("q"), sample(11))]);
        let rate = history.read(queue("q"), 10_000, |series| series.rate(ready));
        assert!((rate - 2.0).abs() < 1e-9);
        history.add(HISTORY_WATCHED_MS + 9_999, HISTORY_WATCHED_MS + 9_999, []);
        assert_eq!(history.watched().len(), 1);
        history.add(HISTORY_WATCHED_MS + 10_000, HISTORY_WATCHED_MS + 10_000, []);
        assert!(history.watched().is_empty(), "nobody asked any more");
        let length = history.peek(&queue("q"), |series| series.last().ready);
        assert!(
            length == 0 && history.watched().is_empty(),
            "who sorts by a rate does not look at each queue"
        );
    }

    #[test]
    fn so_many_objects_are_watched_and_so_many_samples_kept() {
        let history = History::default();
        for number in 0..2 * HISTORY_OBJECTS_MAX {
            history.read(queue(&number.to_string()), 0, |_| ());
        }
        assert_eq!(history.watched().len(), HISTORY_OBJECTS_MAX);
        for at in 0..2 * HISTORY_SUM_SAMPLES as u64 {
            history.add(at, 0, [(Object::Broker, sample(at))]);
        }
        let kept = history.read(Object::Broker, 0, |series| series.samples.len());
        assert_eq!(kept, HISTORY_SUM_SAMPLES);
    }

    #[test]
    fn vhosts_that_are_gone_are_forgotten() {
        let history = History::default();
        let vhost = Object::Vhost("v".into());
        for value in [1, 6] {
            history.add(value * 1000, 0, [(vhost.clone(), sample(value))]);
        }
        history.keep_vhosts(|name| name == "other");
        assert!(history.read(vhost, 0, |series| series.rate(ready)).abs() < f64::EPSILON);
    }
}
