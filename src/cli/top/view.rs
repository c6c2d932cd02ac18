//! What `top` shows, as a state: figures come in with their time, keys come in, and lines come out. Pure; knows neither the terminal
//! nor the broker.

use crate::cli::figures::{Figures, Passed, QueueFigures};
use clap::ValueEnum;
use ledgermq_storage::quantile;
use std::collections::HashMap;

/// What queues are sorted by; names are sorted upwards, numbers downwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Sort {
    /// Messages, ready and unacknowledged
    #[default]
    Depth,
    /// Messages in a second
    Publish,
    /// Deliveries in a second
    Deliver,
    /// Acknowledgements in a second
    Ack,
    /// Name
    Name,
}

impl Sort {
    fn next(self) -> Self {
        match self {
            Self::Depth => Self::Publish,
            Self::Publish => Self::Deliver,
            Self::Deliver => Self::Ack,
            Self::Ack => Self::Name,
            Self::Name => Self::Depth,
        }
    }

    /// As it is shown.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Depth => "depth",
            Self::Publish => "publish",
            Self::Deliver => "deliver",
            Self::Ack => "ack",
            Self::Name => "name",
        }
    }
}

/// A key that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A letter.
    Letter(char),
    /// Enter.
    Enter,
    /// Escape.
    Escape,
    /// Backspace.
    Backspace,
    /// One line down, or up.
    Down,
    Up,
}

/// Messages in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) publish: f64,
    pub(super) confirm: f64,
    pub(super) deliver: f64,
    pub(super) ack: f64,
}

impl Rates {
    /// A counter that went back belongs to something that is new under an old name: its rate is not known yet.
    fn between(before: &Passed, now: &Passed, seconds: f64) -> Self {
        let rate = |before: u64, now: u64| now.saturating_sub(before) as f64 / seconds;
        Self {
            publish: rate(before.publish, now.publish),
            confirm: rate(before.confirm, now.confirm),
            deliver: rate(before.deliver, now.deliver),
            ack: rate(before.ack, now.ack),
        }
    }
}

/// A queue's line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) queue: QueueFigures,
    pub(super) rates: Rates,
}

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) sort: Sort,
    /// Queues whose name or vhost contains it.
    pub(super) filter: String,
    /// Letters go to the filter.
    pub(super) is_typing: bool,
    pub(super) is_paused: bool,
    /// Lines of queues that are above the first one shown.
    pub(super) first: usize,
    /// Why there are no new figures.
    pub(super) trouble: Option<String>,
    pub(super) now: Figures,
    pub(super) rates: Rates,
    /// Syncs in a second; and the time that half, and 99 of 100, of them took at most, ms.
    pub(super) syncs: f64,
    pub(super) sync_ms: [Option<f64>; 2],
    lines: Vec<Line>,
    taken_ms: Option<u64>,
}

impl View {
    /// Sorted so, and only what contains this.
    pub(super) fn new(sort: Sort, filter: String) -> Self {
        Self { sort, filter, ..Self::default() }
    }

    /// Figures of a broker, and when they were asked for (ms of any clock that does not go back). A view that is paused leaves them.
    pub(super) fn take(&mut self, figures: Figures, at_ms: u64) {
        self.trouble = None;
        if self.is_paused {
            return;
        }
        let is_same_process = figures.uptime_ms >= self.now.uptime_ms;
        let seconds = self.taken_ms.filter(|_| is_same_process).map(|before| {
            // Two answers within a millisecond are not.
            at_ms.saturating_sub(before).max(1) as f64 / 1000.0
        });
        let before = std::mem::replace(&mut self.now, figures);
        self.taken_ms = Some(at_ms);
        let now = &self.now;
        self.rates =
            seconds.map(|seconds| Rates::between(&before.passed, &now.passed, seconds)).unwrap_or_default();
        let earlier: HashMap<(&str, &str), &Passed> =
            before.queues.iter().map(|queue| ((&*queue.vhost, &*queue.name), &queue.passed)).collect();
        self.lines = now
            .queues
            .iter()
            .map(|queue| {
                let before = earlier.get(&(&*queue.vhost, &*queue.name));
                let rates = before
                    .zip(seconds)
                    .map(|(before, seconds)| Rates::between(before, &queue.passed, seconds));
                Line { queue: queue.clone(), rates: rates.unwrap_or_default() }
            })
            .collect();
        // Of the time between two looks; of all time where nothing was synced since.
        let base = if seconds.is_some() { &*before.sync_classes } else { &[] };
        let since = since(base, &now.sync_classes);
        let count: u64 = since.iter().map(|(_, count)| count).sum();
        self.syncs = seconds.map_or(0.0, |seconds| count as f64 / seconds);
        self.sync_ms =
            [50, 99].map(|percent| quantile_ms(if count > 0 { &since } else { &now.sync_classes }, percent));
    }

    /// The broker did not answer.
    pub(super) fn miss(&mut self, why: String) {
        self.trouble = Some(why);
    }

    /// Obeys a key. Returns whether it was the one that ends it.
    pub(super) fn press(&mut self, key: Key) -> bool {
        if self.is_typing {
            match key {
                Key::Letter(letter) => self.filter.push(letter),
                Key::Backspace => drop(self.filter.pop()),
                Key::Enter => self.is_typing = false,
                Key::Escape => {
                    self.filter.clear();
                    self.is_typing = false;
                }
                Key::Down | Key::Up => {}
            }
            self.first = 0;
            return false;
        }
        match key {
            Key::Letter('q') | Key::Escape => return true,
            Key::Letter('s') => (self.sort, self.first) = (self.sort.next(), 0),
            Key::Letter('/' | 'f') => self.is_typing = true,
            Key::Letter('p' | ' ') => self.is_paused = !self.is_paused,
            Key::Down | Key::Letter('j') => {
                self.first = (self.first + 1).min(self.shown().len().saturating_sub(1))
            }
            Key::Up | Key::Letter('k') => self.first = self.first.saturating_sub(1),
            Key::Letter(_) | Key::Enter | Key::Backspace => {}
        }
        false
    }

    /// The queues that pass the filter, in order.
    pub(super) fn shown(&self) -> Vec<&Line> {
        let holds = |text: &str| text.contains(&self.filter);
        let mut lines: Vec<&Line> =
            self.lines.iter().filter(|line| holds(&line.queue.name) || holds(&line.queue.vhost)).collect();
        lines.sort_by(|a, b| {
            let by_number = |number: fn(&Line) -> f64| number(b).total_cmp(&number(a));
            let order = match self.sort {
                Sort::Depth => by_number(|line| (line.queue.ready + line.queue.unacked) as f64),
                Sort::Publish => by_number(|line| line.rates.publish),
                Sort::Deliver => by_number(|line| line.rates.deliver),
                Sort::Ack => by_number(|line| line.rates.ack),
                Sort::Name => std::cmp::Ordering::Equal,
            };
            let (a, b) = (&a.queue, &b.queue);
            order.then_with(|| (&a.vhost, &a.name).cmp(&(&b.vhost, &b.name)))
        });
        lines
    }
}

/// What came to each class.
fn since(before: &[(Option<u64>, u64)], now: &[(Option<u64>, u64)]) -> Vec<(Option<u64>, u64)> {
    let earlier = |at: usize| before.get(at).map_or(0, |(_, count)| *count);
    now.iter().enumerate().map(|(at, (end, count))| (*end, count.saturating_sub(earlier(at)))).collect()
}

/// The time that so many percent took at most, ms: the end of a class.
fn quantile_ms(classes: &[(Option<u64>, u64)], percent: u64) -> Option<f64> {
    quantile(classes.iter().copied(), percent).map(|us| us as f64 / 1000.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A queue that has that many messages ready and published.
    pub(in crate::cli::top) fn queue(vhost: &str, name: &str, ready: u64, publish: u64) -> QueueFigures {
        let passed = Passed { publish, ack: publish / 2, ..Passed::default() };
        QueueFigures { vhost: vhost.into(), name: name.into(), ready, unacked: 1, passed }
    }

    pub(in crate::cli::top) fn figures(uptime_ms: u64, queues: Vec<QueueFigures>) -> Figures {
        let publish = queues.iter().map(|queue| queue.passed.publish).sum();
        Figures {
            product: "LedgerMQ".into(),
            version: "0.1.0".into(),
            cluster_name: "shop".into(),
            uptime_ms,
            queue_count: queues.len() as u64,
            passed: Passed { publish, confirm: publish, deliver: 0, ack: 0 },
            sync_classes: vec![(Some(500), uptime_ms / 10), (Some(1000), 1), (None, 0)],
            queues,
            ..Figures::default()
        }
    }

    pub(in crate::cli::top) fn two_looks() -> View {
        let mut view = View::new(Sort::Depth, String::new());
        view.take(figures(1_000, vec![queue("/", "a", 5, 100), queue("v", "b", 50, 100)]), 10_000);
        view.take(
            figures(3_000, vec![queue("/", "a", 5, 300), queue("v", "b", 70, 110), queue("/", "c", 0, 9)]),
            12_000,
        );
        view
    }

    fn names(view: &View) -> Vec<&str> {
        view.shown().iter().map(|line| &*line.queue.name).collect()
    }

    #[test]
    fn rates_are_differences_over_time() {
        let view = two_looks();
        assert!((view.rates.publish - 109.5).abs() < 1e-9, "{:?}", view.rates);
        let rates: Vec<_> = view.shown().iter().map(|line| (&*line.queue.name, line.rates.publish)).collect();
        // What came in between has no rate yet.
        assert_eq!(rates, [("b", 5.0), ("a", 100.0), ("c", 0.0)]);
        assert_eq!((view.syncs, view.sync_ms), (100.0, [Some(0.5), Some(0.5)]));
    }

    #[test]
    fn a_broker_that_was_started_anew_has_no_rates_yet() {
        let mut view = two_looks();
        view.take(figures(10, vec![queue("/", "a", 0, 1)]), 14_000);
        assert_eq!(view.rates, Rates::default());
        assert_eq!(view.shown()[0].rates, Rates::default());
    }

    #[test]
    fn keys_sort_filter_pause_and_end() {
        let mut view = two_looks();
        assert_eq!(names(&view), ["b", "a", "c"]);
        for (sort, expected) in [
            ("publish", ["a", "b", "c"]),
            ("deliver", ["a", "c", "b"]),
            ("ack", ["a", "b", "c"]),
            ("name", ["a", "c", "b"]),
            ("depth", ["b", "a", "c"]),
        ] {
            assert!(!view.press(Key::Letter('s')));
            assert_eq!((view.sort.name(), names(&view)), (sort, expected.to_vec()));
        }
        view.press(Key::Letter('/'));
        for letter in ['q', 'v'] {
            assert!(!view.press(Key::Letter(letter)), "a letter of the filter");
        }
        assert!(names(&view).is_empty());
        view.press(Key::Backspace);
        view.press(Key::Backspace);
        view.press(Key::Letter('v'));
        assert_eq!(names(&view), ["b"], "the vhost counts as well");
        view.press(Key::Enter);
        assert!(!view.is_typing);
        view.press(Key::Letter('/'));
        view.press(Key::Escape);
        assert_eq!(names(&view).len(), 3);
        view.press(Key::Letter('p'));
        view.take(figures(9_000, vec![]), 20_000);
        assert_eq!(names(&view).len(), 3, "paused");
        for _ in 0..9 {
            view.press(Key::Down);
        }
        assert_eq!(view.first, 2);
        view.press(Key::Up);
        assert_eq!(view.first, 1);
        assert!(view.press(Key::Letter('q')) && view.press(Key::Escape));
    }

    #[test]
    fn quantiles_are_the_ends_of_their_classes() {
        assert_eq!(quantile_ms(&[], 50), None);
        assert_eq!(quantile_ms(&[(Some(100), 98), (Some(250), 2), (None, 0)], 99), Some(0.25));
        assert_eq!(quantile_ms(&[(Some(100), 1), (None, 9)], 99), None);
    }
}
